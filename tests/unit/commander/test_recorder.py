"""The one way into the ledger: group commit, lost races, and who hears of what went wrong."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from support.commander_stage import Stage, eventually, running, turns

from mission_commander.domain import life
from mission_commander.domain.life import Moment
from mission_commander.domain.record import Mission, Phase
from mission_commander.ports import LedgerAwayError
from mission_commander.services import recorder
from mission_commander.services.recorder import MAX_COMMIT, Command, Decision
from mission_contracts import mission as m
from mission_contracts.testing import ERA, a_mission


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "NEW_ERA_SECONDS", 0.01)


Move = Callable[[Mission, Moment], Mission | None]


def accept(mission_id: str, *, presumed_absent: bool = True) -> Command[Any]:
    """Answers whether this very decision made the mission."""
    envelope = a_mission(mission_id)

    def decide(mission: Mission | None, moment: Moment) -> Decision[bool]:
        if mission is not None:
            return Decision(False)
        return Decision(True, life.accept(envelope, moment, life.OPEN_FIELD), b"{}")

    return Command(envelope.mission_id, decide, presumed_absent)


def look(mission_id: str) -> Command[Mission | None]:
    return Command(m.MissionId(mission_id), lambda mission, _: Decision(mission))


def cancel(mission_id: str) -> Command[m.Sequence]:
    """Answers the sequence that the decision was made on."""

    def decide(mission: Mission | None, moment: Moment) -> Decision[m.Sequence]:
        assert mission is not None
        return Decision(mission.sequence, life.cancel(mission, moment))

    return Command(m.MissionId(mission_id), decide)


def broken(mission_id: str) -> Command[Any]:
    def decide(_: Mission | None, __: Moment) -> Decision[Any]:
        raise life.IllegalMoveError("a defect")

    return Command(m.MissionId(mission_id), decide)


# Group commit.


async def test_a_decision_is_answered_once_it_is_durable(stage: Stage) -> None:
    async with running(stage.recorder.run):
        stage.ledger.gate.clear()
        answer = asyncio.create_task(stage.recorder.decide(accept("m-1")))
        await eventually(lambda: stage.ledger.under_way, "the commit is under way")
        await turns()
        assert not answer.done()
        assert stage.memory.get(m.MissionId("m-1")) is None, "memory never leads the ledger"
        stage.ledger.gate.set()
        assert await answer is True
    assert stage.memory.get(m.MissionId("m-1")) is not None


async def test_decisions_made_while_a_commit_is_under_way_share_the_next_one(stage: Stage) -> None:
    async with running(stage.recorder.run):
        stage.ledger.gate.clear()
        first = asyncio.create_task(stage.recorder.decide(accept("first")))
        await eventually(lambda: stage.ledger.under_way, "the first commit is under way")
        others = [asyncio.create_task(stage.recorder.decide(accept(f"m-{n}"))) for n in range(20)]
        await turns()
        stage.ledger.gate.set()
        await asyncio.gather(first, *others)
    assert [len(changes) for changes in stage.ledger.commits] == [1, 20]


async def test_one_commit_is_bounded(stage: Stage) -> None:
    async with running(stage.recorder.run):
        await stage.recorder.decide_all([accept(f"m-{n}") for n in range(2 * MAX_COMMIT + 1)])
    assert [len(changes) for changes in stage.ledger.commits] == [MAX_COMMIT, MAX_COMMIT, 1]


async def test_answers_come_in_the_order_of_the_commands(stage: Stage) -> None:
    async with running(stage.recorder.run):
        assert await stage.recorder.decide_all([accept("a"), accept("b"), accept("a")]) == [True, True, False]


async def test_nothing_to_decide_is_answered_at_once(stage: Stage) -> None:
    assert await stage.recorder.decide_all([]) == []


async def test_two_decisions_on_one_mission_in_one_batch_build_on_each_other(stage: Stage) -> None:
    async with running(stage.recorder.run):
        made, seen = await asyncio.gather(stage.recorder.decide(accept("m-1")), stage.recorder.decide(cancel("m-1")))
    assert made
    [[change]] = stage.ledger.commits
    assert change.expected == 0
    assert change.payload == b"{}"
    assert seen < change.mission.sequence
    assert change.mission.state is m.MissionState.CANCELLED


async def test_what_changes_nothing_costs_no_commit(stage: Stage) -> None:
    async with running(stage.recorder.run):
        assert await stage.recorder.decide(look("m-1")) is None
    assert not stage.ledger.commits


# Hand-outs.


async def test_every_hand_out_is_told_once_it_is_durable(stage: Stage) -> None:
    told: list[m.MissionId] = []
    stage.recorder.on_hand_out(lambda missions: told.extend(one.id for one in missions))
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1")
        await stage.claim(mission)
        await stage.accept("m-2", suspended=True)
    assert told == ["m-1"]
    assert [entry.mission_id for entry in stage.store.data.outbox] == ["m-1"]


async def test_a_hand_out_that_was_taken_back_in_the_same_batch_is_not_told(stage: Stage) -> None:
    told: list[Mission] = []
    stage.recorder.on_hand_out(told.extend)
    async with running(stage.recorder.run):
        await asyncio.gather(stage.recorder.decide(accept("m-1")), stage.recorder.decide(cancel("m-1")))
    assert not told
    assert not stage.store.data.outbox


# Lost races.


async def test_a_lost_race_is_decided_again_on_what_the_winner_wrote(stage: Stage) -> None:
    other = stage.another()
    async with running(stage.recorder.run, other.recorder.run):
        mission = await stage.accept("m-1")
        told = await other.move(mission, lambda one, at: life.explain(one, at, m.Reason.POOL_AT_MAX, "full"))
        assert stage.memory.get(mission.id) == mission, "this Commander has not heard of it"
        assert await stage.recorder.decide(cancel("m-1")) == told.sequence
    assert stage.record(mission).state is m.MissionState.CANCELLED


async def test_a_mission_presumed_absent_that_is_there_is_found(stage: Stage) -> None:
    other = stage.another()
    async with running(stage.recorder.run, other.recorder.run):
        await stage.accept("m-1")
        assert await other.recorder.decide(accept("m-1")) is False


async def test_a_purged_mission_is_forgotten_by_whoever_still_knows_it(stage: Stage) -> None:
    async with running(stage.recorder.run):
        mission = await stage.cancel(await stage.accept("m-1"))
        stage.clock.turn(1)
        assert await stage.ledger.purge(stage.clock.now(), 10) == 1
        noted = Command(mission.id, lambda one, at: Decision(one, one and life.acknowledge(one, at)))
        assert await stage.recorder.decide(noted) is None
    assert stage.memory.get(mission.id) is None


async def test_whoever_loses_every_race_is_told_to_try_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1")
        rival = mission
        commit = stage.ledger.commit

        async def outrun(era: m.Era, changes: object, **more: object) -> object:
            nonlocal rival
            rival = life.hand_out(rival, Moment(stage.clock.now(), ERA))
            stage.store.data.records[rival.id] = rival
            return await commit(era, changes, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(stage.ledger, "commit", outrun)
        with pytest.raises(LedgerAwayError, match="try once more"):
            await stage.recorder.decide(cancel("m-1"))
        monkeypatch.undo()
        await stage.recorder.decide(cancel("m-1"))


# A ledger that knows less than memory was rolled back: the maximum wins, nothing is stuck or lost.


async def test_a_record_that_was_rolled_back_is_lifted_by_the_next_decision(stage: Stage) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1")
        backup = stage.store.backup()
        claimed = await stage.claim(mission)
        stage.store.roll_back(backup)
        await stage.begin_new_era()
        await stage.recorder.decide(cancel("m-1"))
    assert stage.record(mission).reason is m.Reason.CANCEL_REQUESTED
    assert stage.record(mission).sequence > claimed.sequence


async def test_a_live_mission_that_the_ledger_lost_is_written_back_with_its_payload(stage: Stage) -> None:
    async with running(stage.recorder.run):
        backup = stage.store.backup()
        mission = await stage.accept("m-1", b'{"width":640}')
        stage.store.roll_back(backup)
        await stage.begin_new_era()
        told = await stage.move(mission, lambda one, at: life.explain(one, at, m.Reason.POOL_AT_MAX, "full"))
    assert stage.record(mission) == told
    assert stage.store.data.payloads[mission.id] == b'{"width":640}'
    assert [entry.epoch for entry in stage.store.data.outbox] == [mission.epoch]


async def test_a_final_record_wins_over_a_longer_life_in_memory(stage: Stage) -> None:
    other = stage.another()
    async with running(stage.recorder.run, other.recorder.run):
        mission = await stage.accept("m-1")
        backup = stage.store.backup()
        running_one = await stage.claim(mission)
        await stage.move(running_one, life.suspend)
        stage.store.roll_back(backup)
        ended = await other.cancel(mission)
        lost = stage.memory.get(mission.id)
        await stage.begin_new_era()
        found = await stage.recorder.decide(
            Command(mission.id, lambda one, at: Decision(one, one and life.resume(one, at, life.OPEN_FIELD)))
        )
    assert found is not None
    assert lost is not None
    assert found.state is ended.state is m.MissionState.CANCELLED
    assert found.sequence > lost.sequence, "whoever saw the lost record must not see a status go back"
    assert stage.record(mission) == stage.memory.get(mission.id) == found


async def test_a_rolled_back_ledger_is_told_to_whoever_restores(stage: Stage) -> None:
    told: list[m.Era | None] = []
    stage.recorder.on_loss(told.append)
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1")
        backup = stage.store.backup()
        claimed = await stage.claim(mission)
        stage.store.roll_back(backup)
        with pytest.raises(LedgerAwayError, match="being restored"):
            await stage.recorder.decide(cancel("m-1"))
    assert told == [ERA], "the ledger lacks some of this era"
    assert stage.record(mission) == mission, "nothing is written into a ledger that went back"
    assert stage.memory.get(mission.id) == claimed


async def test_a_decision_waits_for_the_era_that_follows_a_loss(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "NEW_ERA_SECONDS", 10.0)
    restorer = stage.a_restorer()
    async with running(stage.recorder.run):
        await stage.accept("m-1")
        stage.store.wipe()
        asked = asyncio.create_task(stage.recorder.decide(accept("m-2")))
        await turns()
        assert not asked.done()
        await restorer.look()
        assert await asked is True
    assert set(stage.store.data.records) == {"m-1", "m-2"}


# When the ledger is away, or another one.


async def test_without_ledger_everybody_is_told_and_the_next_batch_works(stage: Stage) -> None:
    async with running(stage.recorder.run):
        stage.ledger.cut()
        asked = [stage.recorder.decide(accept(f"m-{n}")) for n in range(3)]
        refused = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in refused] == [LedgerAwayError] * 3
        stage.ledger.mend()
        assert await stage.recorder.decide(accept("m-1"))


async def test_in_another_era_nothing_is_written_and_whoever_restores_is_told(stage: Stage) -> None:
    told: list[m.Era | None] = []
    stage.recorder.on_loss(told.append)
    async with running(stage.recorder.run):
        stage.store.wipe()
        with pytest.raises(LedgerAwayError, match="being restored"):
            await stage.recorder.decide(accept("m-1"))
    assert told == [None]
    assert not stage.store.data.records


# Defects.


async def test_a_decision_that_raises_hurts_only_itself(stage: Stage) -> None:
    async with running(stage.recorder.run):
        asked = [accept("a"), broken("b"), accept("c")]
        answers = await asyncio.gather(*map(stage.recorder.decide, asked), return_exceptions=True)
    assert [type(answer) for answer in answers] == [bool, life.IllegalMoveError, bool]


async def test_many_decisions_raise_the_first_error_once_all_have_ended(stage: Stage) -> None:
    async with running(stage.recorder.run):
        with pytest.raises(life.IllegalMoveError):
            await stage.recorder.decide_all([accept("a"), broken("b"), accept("c")])
    assert set(stage.store.data.records) == {"a", "c"}


async def test_each_of_many_decisions_is_answered_though_one_is_broken(stage: Stage) -> None:
    async with running(stage.recorder.run):
        answers = await stage.recorder.decide_each([accept("a"), broken("b"), accept("c")])
    assert [type(answer) for answer in answers] == [bool, life.IllegalMoveError, bool]


async def test_each_of_many_decisions_cannot_be_made_without_ledger(stage: Stage) -> None:
    async with running(stage.recorder.run):
        stage.ledger.cut()
        with pytest.raises(LedgerAwayError):
            await stage.recorder.decide_each([accept("a")])


async def test_a_commit_that_fails_in_an_unexpected_way_ends_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    async with running(stage.recorder.run):
        monkeypatch.setattr(stage.ledger, "commit", fail)
        with pytest.raises(ZeroDivisionError):
            await stage.recorder.decide(accept("m-1"))
        monkeypatch.undo()
        assert await stage.recorder.decide(accept("m-1"))


async def test_a_caller_that_left_does_not_disturb_the_others(stage: Stage) -> None:
    async with running(stage.recorder.run):
        stage.ledger.gate.clear()
        leaving = asyncio.create_task(stage.recorder.decide_all([accept("a"), broken("b")]))
        staying = asyncio.create_task(stage.recorder.decide(accept("c")))
        await eventually(lambda: stage.ledger.under_way, "the commit is under way")
        leaving.cancel()
        stage.ledger.gate.set()
        assert await staying
    assert set(stage.store.data.records) == {"a", "c"}


# The end.


async def test_whoever_waits_when_the_recorder_ends_is_told(stage: Stage) -> None:
    async with running(stage.recorder.run):
        stage.ledger.gate.clear()
        under_way = asyncio.create_task(stage.recorder.decide(accept("a")))
        await eventually(lambda: stage.ledger.under_way, "the commit is under way")
        queued = asyncio.create_task(stage.recorder.decide(accept("b")))
        await turns()
    async with asyncio.timeout(5):
        told = await asyncio.gather(under_way, queued, return_exceptions=True)
    assert [type(one) for one in told] == [LedgerAwayError, LedgerAwayError]


async def test_whoever_asks_after_the_end_is_told_at_once(stage: Stage) -> None:
    async with running(stage.recorder.run):
        await stage.accept("m-1")
    async with asyncio.timeout(5):
        with pytest.raises(LedgerAwayError, match="ends"):
            await stage.recorder.decide(accept("m-2"))


async def test_phases_are_what_the_ledger_has(stage: Stage) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1")
        assert stage.record(mission).phase is Phase.OUT
        assert stage.memory.get(mission.id) == stage.record(mission)


class Payload:
    """What a decision would write."""


async def test_what_was_decided_is_freed_without_waiting_for_the_collector(stage: Stage) -> None:
    """It may not look at old objects for long, and large payloads are few objects."""

    async def ask(mission_id: str) -> "weakref.ref[Payload]":
        payload = Payload()

        def decide(_: Mission | None, __: Moment) -> Decision[None]:
            assert payload is not None
            return Decision(None)

        await stage.recorder.decide_all([Command(m.MissionId(mission_id), decide)])
        return weakref.ref(payload)

    gc.disable()
    try:
        async with running(stage.recorder.run):
            freed = await ask("m-1")
            await ask("m-2")  # the loop still has its last batch
            assert freed() is None
    finally:
        gc.enable()
