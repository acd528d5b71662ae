"""An idempotency key that is used again after its retention: a new mission, whatever any Commander remembers of the
first one, and whatever the ledger loses. Each test runs on both ledgers."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from support.commander_stage import (
    RETENTION_SECONDS,
    SOLDIER,
    eventually,
    running,
)
from support.ledger_probe import Stage
from support.lives import Commander, claim_of, completed, order_of, report_on

from mission_broker.memory_server import MemoryServer
from mission_broker.port import Message
from mission_broker.rejecting import Rejects
from mission_commander.domain import life
from mission_commander.domain.record import Mission, Phase
from mission_commander.domain.retention import MAX_CLOCK_SKEW_SECONDS
from mission_commander.ports import Ledger, OutboxEntry
from mission_commander.services import feed, restoring
from mission_commander.services.retrying import Retrier
from mission_commander.services.submission import Accepted
from mission_commander.services.undelivered import Undelivered
from mission_contracts import messages, topology
from mission_contracts.mission import MissionId, MissionState, era_of
from mission_contracts.soldiering import DropReason, Verdict
from mission_contracts.testing import ERA, FakeClock

PURGED_AFTER = RETENTION_SECONDS + MAX_CLOCK_SKEW_SECONDS + 1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "RETRY_SECONDS", 0.005)
    monkeypatch.setattr(restoring, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(feed, "WAIT_SECONDS", 0.05)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@pytest.fixture
async def older(fresh: Ledger, clock: FakeClock, server: MemoryServer) -> Commander:
    assert await fresh.begin_era(ERA) == ERA
    return Commander(fresh, clock, server)


@pytest.fixture
async def younger(older: Commander, stage: Stage, clock: FakeClock, server: MemoryServer) -> Commander:
    """Another Commander, which came later, and knows nothing of what was."""
    return Commander(await stage.another(), clock, server)


@asynccontextmanager
async def both(older: Commander, younger: Commander) -> AsyncIterator[None]:
    async with older.serving(), younger.serving():
        yield


async def first_life(commander: Commander) -> Mission:
    """Run the mission of the key to its end, and let its retention pass and the ledger purge it."""
    ended = await commander.complete((await commander.submit(week=1)).mission)
    await commander.ledger.confirmed([OutboxEntry(ended.id, ended.epoch)])
    commander.clock.turn(PURGED_AFTER)
    assert await commander.ledger.purge(commander.clock.now() - RETENTION_SECONDS, 10) == 1
    return ended


# Two Commanders of different age.


async def test_commanders_of_different_age_agree_on_the_new_mission(older: Commander, younger: Commander) -> None:
    """The older one still remembers the end of the first: nobody told it of the purge."""
    async with both(older, younger):
        first = await first_life(older)
        assert older.memory.get(first.id) == first
        second = await younger.submit(week=2)
        assert second.is_new
        assert second.mission.id == first.id
        older.memory.apply(second.mission)  # as the event stream brings it
        assert await older.shown(first) == await younger.shown(first) == second.mission
        assert (await older.claim_by(second.mission)).verdict is Verdict.RUN
        for _ in range(3):
            await older.auditor().look()
    assert not older.eras.is_in_doubt, "nothing was lost"


async def test_a_commander_that_has_heard_nothing_of_the_new_mission_grants_its_claim(
    older: Commander, younger: Commander
) -> None:
    async with both(older, younger):
        await first_life(older)
        second = (await younger.submit(week=2)).mission
        assert (await older.claim_by(second)).verdict is Verdict.RUN
        assert (await older.submit(week=2)).mission.epoch == second.epoch, "the same key is the same mission again"


async def test_the_auditor_does_not_take_an_earlier_life_for_a_loss(older: Commander, younger: Commander) -> None:
    async with both(older, younger):
        first = await first_life(older)
        second = (await younger.submit(week=2)).mission
        auditor = older.auditor()
        for _ in range(3):
            await auditor.look()
        assert older.memory.get(first.id) == second, "it hears of what it had not heard of"
    assert not older.eras.is_in_doubt


async def test_what_is_past_retention_is_restored_over_nothing(older: Commander, younger: Commander) -> None:
    async with both(older, younger):
        await first_life(older)
        second = (await younger.submit(week=2)).mission
        await older.restores()
        assert await younger.stored(second) == second
        await younger.restores()
        assert await younger.stored(second) == second


async def test_all_commanders_answer_alike_before_and_after_the_purge(older: Commander, younger: Commander) -> None:
    async with both(older, younger):
        first = await older.complete((await older.submit(week=1)).mission)
        older.clock.turn(RETENTION_SECONDS + 0.1)
        assert not await older.purge()
        assert older.memory.get(first.id) is None, "memory forgets before the ledger does"
        assert await older.shown(first) == await younger.shown(first) == first
        older.clock.turn(MAX_CLOCK_SKEW_SECONDS)
        assert await older.purge() == 1
        assert await older.shown(first) is await younger.shown(first) is None


async def test_within_its_retention_a_key_is_the_same_mission(older: Commander, younger: Commander) -> None:
    async with both(older, younger):
        first = await older.complete((await older.submit(week=1)).mission)
        older.clock.turn(RETENTION_SECONDS - 1)
        assert not await older.purge()
        assert await younger.submit(week=1) == Accepted(first, is_new=False)


async def test_past_its_retention_a_key_is_free_before_the_ledger_is_purged(
    older: Commander, younger: Commander
) -> None:
    """A purger that is late, or a record within the clocks' tolerance, changes nothing for who uses a key again."""
    async with both(older, younger):
        first = await older.complete((await older.submit(week=1)).mission)
        older.clock.turn(RETENTION_SECONDS + 0.1)
        second = await younger.submit(week=2)
        assert second.is_new
        assert second.mission.sequence > first.sequence
        assert await younger.ledger.payloads([first.id]) == [b'{"week":2}'], "and not that of the first"
        assert await younger.ledger.list_ids("default", before=None, limit=10) == [first.id]
        older.clock.turn(PURGED_AFTER)
        assert not await older.purge(), "it is not in the index of what can be purged"
        assert await older.ledger.live_ids(None, 10) == [first.id]


