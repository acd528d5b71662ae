"""The lives of a pool's pods, as a watch shows them: when each was made, placed, running, ready, told to end, gone."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from benchmarks.measures import BenchError
from benchmarks.pools.kubectl import Kubectl

POOL_LABEL: Final = "missioncontrol.dev/pool"
_NONE: Final = "<none>"
_COLUMNS: Final = {
    "EVENT": ".type",
    "NAME": ".object.metadata.name",
    "NODE": ".object.spec.nodeName",
    "RUNNING": ".object.status.containerStatuses[0].state.running.startedAt",
    "READY": '.object.status.conditions[?(@.type=="Ready")].status',
    "TOLD": ".object.metadata.deletionTimestamp",
}


@dataclass
class Life:
    """One pod; None for what has not happened yet. Times of day, when they were seen."""

    created: float
    scheduled: float | None = None
    running: float | None = None
    ready: float | None = None
    told: float | None = None
    gone: float | None = None


@dataclass
class Lives:
    """Those that were seen since the watch began."""

    of: dict[str, Life] = field(default_factory=dict)

    def take(self, line: str, now: float) -> None:
        """Take a line of the watch."""
        kind, name, node, running, ready, told = line.split()
        life = self.of.setdefault(name, Life(created=now))
        _note(life, "scheduled", node != _NONE, now)
        _note(life, "running", running != _NONE, now)
        _note(life, "ready", ready == "True", now)
        _note(life, "told", told != _NONE, now)
        _note(life, "gone", kind == "DELETED", now)

    def when(self, moment: str) -> list[float]:
        """When each that came so far came there, the earliest first."""
        return sorted(when for life in self.of.values() if (when := getattr(life, moment)) is not None)

    @property
    def are_over(self) -> bool:
        return all(life.gone for life in self.of.values())

    async def until(self, holds: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until the watch has shown it."""
        ends_at = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > ends_at:
                raise BenchError(f"in {seconds:g} s it never came to pass that {what}: {self.of}")
            await asyncio.sleep(0.02)


def _note(life: Life, moment: str, happened: bool, now: float) -> None:
    if happened and getattr(life, moment) is None:
        setattr(life, moment, now)


@contextlib.asynccontextmanager
async def lives_in(kubectl: Kubectl, pool: str) -> AsyncIterator[Lives]:
    """Follow a pool's pods while the block lasts."""
    columns = "custom-columns=" + ",".join(f"{name}:{path}" for name, path in _COLUMNS.items())
    asked = ("get", "pods", "-l", f"{POOL_LABEL}={pool}", "-w", "--output-watch-events", "--no-headers", "-o", columns)
    lives = Lives()
    async with kubectl.watching(*asked) as lines:
        following = asyncio.create_task(_follow(lives, lines))
        try:
            yield lives
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _follow(lives: Lives, lines: AsyncIterator[tuple[float, str]]) -> None:
    async for now, line in lines:
        lives.take(line, now)


def seconds_after(start: float, moments: Mapping[str, float | None]) -> dict[str, float]:
    """Make seconds of times of day; BenchError where something has not happened."""
    missing = [name for name, when in moments.items() if when is None]
    if missing:
        raise BenchError(f"this was never seen: {', '.join(missing)}")
    return {name: round(when - start, 3) for name, when in moments.items() if when is not None}
