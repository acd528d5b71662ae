"""Processes that a handler in a child process started: they end with its mission, also those in sessions of their own.

A child leads a session and a process group, so that one signal ends all that stayed in it. Linux adds two things: a
child adopts the orphans among its descendants, and /proc names them, so that one which left the group is found too.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36
_MAX_ROUNDS: Final = 8
"""Of looking for more: one that is found may just have started another."""


def adopt() -> None:
    """Let this process be the parent of orphans among its descendants, where the system can."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def are_left() -> bool:
    """Whether this process has a child that still runs; those that have ended are reaped."""
    try:
        while True:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return True
    except ChildProcessError:
        return False


def end(leader: int) -> None:
    """End all descendants of a session's leader, then its process group, itself included."""
    ended: set[int] = set()
    for _ in range(_MAX_ROUNDS):
        found = set(_below(leader)) - ended
        if not found:
            break
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        ended |= found
    os.killpg(leader, signal.SIGKILL)


def _below(pid: int) -> Iterator[int]:
    """Yield all descendants, as far as the system tells."""
    todo = [pid]
    while todo:
        for child in _children(todo.pop()):
            yield child
            todo.append(child)


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # not Linux, or it has ended meanwhile
        return []