async def test_an_end_that_is_reported_late_is_kept_for_a_whole_retention(older: Commander, younger: Commander) -> None:
    """The attempt ended more than the retention ago; until its report came, everybody took the mission for running."""
    async with both(older, younger):
        claimed = await older.claim((await older.submit(week=1)).mission)
        older.clock.turn(2 * RETENTION_SECONDS)
        late = await older.move(claimed, lambda found, moment: completed(found, older, moment))
        assert late.finished_at is not None
        assert late.finished_at + RETENTION_SECONDS < older.clock.now(), "it tells how long the attempt took"
        assert not await older.purge() + await younger.purge()
        assert await older.shown(late) == await younger.shown(late) == late
        older.clock.turn(RETENTION_SECONDS - 1)
        assert not await older.purge()
        assert await older.submit(week=1) == await younger.submit(week=1) == Accepted(late, is_new=False)
        older.clock.turn(1)
        assert (await younger.submit(week=2)).is_new


# Numbers.


async def test_numbers_of_a_later_life_lie_above_all_that_an_earlier_one_showed(
    older: Commander, younger: Commander
) -> None:
    async with both(older, younger):
        first = await first_life(older)
        second = (await younger.submit(week=2)).mission
    assert min(second.epoch, second.sequence) > max(first.epoch, first.sequence)
    assert older.secrets.of(first.id, first.epoch, SOLDIER) != older.secrets.of(second.id, second.epoch, SOLDIER)


async def test_a_commander_learns_the_floor_once(older: Commander) -> None:
    async with older.serving():
        first = await first_life(older)
        await older.submit("another key")
    assert older.recorder.horizon.floor == first.sequence


