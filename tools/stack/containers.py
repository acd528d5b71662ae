"""The same servers as containers, where Docker answers and no package is installed."""

import shutil
import subprocess
from pathlib import Path

from tools.stack import probes
from tools.stack.ports import LOOPBACK
from tools.stack.process import Launch

PULL_PATIENCE_SECONDS = 300.0
"""The first start fetches the image."""


def docker_answers() -> bool:
    """Whether a Docker daemon can be asked; the client alone proves nothing."""
    if shutil.which("docker") is None:
        return False
    return _docker("info") == 0


def name(server: str, port: int) -> str:
    """Name a container of ours; its volume is called the same."""
    return f"mission-control-{server}-{port}"


def redis(folder: Path, port: int, settings: tuple[str, ...]) -> Launch:
    container = name("redis", port)
    volume = ("-v", f"{container}:/data")
    return Launch(
        name=f"Redis (container {container})",
        command=(*_run(container, port, 6379), *volume, "redis:8", "redis-server", *settings),
        is_ready=lambda: probes.redis_answers(port),
        log=folder / "redis.log",
        patience_seconds=PULL_PATIENCE_SECONDS,
        clean_up=lambda: _remove(container),
        discard=lambda: _discard(container),
    )


def rabbitmq(folder: Path, port: int, *, user: str, password: str) -> Launch:
    container = name("rabbitmq", port)
    login = ("-e", f"RABBITMQ_DEFAULT_USER={user}", "-e", f"RABBITMQ_DEFAULT_PASS={password}")
    # RabbitMQ finds its data by its host's name, so a restart must have the same one.
    volume = ("-v", f"{container}:/var/lib/rabbitmq", "--hostname", "mission")
    return Launch(
        name=f"RabbitMQ (container {container})",
        command=(*_run(container, port, 5672), *login, *volume, "rabbitmq:4"),
        is_ready=lambda: probes.rabbitmq_answers(port),
        log=folder / "rabbitmq.log",
        patience_seconds=PULL_PATIENCE_SECONDS,
        clean_up=lambda: _remove(container),
        discard=lambda: _discard(container),
    )


def _run(container: str, outside: int, inside: int) -> tuple[str, ...]:
    """In the foreground, so that it ends with the client that our guard ends."""
    return ("docker", "run", "--rm", "--name", container, "-p", f"{LOOPBACK}:{outside}:{inside}")


def _remove(container: str) -> None:
    _docker("rm", "-f", container)


def _discard(volume: str) -> None:
    _docker("volume", "rm", "-f", volume)


def _docker(*arguments: str) -> int:
    try:
        return subprocess.run(["docker", *arguments], capture_output=True, check=False, timeout=60).returncode
    except subprocess.TimeoutExpired:
        return 1
