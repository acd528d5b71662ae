"""The state folder of one server: ours alone while we live, empty when we begin."""

import contextlib
import fcntl
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from tools.stack.errors import StackError

PATIENCE_SECONDS = 15.0
"""How long a killed run's guard may take to end its server before we may use the folder."""


@contextlib.contextmanager
def own_folder(state: Path, name: str) -> Iterator[Path]:
    """Lock `<state>/<name>` against another living run, and wipe what an earlier one left there."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / f"{name}.lock").open("w") as lock:
        _acquire(lock.fileno(), state / name)
        yield _emptied(state / name)


def _acquire(lock: int, folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _try_to_lock(lock):
        if time.monotonic() > deadline:
            raise StackError(
                f"{folder} is in use by another run that is still alive: stop that one, or name another state folder."
            )
        time.sleep(0.1)


def _try_to_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _emptied(folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    return folder.resolve()
