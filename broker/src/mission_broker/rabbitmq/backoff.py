"""How long to wait before the next try."""

import random

STEADY_SECONDS = 2.0
"""What lasted this long counts as success: the next failure is a new one."""


class Backoff:
    """Doubles from `low` to `high` seconds, each drawn between half of it and all of it."""

    def __init__(self, low: float, high: float) -> None:
        self._low = low
        self._high = high
        self._bound = low

    def next(self) -> float:
        bound, self._bound = self._bound, min(self._high, self._bound * 2)
        return random.uniform(bound / 2, bound)  # noqa: S311 - jitter, not a secret

    def lasted(self, seconds: float) -> None:
        """Start over if the last try held for a while."""
        if seconds >= STEADY_SECONDS:
            self._bound = self._low