async def test_a_mission_with_a_million_changes_goes_on_in_the_next_era(older: Commander) -> None:
    async with older.serving(older.a_restorer().run):
        mission = await older.accept("m-1")
        full = msgspec.structs.replace(mission, sequence=(ERA + 1) * 1_000_000 - 1)
        await older.move(mission, lambda *_: full)
        claimed = await older.claim(full)
        neighbour = await older.accept("m-2")
    assert era_of(claimed.sequence) == older.recorder.era > ERA
    assert era_of(neighbour.sequence) == older.recorder.era
    assert await older.ledger.era() == older.recorder.era


async def test_where_purged_missions_used_an_eras_numbers_up_the_next_one_begins(older: Commander) -> None:
    async with older.serving(older.a_restorer().run):
        mission = await older.accept("m-1")
        full = msgspec.structs.replace(mission, sequence=(ERA + 1) * 1_000_000 - 2)
        await older.move(mission, lambda *_: full)
        await older.cancel(full)
        older.clock.turn(PURGED_AFTER)
        assert await older.purge() == 1
        second = await older.accept("m-2")
    assert era_of(second.sequence) == era_of(second.epoch) == older.recorder.era > ERA


# Losses.


@pytest.mark.parametrize("is_purged", [True, False], ids=["after the purge", "before the purge"])
async def test_a_rollback_to_before_the_new_mission_loses_nothing(
    older: Commander, stage: Stage, is_purged: bool
) -> None:
    """One Commander alone: the reused key comes back as surely as any other."""
    async with older.serving():
        first = await older.complete((await older.submit(week=1)).mission)
        older.clock.turn(PURGED_AFTER)
        if is_purged:
            assert await older.purge() == 1
        backup = await stage.backup()
        second, control = (await older.submit(week=2)).mission, (await older.submit("control")).mission
        await stage.roll_back(backup)
        await older.restores()
        for mission in (second, control):
            restored = await older.stored(mission)
            assert restored is not None
            assert (restored.envelope, restored.phase) == (mission.envelope, Phase.OUT)
            assert older.memory.get(mission.id) == restored
        assert await older.ledger.payloads([second.id]) == [b'{"week":2}']
    assert second.id == first.id


async def test_a_decision_restores_a_later_life_over_an_earlier_one(older: Commander, stage: Stage) -> None:
    async with older.serving():
        await older.complete((await older.submit(week=1)).mission)
        older.clock.turn(PURGED_AFTER)
        backup = await stage.backup()
        second = (await older.submit(week=2)).mission
        await stage.roll_back(backup)
        older.recorder.horizon.enter(older.recorder.era)  # a Commander that does not notice the loss by itself
        claimed = await older.claim(second)
        assert await older.stored(second) == claimed
        assert claimed.envelope == second.envelope
        assert await older.ledger.payloads([second.id]) == [b'{"week":2}']


async def test_a_wipe_brings_the_later_life_back_and_not_the_earlier_one(
    older: Commander, younger: Commander, stage: Stage
) -> None:
    async with both(older, younger):
        first = await first_life(older)
        second = (await younger.submit(week=2)).mission
        await stage.wipe()
        await older.restores()
        assert await older.stored(first) is None, "past its retention"
        await younger.restores()
        restored = await younger.stored(second)
        assert restored is not None
        assert restored.envelope == second.envelope


async def test_an_end_within_its_retention_that_the_ledger_lost_is_no_new_mission(
    older: Commander, stage: Stage
) -> None:
    async with older.serving():
        backup = await stage.backup()
        first = await older.complete((await older.submit(week=1)).mission)
        await stage.roll_back(backup)
        older.recorder.horizon.enter(older.recorder.era)  # a Commander that does not notice the loss by itself
        again = await older.submit(week=1)
        assert (again.is_new, again.mission.state) == (False, MissionState.COMPLETED)
        noted = await older.move(first, lambda found, moment: life.retried(found, MissionId("m-2"), moment))
        assert noted.state is MissionState.COMPLETED
        assert await older.stored(first) == noted


