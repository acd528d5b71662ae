"""A ledger that was wiped or rolled back is made whole again from what Commanders remember."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.commander_stage import SOLDIER, Stage, a_beat, a_pool, a_soldier, eventually, running

from mission_commander.domain import life
from mission_commander.domain.record import Mission, Phase
from mission_commander.ports import LedgerAwayError
from mission_commander.services import feed, restoring
from mission_commander.services.eras import open_era
from mission_commander.services.payloads import Payloads
from mission_commander.services.recorder import Command, Decision
from mission_contracts.mission import NUMBERS_PER_ERA, Era, MissionId, MissionState
from mission_contracts.testing import ERA, a_mission

POOL = ("default", "default")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "RETRY_SECONDS", 0.005)
    monkeypatch.setattr(restoring, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(feed, "WAIT_SECONDS", 0.05)


@asynccontextmanager
async def working(*stages: Stage) -> AsyncIterator[None]:
    """Let these Commanders work, and restore what the ledger loses."""
    async with running(*(run for one in stages for run in (one.a_restorer().run, one.recorder.run, one.feed.run))):
        yield


def restored(stage: Stage) -> bool:
    """Tell whether a new era began and the ledger has all that this Commander has."""
    records = stage.store.data.records
    known = [*stage.memory.live(), *stage.memory.finals()]
    is_another = stage.store.data.era == stage.recorder.era != ERA
    return is_another and all(one.id in records and records[one.id].sequence >= one.sequence for one in known)


async def insist(stage: Stage, command: Command[Mission]) -> Mission:
    """As a client does: the same again until it is answered."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await stage.recorder.decide(command)
            except LedgerAwayError:
                await asyncio.sleep(0.005)


# Eras.


async def test_the_first_era_is_the_minute_of_its_beginning(stage: Stage) -> None:
    stage.store.wipe()
    assert await open_era(stage.ledger, stage.clock) == stage.clock.now() // 60
    assert await open_era(stage.ledger, stage.clock) == stage.store.data.era


async def test_an_era_in_force_is_joined(stage: Stage) -> None:
    stage.clock.turn(10_000)
    assert await open_era(stage.ledger, stage.clock) == ERA


async def test_a_new_era_is_above_every_era_seen_whatever_the_clock_says(stage: Stage) -> None:
    stage.clock.set_now(0)
    stage.eras.saw(Era(ERA + 7), by="a test")
    stage.store.wipe()
    assert await stage.eras.agree()
    assert stage.recorder.era == stage.store.data.era == ERA + 8


# A wipe.


async def test_after_a_wipe_everything_is_there_again(stage: Stage) -> None:
    async with working(stage):
        await stage.garrison.declare(a_pool(paused=True))
        out = await stage.accept("out", b'{"width":640}')
        claimed = await stage.claim(await stage.accept("claimed"))
        final = await stage.cancel(await stage.accept("final"))
        stage.store.wipe()
        await eventually(lambda: restored(stage), "it is restored, though nobody wrote anything")
    records = stage.store.data.records
    assert records == {one.id: one for one in (out, claimed, final)}
    assert stage.store.data.payloads[out.id] == b'{"width":640}'
    assert [(entry.mission_id, entry.epoch) for entry in stage.store.data.outbox] == [(out.id, out.epoch)]
    assert set(stage.store.data.live) == {out.id, claimed.id}
    assert stage.store.data.pools == {POOL: a_pool(paused=True)}


async def test_after_a_wipe_numbers_grow(stage: Stage) -> None:
    async with working(stage):
        mission = await stage.accept("m-1")
        stage.store.wipe()
        await eventually(lambda: restored(stage), "it is restored")
        moved = await stage.move(mission, lambda one, at: life.return_undelivered(one, one.epoch, at))
    assert moved.sequence > mission.sequence
    assert moved.epoch > stage.recorder.era * NUMBERS_PER_ERA > mission.epoch


async def test_pools_survive_a_wipe_though_the_reaper_looks_in_between(stage: Stage) -> None:
    await stage.garrison.declare(a_pool())
    stage.store.wipe()
    for _ in range(3):
        await stage.garrison.refresh()
    async with working(stage):
        await eventually(lambda: restored(stage), "it is restored")
    assert POOL in stage.store.data.pools


