"""The accidents that the in-memory ledger offers to tests, and what it says of itself."""

import asyncio

import pytest
from support.ledger_probe import (
    ERA,
    PATIENCE_SECONDS,
    a_mission,
    all_live,
    changed,
    creation,
    finished,
    move,
    put,
    waiting_for_events,
)

from mission_commander.adapters.memory_ledger import MemoryLedger, MemoryStore
from mission_commander.ports import LedgerAwayError
from mission_contracts.mission import MissionId


class Calendar:
    """A clock that a test turns by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore(Calendar())
    await MemoryLedger(store).begin_era(ERA)
    return store


async def test_a_cut_ledger_is_away_until_it_is_mended(store: MemoryStore) -> None:
    ledger = MemoryLedger(store)
    ledger.cut()
    with pytest.raises(LedgerAwayError):
        await ledger.commit(ERA, [creation(a_mission())])
    with pytest.raises(LedgerAwayError):
        await all_live(ledger)
    ledger.mend()
    assert await all_live(ledger) == {}


async def test_cutting_one_commander_off_leaves_the_others_alone(store: MemoryStore) -> None:
    ours, theirs = MemoryLedger(store), MemoryLedger(store)
    ours.cut()
    await put(theirs, a_mission())
    ours.mend()
    assert list(await all_live(ours)) == ["m-1"]


async def test_a_waiting_reader_is_told_when_its_ledger_is_cut(store: MemoryStore) -> None:
    ledger = MemoryLedger(store)
    reader = await waiting_for_events(ledger, "0-0")
    ledger.cut()
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(LedgerAwayError):
            await reader


async def test_a_ledger_rolls_back_to_an_earlier_moment(store: MemoryStore) -> None:
    ledger, mission = MemoryLedger(store), a_mission()
    await put(ledger, mission)
    backup, seen = store.backup(), await ledger.last_event()
    await move(ledger, mission, finished(mission))
    later = await ledger.last_event()
    store.roll_back(backup)
    assert await all_live(ledger) == {mission.id: mission}
    assert await ledger.last_event() == seen
    assert await ledger.events(later, wait_seconds=0) is None


async def test_a_backup_can_be_taken_back_twice(store: MemoryStore) -> None:
    ledger, mission = MemoryLedger(store), a_mission()
    await put(ledger, mission)
    backup = store.backup()
    for _ in range(2):
        await move(ledger, mission, finished(mission))
        store.roll_back(backup)
    assert await all_live(ledger) == {mission.id: mission}


async def test_a_clock_that_steps_back_makes_no_older_event(store: MemoryStore) -> None:
    ledger, mission = MemoryLedger(store), a_mission()
    clock = store.clock
    assert isinstance(clock, Calendar)
    [first] = await put(ledger, mission)
    clock.seconds -= 60
    await move(ledger, mission, changed(mission))
    assert [first.event, await ledger.last_event()] == ["1000000-0", "1000000-1"]


async def test_a_tombstone_falls_when_its_time_is_over(store: MemoryStore) -> None:
    ledger, clock = MemoryLedger(store), store.clock
    assert isinstance(clock, Calendar)
    await put(ledger, finished(a_mission()))
    await ledger.purge(9999.0, 10)
    clock.seconds += store.tombstone_seconds - 1
    assert await ledger.purged([MissionId("m-1")])
    clock.seconds += 1
    assert not await ledger.purged([MissionId("m-1")])


async def test_memory_says_that_it_is_not_durable(store: MemoryStore) -> None:
    found = await MemoryLedger(store).durability()
    assert not found.is_strong
    assert "use Redis" in found.why_weak
