"""Telling at once that work came to a pool: whoever keeps a pool at zero must not find out at its next look."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from mission_commander.domain.memory import MissionMemory, PoolKey, pool_of
from mission_commander.domain.record import Mission, Phase
from mission_commander.services.patience import happens
from mission_contracts.clock import Clock
from mission_contracts.rest import PoolView

AGAIN_SECONDS: Final = 1.0
"""One pool is told of no more often than this; the first mission after a quiet second is told of at once."""


class PoolNews:
    """Lets others watch the pools that missions are handed out to."""

    def __init__(self, memory: MissionMemory, view_of: Callable[[PoolKey], PoolView | None], clock: Clock) -> None:
        self._memory = memory
        self._view_of = view_of
        self._clock = clock

    @contextmanager
    def watching(self) -> Iterator["Watch"]:
        """Hear of everything from here on."""
        watch = Watch(self._view_of, self._clock)
        stop_listening = self._memory.listen(watch.notice)
        try:
            yield watch
        finally:
            stop_listening()


class Watch:
    """One watcher's view of the pools."""

    def __init__(self, view_of: Callable[[PoolKey], PoolView | None], clock: Clock) -> None:
        self._view_of = view_of
        self._clock = clock
        self._untold: set[PoolKey] = set()
        self._told_at: dict[PoolKey, float] = {}
        self._news = asyncio.Event()

    def notice(self, mission: Mission) -> None:
        """Called with every record: a pool that is to be told of already costs a look-up, and wakes nobody."""
        if mission.phase is Phase.OUT and (pool := pool_of(mission)) not in self._untold:
            self._untold.add(pool)
            self._news.set()

    async def views(self, *, quiet_seconds: float) -> AsyncIterator[Sequence[PoolView]]:
        """Give the pools that work came to; none after a quiet while."""
        while True:
            self._news.clear()
            if views := self._take():
                yield views
                continue
            is_news = await happens(self._news, within_seconds=self._seconds_until_next(quiet_seconds))
            if not is_news and not self._untold:
                yield ()

    def _take(self) -> list[PoolView]:
        now = self._clock.monotonic()
        self._told_at = {pool: at for pool, at in self._told_at.items() if now - at < AGAIN_SECONDS}
        telling = self._untold - self._told_at.keys()
        self._untold -= telling
        self._told_at |= dict.fromkeys(telling, now)
        return [view for pool in telling if (view := self._view_of(pool)) is not None]

    def _seconds_until_next(self, quiet_seconds: float) -> float:
        now = self._clock.monotonic()
        waits = [self._told_at[pool] + AGAIN_SECONDS - now for pool in self._untold if pool in self._told_at]
        return max(0.0, min([quiet_seconds, *waits]))
