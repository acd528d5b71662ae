"""A node seen from this machine: one process tree in namespaces of its own, a cable to it, and its control groups.

Killing its first process ends everything inside, so a node ends the same way whether it is told to or crashes.
"""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.cluster import inside
from tools.cluster.addresses import Addresses
from tools.cluster.errors import ClusterError
from tools.cluster.layout import Layout
from tools.stack.commands import run
from tools.stack.process import is_alive

ROOT = Path(__file__).parents[2]
UNSHARE = "unshare"
NAMESPACES = ("--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Running:
    """A node's outermost process. The start time tells it from a later process with its number."""

    pid: int
    started: str


def running(layout: Layout) -> Running | None:
    """Find the node by its command, which names its folder: no file can be lost or lie."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # processes end while one looks
            words = (process / "cmdline").read_text(errors="replace").split("\0")
            if words[0] == UNSHARE and str(layout.node) in words:
                return Running(pid=int(process.name), started=_started(process))
    return None


def start(layout: Layout, addresses: Addresses, keeper: Sequence[str]) -> Running:
    """Start the node's first process, and plug in its cable."""
    with layout.progress.open("wb") as progress:
        process = subprocess.Popen(
            [UNSHARE, *NAMESPACES, "--", *_first_process(layout, addresses), *keeper],
            stdin=subprocess.DEVNULL,
            stdout=progress,
            stderr=progress,
            cwd=ROOT,
            start_new_session=True,
        )
    meaning = "its network namespace did not appear, so the node cannot be reached"
    _wait(lambda: _has_own_network(process.pid), f"The node's first process started and {meaning}")
    _plug_in(layout, addresses, process.pid)
    return Running(pid=process.pid, started=_started(Path(f"/proc/{process.pid}")))


def end(layout: Layout) -> None:
    """End the node if it runs, and take back what a crash may have left."""
    found = running(layout)
    if found is not None:
        _kill(found)
    layout.ready.unlink(missing_ok=True)
    _unplug(layout)
    _remove_cgroups(layout)


def cgroups(layout: Layout) -> list[Path]:
    """Find the node's control groups: one in each hierarchy that the kernel has."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    roots = (Path(place) for _, place, kind, *_ in mounts if kind in {"cgroup", "cgroup2"})
    return [root / layout.cgroup for root in roots]


def has_link(layout: Layout) -> bool:
    return Path("/sys/class/net", layout.link).exists()


def _first_process(layout: Layout, addresses: Addresses) -> tuple[str, ...]:
    ends = (str(addresses.host), str(addresses.node))
    return (sys.executable, "-I", "-S", inside.__file__, str(layout.node), *ends)


def _has_own_network(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    except OSError as error:
        raise ClusterError("The node's first process ended at once: namespaces may be forbidden here.") from error


def _plug_in(layout: Layout, addresses: Addresses, pid: int) -> None:
    meaning = "the node has no network"
    link = layout.link
    peer = ("peer", "name", inside.LINK, "netns", str(pid))
    run(["ip", "link", "add", link, "type", "veth", *peer], meaning=meaning)
    run(["ip", "address", "add", f"{addresses.host}/30", "dev", link], meaning=meaning)
    run(["ip", "link", "set", link, "up"], meaning=meaning)
    # Pods and Services can be reached from this machine as from a pod.
    run(["ip", "route", "add", str(addresses.block), "via", str(addresses.node)], meaning=meaning)


def _unplug(layout: Layout) -> None:
    """The link goes with the network namespace, a moment after its last process."""
    with contextlib.suppress(ClusterError):
        _wait(lambda: not has_link(layout), "", seconds=5)
        return
    run(["ip", "link", "delete", layout.link], meaning="an earlier node's link is still there")


def _kill(node: Running) -> None:
    inner = _children(node.pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(node.pid, signal.SIGKILL)  # its child is killed with it, and with that the namespace
    pids = [node.pid, *inner]
    _wait(lambda: not any(map(is_alive, pids)), f"The node (process {node.pid}) was killed and does not end")


def _children(pid: int) -> list[int]:
    told = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False, timeout=10
    ).stdout
    return [int(word) for word in told.split()]


def _started(process: Path) -> str:
    """The 22nd word; the second, the program's name, may have spaces in it."""
    return (process / "stat").read_text().rpartition(")")[2].split()[19]


def make_cgroups(layout: Layout) -> None:
    """The kubelet wants the group that it works below to exist."""
    for group in cgroups(layout):
        with contextlib.suppress(OSError):  # a hierarchy that nobody may write is none of ours
            group.mkdir(exist_ok=True)


def _remove_cgroups(layout: Layout) -> None:
    for group in cgroups(layout):
        _wait(functools.partial(_is_removed, group), f"The control group {group} cannot be removed")


def _is_removed(group: Path) -> bool:
    """Only empty groups can be removed, and they empty a moment after their processes have ended."""
    for folder in _deepest_first(group):
        with contextlib.suppress(OSError):
            folder.rmdir()
    return not group.exists()


def _deepest_first(group: Path) -> Iterator[Path]:
    for folder, _, _ in os.walk(group, topdown=False):
        yield Path(folder)


def _wait(is_so: Callable[[], bool], complaint: str, *, seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise ClusterError(f"{complaint}: waited {seconds:.0f} s; look for it by hand, then retry.")
        time.sleep(POLL_SECONDS)
