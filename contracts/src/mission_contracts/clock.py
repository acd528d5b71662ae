"""Time as a value one can pass: services ask a clock, tests hand them one they can turn."""

import time
from datetime import UTC, datetime
from typing import Final, Protocol

_FIRST_MOMENT: Final = datetime.min.replace(tzinfo=UTC).timestamp()
_LAST_MOMENT: Final = datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp()


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


def utc_text(moment: float) -> str:
    """Write Unix seconds as people and manifests do: `2030-01-31T08:00:00Z`, without what lies below a second.

    Beyond the dates that can be written so it gives the first or the last of them.
    """
    written = min(max(moment, _FIRST_MOMENT), _LAST_MOMENT)
    return datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