async def test_soldiers_are_known_again_after_a_wipe_by_any_commander(stage: Stage) -> None:
    await stage.garrison.register(a_soldier())
    await stage.garrison.beat(SOLDIER, a_beat(5))
    stage.store.wipe()
    async with working(stage):
        await eventually(lambda: SOLDIER in stage.store.data.beats, "they are restored")
    other = stage.another()
    assert await other.garrison.beat(SOLDIER, a_beat(6)) is True


async def test_a_soldier_that_nobody_remembers_registers_again(stage: Stage) -> None:
    await stage.garrison.register(a_soldier())
    forgetful = stage.another()
    stage.store.wipe()
    async with working(forgetful):
        await eventually(lambda: restored(forgetful), "a new era began")
        assert await forgetful.garrison.beat(SOLDIER, a_beat(1)) is False
        await forgetful.garrison.register(a_soldier())
        assert await forgetful.garrison.beat(SOLDIER, a_beat(2)) is True


async def test_a_wipe_under_load_loses_nothing_that_was_answered(stage: Stage) -> None:
    def accept(number: int) -> Command[Mission]:
        def decide(found: Mission | None, moment: life.Moment) -> Decision[Mission]:
            envelope = a_mission(f"m-{number}", accepted_at=moment.now)
            mission = found or life.accept(envelope, moment, life.OPEN_FIELD)
            return Decision(mission, None if found else mission, b"{}")

        return Command(MissionId(f"m-{number}"), decide, presumed_absent=True)

    answered: dict[MissionId, Mission] = {}

    async def load(first: int) -> None:
        for number in range(first, first + 40):
            mission = await insist(stage, accept(number))
            answered[mission.id] = mission
            if number % 3 == 0:
                answered[mission.id] = await insist(stage, _claim(mission))
            if number % 5 == 0:
                answered[mission.id] = await insist(stage, _cancel(mission))

    async with working(stage):
        loads = [asyncio.create_task(load(1_000 * number)) for number in range(4)]
        for already in (20, 60, 100):
            await eventually(lambda a=already: len(answered) >= a, f"{already} are accepted")  # type: ignore[misc]
            stage.store.wipe()
        await asyncio.gather(*loads)
        await eventually(lambda: restored(stage), "it is restored")
    assert len(answered) == 160
    for mission in answered.values():
        assert stage.record(mission).sequence >= mission.sequence, "no status goes back"
        assert stage.record(mission).epoch >= mission.epoch
    assert stage.recorder.era >= ERA + 3


def _claim(mission: Mission) -> Command[Mission]:
    def decide(found: Mission | None, moment: life.Moment) -> Decision[Mission]:
        assert found is not None
        granted = life.claim(found, mission.epoch, SOLDIER, moment, has_handler=True)
        assert isinstance(granted, life.Granted), granted
        return Decision(granted.mission or found, granted.mission)

    return Command(mission.id, decide)


def _cancel(mission: Mission) -> Command[Mission]:
    def decide(found: Mission | None, moment: life.Moment) -> Decision[Mission]:
        assert found is not None
        moved = life.cancel(found, moment)
        return Decision(moved or found, moved)

    return Command(mission.id, decide)


async def test_a_ledger_that_goes_away_while_it_is_restored_is_restored_later(stage: Stage) -> None:
    async with working(stage):
        mission = await stage.accept("m-1")
        stage.ledger.gate.clear()
        stage.store.wipe()
        await eventually(lambda: stage.ledger.under_way, "it is being restored")
        stage.ledger.cut()
        stage.ledger.gate.set()
        await eventually(lambda: not stage.ledger.under_way, "that failed")
        stage.ledger.mend()
        await eventually(lambda: restored(stage), "it is restored")
    assert stage.record(mission) == mission


# Several Commanders.


async def load(other: Stage) -> None:
    """As a Commander does at its start."""
    await other.feed.load()
    await Payloads(other.ledger, other.memory).read_orders()


