"""A Debian newer than this machine's, as files: made with debootstrap, once per user.

All of it happens in mount and process namespaces of its own, so an interrupted run leaves no mount and no process.
"""

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.stack import packages
from tools.stack.binaries import cache_folder, progress
from tools.stack.commands import run
from tools.stack.errors import StackError

SUITE = "trixie"
DEBOOTSTRAP = "debootstrap"
UNFINISHED = "unfinished-"
ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "nice", "-n", "10")
INSTALL = """
set -eu
root=$1; script=$2; shift 2
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\\nexit 101\\n' > "$root/usr/sbin/policy-rc.d"; chmod 755 "$root/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
chroot "$root" apt-get -q update
chroot "$root" apt-get -q install --yes --no-install-recommends "$@"
chroot "$root" sh -eu -c "$script"
chroot "$root" apt-get clean
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/usr/share/doc/* "$root"/usr/share/man/* \\
  "$root"/usr/share/locale/* "$root"/tmp/* "$root"/var/log/*.log "$root"/usr/sbin/policy-rc.d "$root"/etc/resolv.conf
"""


def why_not() -> str | None:
    """Say why no Debian can be made here, or None when one can (perhaps after installing debootstrap)."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only Linux and root can make one"
    if shutil.which(DEBOOTSTRAP) is None and shutil.which("apt-get") is None:
        return "debootstrap is not installed"
    return None


def home() -> Path:
    """Where Debians are kept, for every checkout of this user."""
    return cache_folder(os.environ).parent / "debian"


def plain() -> Path:
    """Return a plain Debian as a tar file, fetching it if it is missing."""
    target = home() / f"{SUITE}.tar"
    with only_maker(home(), f"{SUITE}.lock"):
        if not target.exists():
            _fetch(target)
    return target


@contextlib.contextmanager
def only_maker(folder: Path, lock: str) -> Iterator[None]:
    """Be the only one who makes something in a folder, and remove what a killed run left half done."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / lock).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for unfinished in folder.glob(f"{UNFINISHED}*"):
            shutil.rmtree(unfinished)
        yield


@contextlib.contextmanager
def unfinished(folder: Path, what: str) -> Iterator[Path]:
    """Give an empty folder to make something in, while lines tell that it goes on."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=UNFINISHED) as scratch, progress(what):
        yield Path(scratch)


def furnish(root: Path, plain: Path, names: Sequence[str], script: str, *, meaning: str, log: Path) -> None:
    """Make a root of a plain Debian and these packages; the script runs inside, as root, after them."""
    root.mkdir()
    run(["tar", "--numeric-owner", "-C", root, "-xpf", plain], meaning=meaning)
    run([*ALONE, "sh", "-c", INSTALL, "install", root, script, *names], meaning=meaning, log=log)


def pack(root: Path, target: Path, *, meaning: str) -> None:
    """Write a root file system to a tar file."""
    skipped: Sequence[str] = ("--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*")
    run(["tar", "--numeric-owner", "--sort=name", *skipped, "-C", root, "-cpf", target, "."], meaning=meaning)


def _fetch(target: Path) -> None:
    meaning = f"there is no Debian {SUITE} to begin with"
    if reason := why_not():
        raise StackError(f"No Debian {SUITE} can be made here, for {reason}: use a machine with Docker, or be root.")
    if shutil.which(DEBOOTSTRAP) is None:
        packages.install((DEBOOTSTRAP,))
    print(f"Fetching Debian {SUITE} with debootstrap: about a minute, once on this machine.", flush=True)
    with unfinished(home(), DEBOOTSTRAP) as scratch:
        root, tar = scratch / "root", scratch / "root.tar"
        fetch: list[str | Path] = [*ALONE, DEBOOTSTRAP, "--variant=minbase", "--include=ca-certificates", SUITE, root]
        run(fetch, meaning=meaning, log=home() / "debootstrap.log")
        pack(root, tar, meaning=meaning)
        tar.rename(target)
