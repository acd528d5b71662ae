"""What ledger tests share: missions to write, and stages: a store that several Commanders reach, and may lose."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import msgspec
import redis

from mission_commander.adapters.memory_ledger import MemoryData, MemoryLedger, MemoryStore
from mission_commander.adapters.redis_ledger import RedisLedger, RedisSettings, connect
from mission_commander.domain.record import Mission, Phase
from mission_commander.ports import Change, Committed, Conflict, Event, Ledger, LedgerAwayError
from mission_contracts import mission as m
from mission_contracts.envelope import Door, Envelope

ERA = m.Era(29_000_000)
FIRST = m.Sequence(ERA * m.NUMBERS_PER_ERA + 1)
NONE = m.Sequence(0)
PAYLOAD = b'{"width":640}'
EVENTS_KEPT = 20
"""Few, so that a test can make a stream forget."""

PATIENCE_SECONDS = 15.0


def a_mission(
    mission_id: str = "m-1", *, namespace: str = "default", accepted_at: float = 1000.0, door: Door = Door.REST
) -> Mission:
    envelope = Envelope(
        mission_id=m.MissionId(mission_id),
        namespace=namespace,
        pool="default",
        type="noop",
        accepted_at=accepted_at,
        door=door,
    )
    return Mission(envelope=envelope, sequence=FIRST, phase=Phase.OUT, epoch=m.Epoch(FIRST))


def changed(mission: Mission, **fields: Any) -> Mission:
    """The mission's next record."""
    return msgspec.structs.replace(mission, sequence=m.Sequence(mission.sequence + 1), **fields)


def finished(mission: Mission, at: float = 2000.0, **fields: Any) -> Mission:
    return changed(mission, phase=Phase.FINAL, state=m.MissionState.COMPLETED, finished_at=at, **fields)


def dead(mission: Mission, at: float = 2000.0) -> Mission:
    return finished(mission, at, dead_letter=True)


def creation(mission: Mission, *, hands_out: bool = False) -> Change:
    return Change(mission, NONE, PAYLOAD, hands_out)


def step(before: Mission, after: Mission, *, hands_out: bool = False) -> Change:
    return Change(after, before.sequence, hands_out=hands_out)


async def put(ledger: Ledger, *missions: Mission) -> Sequence[Committed]:
    """Write missions that must be new."""
    return await must(ledger, *map(creation, missions))


async def move(ledger: Ledger, before: Mission, after: Mission) -> Mission:
    await must(ledger, step(before, after))
    return after


async def must(ledger: Ledger, *changes: Change) -> Sequence[Committed]:
    """Commit changes of which none may meet a conflict."""
    answers = await ledger.commit(ERA, changes)
    conflicts = [answer for answer in answers if isinstance(answer, Conflict)]
    assert not conflicts, f"nobody else writes here, yet there were conflicts: {conflicts}"
    return [answer for answer in answers if isinstance(answer, Committed)]


async def all_events(ledger: Ledger, after: str = "0-0") -> Sequence[Event]:
    events = await ledger.events(after, wait_seconds=0)
    assert events is not None, f"the stream has forgotten what came after {after}"
    return events


async def all_live(ledger: Ledger) -> dict[m.MissionId, Mission]:
    return {one.id: one async for batch in ledger.live() for one in batch}


async def waiting_for_events(ledger: Ledger, after: str) -> "asyncio.Task[Sequence[Event] | None]":
    """Start a reader that waits much longer than any test does."""
    reader = asyncio.create_task(ledger.events(after, wait_seconds=10 * PATIENCE_SECONDS))
    # Time for it to begin to wait; if that was too short, its test only sees an easier case.
    await asyncio.wait((reader,), timeout=0.05)
    return reader


async def when_back(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask until the ledger answers; fail when it stays away."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await ask()
            except LedgerAwayError:
                await asyncio.sleep(0.02)


class Stage(Protocol):
    """One store, as several Commanders reach it."""

    async def another(self) -> Ledger:
        """One more Commander's ledger on the same store."""
        ...

    async def wipe(self) -> None:
        """Lose everything, as FLUSHALL does."""
        ...

    async def backup(self) -> Any:
        """A copy of everything, for `roll_back`."""
        ...

    async def roll_back(self, backup: Any) -> None:
        """Go back to an earlier moment, as a failover to a stale replica does."""
        ...

    async def fill(self) -> None:
        """Leave no memory for new missions, until `make_room`."""
        ...

    async def make_room(self) -> None: ...


class MemoryStage:
    def __init__(self) -> None:
        self.store = MemoryStore(events_kept=EVENTS_KEPT)

    async def another(self) -> MemoryLedger:
        return MemoryLedger(self.store)

    async def wipe(self) -> None:
        self.store.wipe()

    async def backup(self) -> MemoryData:
        return self.store.backup()

    async def roll_back(self, backup: Any) -> None:
        await asyncio.sleep(0.002)  # event ids are times: no real rollback is done within their millisecond
        self.store.roll_back(backup)

    async def fill(self) -> None:
        self.store.max_bytes = 0

    async def make_room(self) -> None:
        self.store.max_bytes = None


class RedisStage:
    def __init__(self, url: str, stack: AsyncExitStack, operation_seconds: float) -> None:
        self.url = url
        self._stack = stack
        self._operation_seconds = operation_seconds

    async def another(
        self, *, prefix: str = "test:", url: str = "", events_kept: int = EVENTS_KEPT, events_bytes: int = 16_000_000
    ) -> RedisLedger:
        settings = RedisSettings(
            urls=(url or self.url,),
            prefix=prefix,
            operation_seconds=self._operation_seconds,
            events_kept=events_kept,
            events_bytes=events_bytes,
        )
        return await self._stack.enter_async_context(connect(settings))

    async def wipe(self) -> None:
        await self.command("FLUSHDB")

    async def backup(self) -> dict[bytes, bytes]:
        return {key: await self.command("DUMP", key) for key in await self.command("KEYS", "*")}

    async def roll_back(self, backup: Any) -> None:
        await self.wipe()
        for key, value in backup.items():
            await self.command("RESTORE", key, 0, value)

    async def fill(self) -> None:
        await self.command("CONFIG", "SET", "maxmemory", "1")

    async def make_room(self) -> None:
        await self.command("CONFIG", "SET", "maxmemory", "0")

    async def command(self, *words: str | int) -> Any:
        """Say something to Redis as an administrator."""
        with contextlib.closing(redis.Redis.from_url(self.url)) as client:
            return client.execute_command(*words)  # type: ignore[no-untyped-call]


@asynccontextmanager
async def redis_stage(url: str, *, operation_seconds: float = 5.0) -> AsyncIterator[RedisStage]:
    async with AsyncExitStack() as stack:
        yield RedisStage(url, stack, operation_seconds)
