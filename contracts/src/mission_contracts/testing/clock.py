"""A clock that stands still until a test turns it."""


class FakeClock:
    """Both readings move together, except where a test sets the wall clock as an administrator does."""

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        if seconds < 0:
            raise ValueError(f"time does not pass backwards by {-seconds} s: use set_now to step the wall clock")
        self._now += seconds
        self._monotonic += seconds

    def set_now(self, now: float) -> None:
        """Step the wall clock, forwards or back; the monotonic reading stays."""
        self._now = now