async def test_an_end_that_was_heard_within_its_retention_survives_a_wipe_and_is_over_in_time(
    older: Commander, younger: Commander, stage: Stage
) -> None:
    """The younger one took the mission for running when it was cut off, and comes back before its retention is over."""
    async with both(older, younger):
        claimed = await older.claim((await older.submit(week=1)).mission)
        await younger.feed.load()
        ended = await older.move(claimed, lambda found, moment: completed(found, older, moment))
        assert younger.memory.get(ended.id) == claimed
        older.clock.turn(RETENTION_SECONDS - 1)
        await younger.feed.load()
        await stage.wipe()
        await younger.restores()
        assert await younger.submit(week=1) == Accepted(ended, is_new=False)
        older.clock.turn(1)
        await stage.wipe()
        await younger.restores()
        assert await younger.stored(ended) is None
        assert (await younger.submit(week=2)).is_new
        await older.restores()
        assert (await older.submit(week=2)).mission.phase is Phase.OUT


async def test_a_tombstone_of_an_earlier_life_drops_no_order_of_the_later_one(
    older: Commander, younger: Commander, stage: Stage
) -> None:
    """The ledger went back to between the two, and no Commander remembers the second: its order does."""
    async with both(older, younger):
        await first_life(older)
        backup = await stage.backup()
        second = (await younger.submit(week=2)).mission
        await stage.roll_back(backup)
        older.memory.forget(second.id)
        await older.begin_new_era()
        older.settle()
        answer = await older.claim_by(second)
        assert answer.verdict is Verdict.TELL
        told = claim_of(second, order=messages.encode(order_of(second)))
        [answer] = await older.claims.answer_all(SOLDIER, [told])
        assert answer.verdict is Verdict.RUN
        assert await older.ledger.payloads([second.id]) == [b'{"week":2}']


async def test_an_order_of_a_purged_mission_is_still_dropped(older: Commander) -> None:
    async with older.serving():
        first = await first_life(older)
        older.memory.forget(first.id)
        answer = await older.claim_by(first)
        assert (answer.verdict, answer.drop) == (Verdict.DROP, DropReason.PURGED)


# What comes late of an earlier life.


@asynccontextmanager
async def reading(commander: Commander) -> AsyncIterator[None]:
    rejects = Rejects(commander.broker, commander.clock, count=commander.count_rejected)
    reporter = commander.a_reporter(rejects)
    undelivered = Undelivered(
        commander.recorder,
        commander.broker,
        commander.tombstones,
        commander.eras,
        rejects,
        commander.proofs,
        commander.counts,
    )
    async with commander.serving(reporter.run, rejects.run, undelivered.run):
        yield


def is_empty(commander: Commander, queue: topology.Queue) -> bool:
    held = commander.broker.server.find(queue.name)
    assert held is not None
    return not held.ready and not any(taker._unsettled for taker in held._takers)  # type: ignore[attr-defined]


async def send_all_of(commander: Commander, first: Mission) -> Mapping[str, Any]:
    """All that may still be under way of an earlier life, with its true secret."""
    await commander.publish_report(report_on(commander, first))
    dead = Message(exchange=topology.MISSIONS, key=topology.DEAD.key, body=messages.encode(order_of(first)))
    await commander.broker.publish([dead])
    await eventually(lambda: is_empty(commander, topology.STATUS), "the report is read")
    await eventually(lambda: is_empty(commander, topology.DEAD), "the order is read")
    return {
        "claim": await commander.claim_by(first),
        "told": (await commander.claims.answer_all(SOLDIER, [claim_of(first, order=messages.encode(order_of(first)))]))[
            0
        ],
        "beat": await commander.beat(commander.told(first)),
    }


@pytest.mark.parametrize("is_running", [False, True], ids=["handed out", "running"])
async def test_what_comes_late_of_an_earlier_life_does_not_touch_the_later_one(
    older: Commander, is_running: bool
) -> None:
    async with reading(older):
        first = await first_life(older)
        second = (await older.submit(week=2)).mission
        if is_running:
            second = await older.claim(second)
        answers = await send_all_of(older, first)
        assert await older.stored(second) == second
        assert older.memory.get(second.id) == second
    assert answers["claim"].verdict is answers["told"].verdict is Verdict.DROP
    assert [held.epoch for held in answers["beat"].drops] == [first.epoch]
    assert not older.eras.is_in_doubt


