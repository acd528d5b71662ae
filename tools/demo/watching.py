"""`kubectl get missions -w` in the background, each line shown once and as it comes."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

LAST_WORDS_SECONDS: Final = 0.5
AGE: Final = -1
"""The last column, which alone changes when nothing happens."""

Show = Callable[[str, float], None]
"""Is given a line, and the seconds since the watch began."""


def news(lines: Iterable[str]) -> Iterator[str]:
    """Leave out the lines that show nothing new: written for a condition, or for a column that is not shown."""
    shown: dict[str, list[str]] = {}
    for line in lines:
        cells = line.split()
        if not cells or shown.get(cells[0]) == cells[:AGE]:
            continue
        shown[cells[0]] = cells[:AGE]
        yield line.rstrip()


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
    for line in news(lines):
        show(line, time.monotonic() - began)
