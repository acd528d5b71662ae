"""Time as a value one can pass: services ask a clock, tests hand them one they can turn."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings: `now` to write down and compare across processes, `monotonic` to measure with."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never steps back."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()
