"""How long to wait before trying again: growing, bounded, and never in step with others."""

import asyncio
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


class Pause:
    """One wait for all who ask the same server: while it is away few try it, and once it is back nobody waits on."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._until = 0.0

    async def over(self) -> None:
        """Wait until it is time to try."""
        if (left := self._until - _now()) > 0:
            await asyncio.sleep(left)

    def failed(self) -> None:
        """Nobody answered. Those who tried together failed together, and that counts once."""
        if self._until <= _now():
            self._until = _now() + self._backoff.next()

    def answered(self) -> None:
        self._until = 0.0
        self._backoff.reset()


def _now() -> float:
    return asyncio.get_running_loop().time()