async def test_what_comes_late_rebuilds_nothing_where_the_later_life_was_lost(older: Commander, stage: Stage) -> None:
    async with reading(older):
        first = await first_life(older)
        backup = await stage.backup()
        second = (await older.submit(week=2)).mission
        await stage.roll_back(backup)
        await older.begin_new_era()
        older.memory.forget(second.id)
        older.settle()
        await send_all_of(older, first)
        assert await older.stored(first) is None
        assert (await older.beat(older.told(second))).drops == ()
        rebuilt = await older.stored(second)
        assert rebuilt is not None, "the holder of the second proves it"
        assert rebuilt.envelope == second.envelope


async def test_a_holder_of_the_later_life_is_not_dropped_for_the_end_of_the_earlier_one(
    older: Commander, younger: Commander
) -> None:
    async with both(older, younger):
        await first_life(older)
        second = await younger.claim((await younger.submit(week=2)).mission)
        answer = await older.beat(older.hold(second))
        assert (answer.drops, answer.applied) == ((), ())
        assert older.memory.get(second.id) == second


async def test_a_report_on_the_later_life_ends_it_where_only_the_earlier_one_is_known(
    older: Commander, younger: Commander
) -> None:
    async with reading(older), younger.serving():
        await first_life(older)
        second = await younger.claim((await younger.submit(week=2)).mission)
        await older.publish_report(report_on(older, second))
        await eventually(lambda: older.memory.get(second.id) != second and is_empty(older, topology.STATUS), "read")
        ended = await older.stored(second)
        assert ended is not None
        assert (ended.envelope, ended.state) == (second.envelope, MissionState.COMPLETED)


# Without the ledger.


async def test_without_the_ledger_a_key_past_its_retention_is_accepted_as_a_new_mission(older: Commander) -> None:
    async with reading(older):
        first = await older.complete((await older.submit(week=1)).mission)
        older.clock.turn(RETENTION_SECONDS + 0.1)
        assert older.memory.get(first.id) == first, "not even memory has forgotten it"
        async with running(older.acceptances.run):
            older.is_known_to_be_away = True
            accepted = await older.submit(week=2)
            older.is_known_to_be_away = False
        assert (accepted.is_new, accepted.is_recorded) == (True, False)
        await eventually(lambda: older.acceptances.known(first.id) is None, "it is recorded")
        second = await older.stored(first)
        assert second is not None
        assert second.phase is Phase.OUT
        assert second.envelope == accepted.mission.envelope
        assert min(second.epoch, second.sequence) > max(first.epoch, first.sequence)


async def test_without_the_ledger_a_key_within_its_retention_is_the_same_mission(older: Commander) -> None:
    async with older.serving():
        first = await older.complete((await older.submit(week=1)).mission)
        older.clock.turn(RETENTION_SECONDS - 1)
        older.is_known_to_be_away = True
        assert await older.submit(week=1) == Accepted(first, is_new=False)


# Retries.


async def test_a_retry_of_the_later_life_is_a_mission_of_its_own(older: Commander) -> None:
    retrier = Retrier(
        older.recorder,
        older.ledger,
        older.ids,
        older.clock,
        older.around,
        older.admission,
    )

    async def retry(mission: Mission) -> Mission:
        [new] = await retrier.retry_all([mission], trace_id="t-2")
        assert isinstance(new, Mission)
        return new

    async with older.serving():
        first = await older.cancel((await older.submit(week=1)).mission)
        older.clock.turn(RETENTION_SECONDS / 2)
        retried = await retry(first)
        assert (await retry(first)).id == retried.id, "asking twice makes it once"
        older.clock.turn(RETENTION_SECONDS / 2 + MAX_CLOCK_SKEW_SECONDS + 1)
        assert await older.purge() == 1
        second = await older.cancel((await older.submit(week=2)).mission)
        assert second.id == first.id
        again = await retry(second)
        assert again.id != retried.id, "that is the retry of the first"
        assert await older.ledger.payloads([again.id]) == [b'{"week":2}']
