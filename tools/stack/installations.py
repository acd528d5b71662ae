"""Where the programs of RabbitMQ and Redis are, and how to run them: on this machine, or in a Debian of their own."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tools.stack import packages


class Installation(Protocol):
    """Programs that belong together."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What each of them needs in its environment."""
        ...

    def command(self, folder: Path, program: str, *arguments: str) -> tuple[str, ...]:
        """How to run a program that works in this folder."""
        ...

    def inside(self, folder: Path) -> Path:
        """What its programs call that folder."""
        ...

    def hand_over(self, folder: Path) -> None:
        """Let its programs own the folder and all that is in it."""
        ...


@dataclass(frozen=True)
class OnThisMachine:
    """What the machine's own packages brought; it runs as whoever starts it."""

    programs: Mapping[str, Path]

    @property
    def environment(self) -> Mapping[str, str]:
        return {}

    def command(self, _: Path, program: str, *arguments: str) -> tuple[str, ...]:
        return (str(self.programs[program]), *arguments)

    def inside(self, folder: Path) -> Path:
        return folder

    def hand_over(self, _: Path) -> None:
        """It is ours, and so are they."""


NOBODY = 65_534
STATE = Path("/state")
"""What a state folder is called inside."""
IN_DEBIAN: Mapping[str, str] = {
    "redis-server": "/usr/bin/redis-server",
    "epmd": "/usr/bin/epmd",
    # Not those of /usr/sbin: Debian's wrappers insist on the system's user and folders.
    "rabbitmq-server": "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "rabbitmqctl": "/usr/lib/rabbitmq/bin/rabbitmqctl",
}
ENTER = """
set -eu
root=$1; state=$2; user=$3; shift 3
mount --bind "$state" "$root/state"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
exec chroot --userspec="$user:$user" "$root" "$@"
"""
"""Each step becomes the next one, so the process that is started is the server, and its mounts end with it."""


@dataclass(frozen=True)
class InDebian:
    """A root file system with mounts of the server's own, which nobody else sees; it runs as nobody."""

    root: Path

    @property
    def environment(self) -> Mapping[str, str]:
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}

    def command(self, folder: Path, program: str, *arguments: str) -> tuple[str, ...]:
        enter = ("unshare", "--mount", "--", "sh", "-c", ENTER, "enter", str(self.root), str(folder), str(NOBODY))
        return (*enter, IN_DEBIAN[program], *arguments)

    def inside(self, _: Path) -> Path:
        return STATE

    def hand_over(self, folder: Path) -> None:
        for place, _, files in os.walk(folder):
            for name in (".", *files):
                os.chown(Path(place, name), NOBODY, NOBODY)


def on_this_machine() -> OnThisMachine:
    """Look for what packages installed; the mapping lacks what is not there."""
    found = {name: path for name in ("redis-server", "epmd") if (path := shutil.which(name))}
    if (folder := packages.rabbitmq_folder()) is not None:
        found |= {name: str(folder / name) for name in ("rabbitmq-server", "rabbitmqctl")}
    return OnThisMachine({name: Path(path) for name, path in found.items()})
