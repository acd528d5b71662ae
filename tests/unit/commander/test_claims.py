"""Answering claims: RUN, DROP, WAIT, and what happens to missions that the ledger lacks."""

import base64

import msgspec
import pytest
from support.commander_stage import RETENTION_SECONDS, SOLDIER, Stage, a_lost_order, a_pool, running

from mission_commander.domain import life
from mission_commander.domain.record import Mission, Phase
from mission_commander.services.claims import Claims
from mission_contracts import messages, metrics
from mission_contracts.mission import Epoch, Instance, MissionId, Reason
from mission_contracts.soldiering import Claim, ClaimAnswer, DropReason, Verdict
from mission_contracts.testing import ERA, a_mission, an_order

DROP_PURGED = ClaimAnswer(verdict=Verdict.DROP, drop=DropReason.PURGED)


def claim_of(mission: Mission, **fields: object) -> Claim:
    told = {"epoch": mission.epoch, "accepted_at": mission.envelope.accepted_at} | fields
    return Claim(mission_id=mission.id, era=ERA, **told)  # type: ignore[arg-type]


def claim_before_order(order: messages.Order) -> Claim:
    envelope = order.envelope
    return Claim(mission_id=envelope.mission_id, epoch=order.epoch, era=order.era, accepted_at=envelope.accepted_at)


def claim_by_order(order: messages.Order) -> Claim:
    return msgspec.structs.replace(claim_before_order(order), order=messages.encode(order))


async def test_run_comes_with_all_that_a_soldier_needs(stage: Stage, claims: Claims) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1", timeout_seconds=60)
        [answer] = await claims.answer_all(SOLDIER, [claim_of(mission)])
    assert answer == ClaimAnswer(
        verdict=Verdict.RUN,
        secret=stage.secrets.of(mission.id, mission.epoch, SOLDIER),
        attempt=1,
        timeout_seconds=60,
    )
    assert stage.record(mission).holder == SOLDIER, "RUN follows a durable write"


async def test_a_lost_answer_is_given_again_word_for_word(stage: Stage, claims: Claims) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1")
        first = await claims.answer_all(SOLDIER, [claim_of(mission)])
        assert await claims.answer_all(SOLDIER, [claim_of(mission)]) == first


async def test_two_instances_at_once_get_one_run(stage: Stage, claims: Claims) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1")
        answers = [
            (await claims.answer_all(Instance(f"soldier-{number}"), [claim_of(mission)]))[0] for number in range(3)
        ]
    assert [answer.verdict for answer in answers] == [Verdict.RUN, Verdict.DROP, Verdict.DROP]
    assert answers[1].drop is DropReason.SPENT


async def test_answers_come_in_the_order_of_the_claims(stage: Stage, claims: Claims) -> None:
    async with running(stage.recorder.run):
        first, second = await stage.accept("m-1"), await stage.accept("m-2")
        await stage.cancel(first)
        answers = await claims.answer_all(SOLDIER, [claim_of(first), claim_of(second)])
    assert [answer.verdict for answer in answers] == [Verdict.DROP, Verdict.RUN]
    assert stage.counts.of(metrics.CLAIMS) == {("cancelled",): 1, ("RUN",): 1}


async def test_without_a_handler_the_reason_names_what_the_pool_handles(stage: Stage, claims: Claims) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1", type="resize")
        [answer] = await claims.answer_all(SOLDIER, [claim_of(mission, has_handler=False)])
    assert answer.drop is DropReason.NO_HANDLER
    assert stage.record(mission).reason is Reason.NO_HANDLER
    assert "it handles noop" in stage.record(mission).message


async def test_without_ledger_every_claim_waits(stage: Stage, claims: Claims) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1")
        stage.ledger.cut()
        answers = await claims.answer_all(SOLDIER, [claim_of(mission), claim_of(mission, epoch=Epoch(1))])
        stage.ledger.mend()
        assert {answer.verdict for answer in answers} == {Verdict.WAIT}
        assert all(answer.wait_ms > 0 for answer in answers)
        [answer] = await claims.answer_all(SOLDIER, [claim_of(mission)])
    assert answer.verdict is Verdict.RUN


async def test_a_wiped_ledger_waits_too(stage: Stage, claims: Claims) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1")
        stage.store.wipe()
        [answer] = await claims.answer_all(SOLDIER, [claim_of(mission)])
    assert answer.verdict is Verdict.WAIT