async def test_what_only_one_of_two_commanders_knows_is_restored_by_maximum(stage: Stage) -> None:
    other = stage.another()
    async with running(stage.recorder.run, other.recorder.run):
        mission = await stage.accept("m-1")
        await load(other)
        newer = await stage.claim(mission)
        theirs = await other.accept("theirs")
    assert other.memory.get(mission.id) == mission, "it has not heard of the claim"
    stage.store.wipe()
    async with working(other):
        await eventually(lambda: restored(other), "the one that knows less was first")
        assert stage.record(mission) == mission
        async with working(stage):
            await eventually(lambda: restored(stage), "the other one follows")
            assert stage.record(mission) == newer
            assert stage.record(theirs) == theirs
            await eventually(lambda: other.memory.get(mission.id) == newer, "both know the same")
            done = await insist(other, _cancel(mission))
    assert stage.record(mission) == done


async def test_what_another_commander_restores_at_the_same_moment_is_compared_anew(stage: Stage) -> None:
    other = stage.another()
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1")
        await load(other)
        newer = await stage.claim(mission)
    stage.store.wipe()
    stage.ledger.gate.clear()
    ours = asyncio.create_task(stage.a_restorer().look())
    await eventually(lambda: stage.ledger.under_way, "it is about to write the newer record")
    await other.a_restorer().look()
    assert stage.record(mission) == mission, "the other one was first, with the older record"
    stage.ledger.gate.set()
    await ours
    assert stage.record(mission) == newer


async def test_both_commanders_work_in_the_same_new_era(stage: Stage) -> None:
    other = stage.another()
    async with working(stage, other):
        await stage.accept("m-1")
        stage.store.wipe()
        await eventually(lambda: restored(stage) and restored(other), "both are in the new era")
        await stage.accept("m-2")
        await other.accept("m-3")
    assert set(stage.store.data.records) == {"m-1", "m-2", "m-3"}


# A rollback.


async def test_after_a_rollback_everything_newer_is_there_again(stage: Stage) -> None:
    async with working(stage):
        old = await stage.accept("old")
        running_one = await stage.accept("running")
        await eventually(lambda: stage.feed.last == stage.store.data.stream.last, "the feed has heard of it")
        backup = stage.store.backup()
        claimed = await stage.claim(running_one)
        ended = await stage.cancel(old)
        new = await stage.accept("new")
        await eventually(lambda: stage.feed.last == stage.store.data.stream.last, "the feed has heard of it")
        stage.store.roll_back(backup)
        await eventually(lambda: new.id in stage.store.data.records, "what was lost is there again")
        await eventually(lambda: stage.record(old).is_final, "what went back goes forward again")
    assert stage.record(old) == ended
    assert stage.record(running_one) == claimed
    assert stage.record(new).phase is Phase.OUT


async def test_what_ended_in_the_meantime_stays_ended(stage: Stage) -> None:
    other = stage.another()
    async with running(stage.recorder.run, other.recorder.run):
        mission = await stage.accept("m-1")
        backup = stage.store.backup()
        await stage.move(await stage.claim(mission), life.suspend)
        stage.store.roll_back(backup)
        ended = await other.cancel(mission)
    lost = stage.memory.get(mission.id)
    await stage.a_restorer().look()
    final = stage.record(mission)
    assert final.state is ended.state is MissionState.CANCELLED
    assert lost is not None
    assert final.sequence > lost.sequence, "whoever saw the lost record must not see a status go back"
    assert stage.memory.get(mission.id) == final


async def test_an_end_that_one_commander_alone_knows_outlives_what_the_other_one_restores_first(stage: Stage) -> None:
    """Its stream then shows a live record with a higher number, before it has restored the end itself."""
    other = stage.another()
    async with running(stage.recorder.run, other.recorder.run):
        mission = await stage.accept("m-1")
        other.memory.apply(mission, b"{}")
        ended = await stage.cancel(mission)
        stage.store.wipe()
        await other.a_restorer().look()
        restored = stage.record(mission)
        assert restored.phase is Phase.OUT
        claimed = await other.claim(restored)
        assert claimed.sequence > ended.sequence
        assert not stage.memory.apply(claimed), "as its feed shows it"
        await stage.a_restorer().look()
    assert stage.record(mission).state is MissionState.CANCELLED
    assert stage.record(mission).sequence > claimed.sequence
