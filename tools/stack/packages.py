"""Where RabbitMQ and Redis come from: installed already, else through apt as root, else containers."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tools.stack import containers
from tools.stack.commands import finish
from tools.stack.errors import StackError

RABBITMQ_FOLDERS = (
    Path("/usr/lib/rabbitmq/bin"),
    Path("/opt/homebrew/opt/rabbitmq/sbin"),
    Path("/usr/local/opt/rabbitmq/sbin"),
)
"""Not the `rabbitmq-server` of PATH: Debian's is a wrapper that insists on the system's user and folders."""

POLICY = Path("/usr/sbin/policy-rc.d")
INSTALLATION_TIMEOUT_SECONDS = 900.0
WAIT_FOR_ANOTHER_APT = ("-o", "DPkg::Lock::Timeout=300")


def rabbitmq_folder() -> Path | None:
    """Find RabbitMQ's programs; without Erlang's port mapper they are of no use."""
    folder = next((folder for folder in RABBITMQ_FOLDERS if folder.is_dir()), None)
    return folder if shutil.which("epmd") else None


def missing() -> tuple[str, ...]:
    """Name the Debian packages that are not installed here."""
    wanted = {"rabbitmq-server": rabbitmq_folder(), "redis-server": shutil.which("redis-server")}
    return tuple(name for name, found in wanted.items() if found is None)


def why_not() -> str | None:
    """Say why RabbitMQ or Redis cannot be started as things are, or None when they can."""
    lacking = missing()
    if not lacking or containers.docker_answers():
        return None
    return (
        f"{' and '.join(lacking)} not installed and no Docker daemon answers, so the real servers cannot run here: "
        "install the packages (as root, `make servers` does it with apt-get) or start Docker."
    )


def ensure() -> None:
    """Install what is missing where that is possible; afterwards the servers can start, or we say why not."""
    lacking = missing()
    if lacking and _may_install():
        install(lacking)
    reason = why_not()
    if reason:
        raise StackError(reason)


def install(names: tuple[str, ...]) -> None:
    """Install Debian packages without letting them start a system service."""
    print(f"Installing {', '.join(names)} with apt-get.", flush=True)
    with _services_stay_off():
        with contextlib.suppress(StackError):
            _apt_get("update")  # one foreign source that is away must not stop us; the installation tells
        _apt_get("install", *WAIT_FOR_ANOTHER_APT, "--yes", "--no-install-recommends", *names)


def _may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _apt_get(*arguments: str) -> None:
    command = ["apt-get", "-q", *arguments]
    done = finish(
        command, environment={"DEBIAN_FRONTEND": "noninteractive"}, timeout_seconds=INSTALLATION_TIMEOUT_SECONDS
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise StackError(f"`{' '.join(command)}` failed ({''.join(last)}): run it by hand to see why, then retry.")


@contextlib.contextmanager
def _services_stay_off() -> Iterator[None]:
    """Debian's switch for that is a script; one that is there already says what its owner wants."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
