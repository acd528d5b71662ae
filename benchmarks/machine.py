"""What a number needs beside it to mean anything: the machine, and the versions of everything."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

import msgspec

LIBRARIES: Final = ("aio-pika", "fastapi", "httpx", "kopf", "msgspec", "pydantic", "redis", "uvicorn", "uvloop")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it ran."""

    cores: int
    cpu: str
    memory_gib: float
    system: str
    load_before: float
    """The load average of the last minute when it began: above one, the numbers are of a busy machine."""

    @classmethod
    def here(cls) -> "Machine":
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return cls(
            cores=len(os.sched_getaffinity(0)),
            cpu=_cpu(),
            memory_gib=round(pages / 2**30, 1),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            load_before=os.getloadavg()[0],
        )

    @property
    def sentence(self) -> str:
        return (
            f"{self.cores} cores, {self.cpu}, {self.memory_gib} GiB, {self.system}, load before {self.load_before:.1f}"
        )


def versions() -> dict[str, str]:
    """Python's and the libraries'; the servers say theirs themselves."""
    python = ".".join(map(str, sys.version_info[:3]))
    return {"Python": python, **{name: metadata.version(name) for name in LIBRARIES}}


def commit() -> str:
    """Which state of the code was measured; with a plus where files were changed since."""
    revision = _git("rev-parse", "--short", "HEAD")
    return revision + ("+" if revision and _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*arguments: str) -> str:
    folder = Path(__file__).parent
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return ""
    return done.stdout.strip()


def _cpu() -> str:
    lines = _lines(Path("/proc/cpuinfo"))
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _lines(path: Path) -> Sequence[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return ()
