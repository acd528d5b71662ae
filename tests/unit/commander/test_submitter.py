"""Accepting missions: the same submission again is the same mission, and what cannot be accepted says why."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from support.commander_stage import Stage, a_pool, running

from mission_commander.domain.record import Phase
from mission_commander.ports import LedgerAwayError
from mission_commander.services.eras import WORDS_AHEAD
from mission_commander.services.submission import Accepted, RefusedError, Request, Submitter
from mission_contracts.envelope import Door
from mission_contracts.mission import GREATEST_NUMBER, NUMBERS_PER_ERA, MissionState, Reason
from mission_contracts.rest import Floor, Submission
from mission_contracts.spec import MAX_PAYLOAD_BYTES
from mission_contracts.testing import ERA

UID = "2f1c6d1e-0000-4000-8000-000000000001"


@pytest.fixture
async def submitter(stage: Stage) -> Submitter:
    await stage.garrison.declare(a_pool())
    return stage.a_submitter()


def asked(
    *, subject: str = "anna", key: str | None = None, payload: dict[str, Any] | None = None, **fields: Any
) -> Request:
    submission = Submission(type="noop", payload=payload or {}, **fields)
    return Request(submission=submission, subject=subject, idempotency_key=key, trace_id="t-1")


def from_object(**fields: Any) -> Request:
    return asked(subject="operator", door=Door.CLUSTER, mission_id=UID, name="resize-7", **fields)


async def accepted(submitter: Submitter, request: Request) -> Accepted:
    [answer] = await submitter.submit_all([request])
    assert isinstance(answer, Accepted), answer
    return answer


async def refused(submitter: Submitter, request: Request) -> RefusedError:
    [answer] = await submitter.submit_all([request])
    assert isinstance(answer, RefusedError), answer
    return answer


async def test_an_accepted_mission_is_durable_and_out(stage: Stage, submitter: Submitter) -> None:
    async with running(stage.recorder.run):
        answer = await accepted(submitter, asked(payload={"width": 640}))
    assert answer.is_new
    assert stage.record(answer.mission) == answer.mission
    assert answer.mission.phase is Phase.OUT
    assert answer.mission.envelope.trace_id == "t-1"
    assert stage.store.data.payloads[answer.mission.id] == b'{"width":640}'


async def test_every_field_of_the_spec_reaches_the_envelope(stage: Stage, submitter: Submitter) -> None:
    start = datetime.fromtimestamp(stage.clock.now() + 60, UTC)
    async with running(stage.recorder.run):
        answer = await accepted(
            submitter,
            asked(
                pool="gpu",
                start_after=start,
                timeout_seconds=5,
                deadline_seconds=500,
                retry={"max_attempts": 7, "initial_delay_seconds": 2, "multiplier": 3, "max_delay_seconds": 9},
                priority="High",
                namespace="team-a",
            ),
        )
    envelope = answer.mission.envelope
    assert (envelope.pool, envelope.namespace, envelope.start_after) == ("gpu", "team-a", start.timestamp())
    assert (envelope.timeout_seconds, envelope.deadline_seconds, envelope.priority) == (5, 500, "High")
    assert (envelope.retry.max_attempts, envelope.retry.initial_delay_seconds) == (7, 2)
    assert (envelope.retry.multiplier, envelope.retry.max_delay_seconds) == (3, 9)


# Idempotency.


async def test_the_same_key_and_body_give_the_same_mission(stage: Stage, submitter: Submitter) -> None:
    async with running(stage.recorder.run):
        first = await accepted(submitter, asked(key="k", payload={"width": 640}))
        stage.clock.turn(100)
        again = await accepted(submitter, asked(key="k", payload={"width": 640}))
    assert again == Accepted(first.mission, is_new=False)
    assert len(stage.store.data.records) == 1


async def test_the_same_key_at_once_makes_one_mission(stage: Stage, submitter: Submitter) -> None:
    async with running(stage.recorder.run):
        answers = await asyncio.gather(*(accepted(submitter, asked(key="k")) for _ in range(10)))
    assert sum(answer.is_new for answer in answers) == 1
    assert len({answer.mission.id for answer in answers}) == 1


async def test_the_same_key_at_two_commanders_makes_one_mission(stage: Stage, submitter: Submitter) -> None:
    other = stage.another()
    there = other.a_submitter(stage.around)
    async with running(stage.recorder.run, other.recorder.run):
        answers = await asyncio.gather(accepted(submitter, asked(key="k")), accepted(there, asked(key="k")))
    assert sorted(answer.is_new for answer in answers) == [False, True]


async def test_the_same_key_twice_in_one_batch_makes_one_mission(stage: Stage, submitter: Submitter) -> None:
    async with running(stage.recorder.run):
        first, second = await submitter.submit_all([asked(key="k"), asked(key="k")])
    assert isinstance(first, Accepted)
    assert second == Accepted(first.mission, is_new=False)


async def test_a_key_remembers_the_mission_after_its_end(stage: Stage, submitter: Submitter) -> None:
    async with running(stage.recorder.run):
        first = await accepted(submitter, asked(key="k"))
        ended = await stage.cancel(first.mission)
        restarted = stage.another()
        there = restarted.a_submitter(stage.around)
        async with running(restarted.recorder.run):
            assert await accepted(there, asked(key="k")) == Accepted(ended, is_new=False)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"payload": {"width": 641}}, id="another payload"),
        pytest.param({"pool": "gpu"}, id="another pool"),
        pytest.param({"priority": "High"}, id="another priority"),
        pytest.param({"retry": {"max_attempts": 9}}, id="another retry policy"),
    ],
)
async def test_the_same_key_for_another_mission_is_refused(
    stage: Stage, submitter: Submitter, other: dict[str, Any]
) -> None:
    async with running(stage.recorder.run):
        first = await accepted(submitter, asked(key="k", payload={"width": 640}))
        why = await refused(submitter, asked(key="k", **({"payload": {"width": 640}} | other)))
    assert (why.code, why.status) == ("IdempotencyKeyReused", 422)
    assert "new key" in why.detail
    assert stage.record(first.mission) == first.mission


async def test_defaults_that_are_spelt_out_are_the_same_body(stage: Stage, submitter: Submitter) -> None:
    async with running(stage.recorder.run):
        await accepted(submitter, asked(key="k"))
        again = await accepted(submitter, asked(key="k", pool="default", priority="Normal"))
    assert not again.is_new


async def test_the_order_of_a_payloads_keys_does_not_matter(stage: Stage, submitter: Submitter) -> None:
    async with running(stage.recorder.run):
        await accepted(submitter, asked(key="k", payload={"a": 1, "b": {"c": 2, "d": 3}}))
        again = await accepted(submitter, asked(key="k", payload={"b": {"d": 3, "c": 2}, "a": 1}))
    assert not again.is_new


async def test_a_key_belongs_to_its_subject(stage: Stage, submitter: Submitter) -> None:
    async with running(stage.recorder.run):
        first = await accepted(submitter, asked(subject="anna", key="k"))
        second = await accepted(submitter, asked(subject="ben", key="k"))
    assert second.is_new
    assert second.mission.id != first.mission.id


@pytest.mark.parametrize(("one", "another"), [(("a", "bc"), ("ab", "c")), (("1:a", "b"), ("1", "ab"))])
async def test_subject_and_key_never_run_into_each_other(
    stage: Stage, submitter: Submitter, one: tuple[str, str], another: tuple[str, str]
) -> None:
    async with running(stage.recorder.run):
        first = await accepted(submitter, asked(subject=one[0], key=one[1]))
        second = await accepted(submitter, asked(subject=another[0], key=another[1]))
    assert first.mission.id != second.mission.id


async def test_without_a_key_every_submission_is_a_mission(stage: Stage, submitter: Submitter) -> None:
    async with running(stage.recorder.run):
        first, second = [await accepted(submitter, asked()) for _ in range(2)]
    assert first.mission.id != second.mission.id


# The cluster door.


async def test_an_object_is_its_uid_whatever_its_spec_says_later(stage: Stage, submitter: Submitter) -> None:
    async with running(stage.recorder.run):
        first = await accepted(submitter, from_object())
        again = await accepted(submitter, from_object(timeout_seconds=77))
    assert first.mission.id == UID
    assert again == Accepted(first.mission, is_new=False)


async def test_a_floor_lifts_a_new_records_numbers(stage: Stage, submitter: Submitter) -> None:
    high = (ERA + 1) * NUMBERS_PER_ERA
    floor = {"state": "IN_PROGRESS", "epoch": high, "sequence": high + 5, "attempt": 2}
    async with running(stage.recorder.run):
        answer = await accepted(submitter, from_object(floor=floor))
    assert answer.mission.epoch > high
    assert answer.mission.sequence > high + 5
    assert answer.mission.attempt == 1, "nobody knows that the attempt which its object shows failed"


async def test_a_floor_lifts_a_record_that_was_rolled_back(stage: Stage, submitter: Submitter) -> None:
    async with running(stage.recorder.run):
        before = (await accepted(submitter, from_object())).mission
        floor = {"state": "QUEUED", "epoch": before.epoch + 3, "sequence": before.sequence + 9, "attempt": 1}
        after = (await accepted(submitter, from_object(floor=floor))).mission
    assert after.sequence > before.sequence + 9, "or the API server would refuse its status for ever"
    assert after.epoch > before.epoch + 3, "or an order of the lost history could still be claimed"
    assert stage.record(before) == after


@pytest.mark.parametrize("number", ["epoch", "sequence"])
async def test_a_floor_that_no_ledger_gave_is_refused_and_its_neighbour_accepted(
    stage: Stage, submitter: Submitter, number: str
) -> None:
    floor = {"state": "QUEUED", number: (ERA + WORDS_AHEAD + 1) * NUMBERS_PER_ERA}
    async with running(stage.recorder.run):
        answers = await submitter.submit_all([from_object(floor=floor), asked()])
    assert isinstance(answers[0], RefusedError)
    assert (answers[0].code, answers[0].status, answers[0].field) == ("EraAhead", 422, "floor")
    assert isinstance(answers[1], Accepted)
    assert UID not in stage.store.data.records
    assert not stage.eras.is_in_doubt


@pytest.mark.parametrize(
    "floor",
    [
        {"sequence": GREATEST_NUMBER + 1},
        {"epoch": 2**64},
        {"attempt": 2**64},
    ],
)
def test_a_floor_beyond_all_numbers_cannot_be_written_down(floor: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="less than or equal"):
        Floor.model_validate({"state": "QUEUED"} | floor)


async def test_an_object_that_is_suspended_or_cancelled_already_never_runs(stage: Stage, submitter: Submitter) -> None:
    async with running(stage.recorder.run):
        suspended = await accepted(submitter, asked(suspend=True))
        cancelled = await accepted(submitter, asked(cancel=True))
    assert suspended.mission.reason is Reason.SUSPENDED
    assert cancelled.mission.state is MissionState.CANCELLED
    assert not stage.store.data.outbox


# Refusals.


@pytest.mark.parametrize(
    ("size", "fits"),
    [pytest.param(MAX_PAYLOAD_BYTES, True, id="as large as it may be"), pytest.param(MAX_PAYLOAD_BYTES + 1, False)],
)
async def test_a_payload_is_bounded(stage: Stage, submitter: Submitter, size: int, fits: bool) -> None:
    payload = {"x": "y" * (size - len('{"x":""}'))}
    async with running(stage.recorder.run):
        [answer] = await submitter.submit_all([asked(payload=payload)])
    if fits:
        assert isinstance(answer, Accepted)
        return
    assert isinstance(answer, RefusedError)
    assert (answer.code, answer.status, answer.field) == ("PayloadTooLarge", 413, "payload")
    assert not stage.store.data.records


async def test_a_start_beyond_the_deadline_is_refused(stage: Stage, submitter: Submitter) -> None:
    start = datetime.fromtimestamp(stage.clock.now() + 200, UTC)
    async with running(stage.recorder.run):
        why = await refused(submitter, asked(start_after=start, deadline_seconds=100))
    assert "beyond the deadline" in why.detail


async def test_a_start_at_the_end_of_all_dates_refuses_only_itself(stage: Stage, submitter: Submitter) -> None:
    start = datetime.fromisoformat("9999-12-31T23:59:59-14:00")
    async with running(stage.recorder.run):
        answers = await submitter.submit_all([asked(start_after=start), asked()])
    assert isinstance(answers[0], RefusedError)
    assert "startAfter 9999-12-31T23:59:59Z lies beyond the deadline" in answers[0].detail
    assert isinstance(answers[1], Accepted)


async def test_one_refusal_in_a_batch_refuses_only_itself(stage: Stage, submitter: Submitter) -> None:
    async with running(stage.recorder.run):
        answers = await submitter.submit_all(
            [asked(), asked(payload={"x": "y" * MAX_PAYLOAD_BYTES}), asked(), asked(payload={"n": float("nan")})]
        )
    assert [type(answer) for answer in answers] == [Accepted, RefusedError, Accepted, RefusedError]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
async def test_a_number_that_json_cannot_carry_is_refused_not_changed(
    stage: Stage, submitter: Submitter, value: float
) -> None:
    async with running(stage.recorder.run):
        why = await refused(submitter, asked(payload={"deep": [{"n": value}]}))
    assert (why.code, why.field) == ("BadField", "payload")
    assert not stage.store.data.records


@pytest.mark.parametrize("value", [None, 2**70, 1e308, "null", [None, {"null": "NaN"}]])
async def test_whatever_json_can_carry_is_kept_as_it_is(stage: Stage, submitter: Submitter, value: object) -> None:
    async with running(stage.recorder.run):
        answer = await accepted(submitter, asked(payload={"n": value}))
    assert json.loads(stage.store.data.payloads[answer.mission.id]) == {"n": value}


async def test_without_ledger_and_broker_nothing_is_accepted(stage: Stage, submitter: Submitter) -> None:
    async with running(stage.recorder.run, stage.acceptances.run):
        stage.ledger.cut()
        stage.broker.cut()
        [answer] = await submitter.submit_all([asked()])
    assert isinstance(answer, LedgerAwayError)


async def test_a_pool_that_nobody_declared_is_waited_for(stage: Stage, submitter: Submitter) -> None:
    async with running(stage.recorder.run):
        answer = await accepted(submitter, asked(pool="gpu"))
    assert answer.mission.reason is Reason.NO_POOL
