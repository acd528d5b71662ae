"""How long to wait before trying again: longer each time, never in step with others."""

import random
from typing import Final

FIRST_SECONDS: Final = 0.05
MOST_SECONDS: Final = 2.0


class Backoff:
    """Doubling delays with jitter; a success starts them over."""

    __slots__ = ("_bound", "_first", "_most")

    def __init__(self, first_seconds: float = FIRST_SECONDS, most_seconds: float = MOST_SECONDS) -> None:
        self._first = self._bound = first_seconds
        self._most = most_seconds

    def next(self) -> float:
        """Give the next delay: between half the bound and the bound, which then doubles."""
        bound, self._bound = self._bound, min(self._most, self._bound * 2)
        return random.uniform(bound / 2, bound)  # noqa: S311 - spreads load, guards nothing

    def reset(self) -> None:
        """What was tried has worked."""
        self._bound = self._first