async def test_a_defect_on_one_mission_does_not_hold_up_its_neighbours(
    stage: Stage, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = life.claim

    def sometimes_broken(mission: Mission, *arguments: object, **named: object) -> object:
        if mission.id == "broken":
            raise life.IllegalMoveError("a defect")
        return decide(mission, *arguments, **named)  # type: ignore[arg-type]

    async with running(stage.recorder.run):
        broken, sound = await stage.accept("broken"), await stage.accept("sound")
        monkeypatch.setattr(life, "claim", sometimes_broken)
        answers = await claims.answer_all(SOLDIER, [claim_of(broken), claim_of(sound)])
    assert [answer.verdict for answer in answers] == [Verdict.WAIT, Verdict.RUN]


# What the ledger lacks.


async def test_a_mission_that_the_ledger_lacks_is_asked_for_and_rebuilt_from_its_order(
    stage: Stage, claims: Claims
) -> None:
    order = a_lost_order()
    told = claim_by_order(order)
    stage.settle()
    async with running(stage.recorder.run):
        [first] = await claims.answer_all(SOLDIER, [claim_before_order(order)])
        assert first.verdict is Verdict.TELL
        [second] = await claims.answer_all(SOLDIER, [told])
    assert (second.verdict, second.attempt) == (Verdict.RUN, 1)
    rebuilt = stage.store.data.records[MissionId("lost")]
    assert (rebuilt.phase, rebuilt.epoch, rebuilt.envelope) == (Phase.CLAIMED, order.epoch, order.envelope)
    assert stage.store.data.payloads[rebuilt.id] == b'{"width":640}'


async def test_a_purged_mission_is_dropped_by_its_tombstone(stage: Stage, claims: Claims) -> None:
    async with running(stage.recorder.run):
        mission = await stage.cancel(await stage.accept("m-1"))
        stage.clock.turn(1)
        assert await stage.ledger.purge(stage.clock.now(), 10) == 1
        stage.memory.forget(mission.id)
        assert await claims.answer_all(SOLDIER, [claim_of(mission)]) == [DROP_PURGED]


async def test_a_mission_older_than_the_retention_is_dropped_without_tombstone(stage: Stage, claims: Claims) -> None:
    async with running(stage.recorder.run):
        stage.clock.turn(RETENTION_SECONDS + 1)
        order = an_order(a_mission("old"))
        [answer] = await claims.answer_all(SOLDIER, [claim_before_order(order)])
    assert answer == DROP_PURGED


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(b"not an order", id="unreadable"),
        pytest.param(base64.b64encode(messages.encode(a_lost_order("another"))), id="encoded twice"),
        pytest.param(messages.encode(a_lost_order("another")), id="of another mission"),
    ],
)
async def test_an_order_that_does_not_fit_its_claim_is_dropped(stage: Stage, claims: Claims, told: bytes) -> None:
    async with running(stage.recorder.run):
        stage.settle()
        claim = msgspec.structs.replace(claim_by_order(a_lost_order()), order=told)
        assert await claims.answer_all(SOLDIER, [claim]) == [ClaimAnswer(verdict=Verdict.DROP, drop=DropReason.STALE)]
    assert not stage.store.data.records


async def test_an_order_past_its_deadline_is_rebuilt_as_failed(stage: Stage, claims: Claims) -> None:
    async with running(stage.recorder.run):
        stage.clock.turn(11)
        claim = claim_by_order(a_lost_order("late", deadline_seconds=10))
        [answer] = await claims.answer_all(SOLDIER, [claim])
    assert answer.drop is DropReason.PAST_DEADLINE
    assert stage.store.data.records[MissionId("late")].reason is Reason.DEADLINE_EXCEEDED


async def test_a_slow_second_soldier_cannot_rebuild_what_was_rebuilt(stage: Stage, claims: Claims) -> None:
    claim = claim_by_order(a_lost_order())
    stage.settle()
    async with running(stage.recorder.run):
        await claims.answer_all(SOLDIER, [claim])
        [answer] = await claims.answer_all(Instance("soldier-2"), [claim])
    assert answer.drop is DropReason.SPENT


async def test_a_paused_pools_order_waits_in_its_soldier_and_costs_no_write(stage: Stage, claims: Claims) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1")
        await stage.garrison.declare(a_pool(paused=True))
        [answer] = await claims.answer_all(SOLDIER, [claim_of(mission)])
        assert (answer.verdict, answer.wait_ms) == (Verdict.WAIT, 1_000)
        assert stage.record(mission) == mission
        await stage.garrison.declare(a_pool())
        [answer] = await claims.answer_all(SOLDIER, [claim_of(mission)])
        assert answer.verdict is Verdict.RUN


async def test_what_runs_goes_on_in_a_paused_pool(stage: Stage, claims: Claims) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1")
        granted = await claims.answer_all(SOLDIER, [claim_of(mission)])
        await stage.garrison.declare(a_pool(paused=True))
        assert await claims.answer_all(SOLDIER, [claim_of(mission)]) == granted, "a lost answer is given again"


async def test_what_is_over_is_dropped_although_the_pool_is_paused(stage: Stage, claims: Claims) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1")
        await stage.cancel(mission)
        await stage.garrison.declare(a_pool(paused=True))
        [answer] = await claims.answer_all(SOLDIER, [claim_of(mission)])
        assert answer.drop is DropReason.CANCELLED
