"""`kubectl get missions -w` in the background, each line shown once and as it comes."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mission_contracts.mission import MissionState

LAST_WORDS_SECONDS: Final = 0.5
STATES: Final = frozenset(state.camel for state in MissionState)
HEADER: Final = ("NAME", "STATE", "TYPE", "POOL", "ATTEMPT", "PROGRESS", "DURATION")
WIDTHS: Final = (12, 12, 10, 9, 9, 10, 8)


@dataclass(frozen=True)
class Look:
    """One line of the watch, as cells; its age is left out, which alone changes when nothing happens."""

    cells: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.cells[0]

    def text(self) -> str:
        """kubectl pads each line by what it saw so far; here all lines have the same columns."""
        return " ".join(cell.ljust(width) for cell, width in zip(self.cells, WIDTHS, strict=True)).rstrip()


def look(line: str) -> Look | None:
    """Read a line of `kubectl get missions -w`; None for one without a state: the operator has not seen it yet.

    Empty cells leave no trace between the others, but of the last three an attempt is a number that a progress needs,
    and a duration has a unit.
    """
    words = line.split()
    if tuple(words[: len(HEADER)]) == HEADER:
        return Look(HEADER)
    if len(words) < len(("NAME", "STATE", "TYPE", "POOL", "AGE")) or words[1] not in STATES:
        return None
    *optional, _age = words[4:]
    numbers = [word for word in optional if word.isdigit()]
    durations = [word for word in optional if not word.isdigit()]
    attempt, progress, *_ = [*numbers, "", ""]
    return Look((*words[:4], attempt, progress, *(durations or [""])))


Show = Callable[[Look, float], None]
"""Is given a line, and the seconds since the watch began."""


def news(lines: Iterable[str]) -> Iterator[Look]:
    """Leave out what shows nothing new: written for a condition, or for a column that is not shown."""
    shown: dict[str, Look] = {}
    for found in map(look, lines):
        if found is not None and shown.get(found.name) != found:
            shown[found.name] = found
            yield found


@contextlib.contextmanager
def watching(command: Sequence[str], environment: Mapping[str, str], show: Show) -> Iterator[None]:
    """Run the command while the block lasts, and hand on its lines."""
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        reader = threading.Thread(target=_hand_on, args=(process.stdout, show), daemon=True)
        reader.start()
        try:
            yield
            # What the API server wrote last may still be on its way here.
            time.sleep(LAST_WORDS_SECONDS)
        finally:
            process.terminate()
            reader.join(LAST_WORDS_SECONDS)


def _hand_on(lines: Iterable[str], show: Show) -> None:
    began = time.monotonic()
    for found in news(lines):
        show(found, time.monotonic() - began)
