"""How long to wait before trying again: growing, bounded, and never in step with others."""

import random


class Backoff:
    """Waits that double from `first` to `last` seconds, each drawn from its upper half."""

    def __init__(self, first: float = 0.1, last: float = 5.0) -> None:
        self._first = first
        self._last = last
        self._attempts = 0

    def next(self, at_least: float = 0) -> float:
        """Give the next wait; a server that named one is obeyed, within a minute."""
        bound = min(self._first * 2**self._attempts, self._last)
        self._attempts = min(self._attempts + 1, 32)
        return max(random.uniform(bound / 2, bound), min(at_least, 60))  # noqa: S311 - spread, not secrecy

    def reset(self) -> None:
        self._attempts = 0
