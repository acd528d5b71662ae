"""Accepting without the ledger: what the broker has confirmed is recorded once the ledger is back, each once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from support.commander_stage import SOLDIER, Stage, a_beat, a_pool, a_soldier, eventually, running, turns

from mission_broker.port import Message, Outcome
from mission_broker.rejecting import Rejects
from mission_commander.domain.record import Phase
from mission_commander.domain.unrecorded import Unrecorded, as_accepted
from mission_commander.ports import LedgerAwayError
from mission_commander.services import reporting
from mission_commander.services.acceptances import Acceptances
from mission_commander.services.peers import Peers
from mission_commander.services.submission import Accepted, Answer, RefusedError, Request, Submitter
from mission_commander.services.unheard_beats import UnheardBeats
from mission_contracts import messages, metrics, topology
from mission_contracts import mission as m
from mission_contracts.envelope import Door
from mission_contracts.install_key import InstallKey, Seals
from mission_contracts.messages import Acceptance, Shown
from mission_contracts.mission import NUMBERS_PER_ERA, Epoch, Instance, MissionId, MissionState
from mission_contracts.rest import Floor, Submission
from mission_contracts.testing import ERA, a_mission

UID = "2f1c6d1e-0000-4000-8000-000000000001"


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "RETRY_SECONDS", 0.01)


@pytest.fixture
async def submitter(stage: Stage) -> Submitter:
    await stage.garrison.declare(a_pool())
    await stage.broker.declare(topology.FIXED_QUEUES)
    return stage.a_submitter()


@asynccontextmanager
async def recording(stage: Stage) -> AsyncIterator[None]:
    """The consumer of `missions.status`, which records."""
    rejects = Rejects(stage.broker, stage.clock, count=stage.count_rejected)
    reporter = stage.a_reporter(rejects)
    async with running(reporter.run, rejects.run):
        yield


@asynccontextmanager
async def without_ledger(stage: Stage) -> AsyncIterator[None]:
    async with running(stage.recorder.run, stage.acceptances.run):
        stage.ledger.cut()
        yield


def asked(*, key: str | None = None, payload: dict[str, Any] | None = None, **fields: Any) -> Request:
    submission = Submission(type="noop", payload=payload or {}, **fields)
    return Request(submission=submission, subject="anna", idempotency_key=key, trace_id="t-1")


def from_object(**fields: Any) -> Request:
    return asked(door=Door.CLUSTER, mission_id=UID, name="resize-7", **fields)


def met(stage: Stage) -> dict[str, int]:
    """What became of the acceptances that were heard."""
    return {outcome: number for (outcome,), number in stage.counts.of(metrics.LATE_RECORDS).items()}


async def answered(submitter: Submitter, request: Request) -> Answer:
    [answer] = await submitter.submit_all([request])
    return answer


async def accepted(submitter: Submitter, request: Request) -> Accepted:
    answer = await answered(submitter, request)
    assert isinstance(answer, Accepted), answer
    return answer


async def test_runnable_work_is_accepted_and_recorded_and_out_once_the_ledger_is_back(
    stage: Stage, submitter: Submitter
) -> None:
    async with without_ledger(stage), recording(stage):
        answer = await accepted(submitter, asked(payload={"width": 640}))
        assert (answer.is_new, answer.is_recorded) == (True, False)
        assert answer.mission.state is MissionState.QUEUED
        await turns(50)
        assert not stage.store.data.records
        stage.clock.turn(30)
        stage.ledger.mend()
        await eventually(lambda: answer.mission.id in stage.store.data.records, "it is recorded")
    record = stage.record(answer.mission)
    assert record.phase is Phase.OUT
    assert record.envelope == answer.mission.envelope, "accepted when it was accepted, not when it was recorded"
    assert stage.store.data.payloads[record.id] == b'{"width":640}'
    assert record.sequence > answer.mission.sequence
    assert stage.unrecorded.get(record.id) is None


@pytest.mark.parametrize("is_known", [True, False])
async def test_it_is_the_same_whether_the_ledger_is_known_to_be_away_or_found_to_be(
    stage: Stage, submitter: Submitter, is_known: bool
) -> None:
    async with without_ledger(stage):
        stage.is_known_to_be_away = is_known
        assert not (await accepted(submitter, asked())).is_recorded


async def test_a_commit_whose_answer_was_lost_is_the_same_mission(stage: Stage, submitter: Submitter) -> None:
    """A request without a key gets its id once, whichever way it is accepted."""
    async with running(stage.recorder.run, stage.acceptances.run), recording(stage):
        stage.ledger.answers_to_lose = 1
        answer = await accepted(submitter, asked())
        await eventually(lambda: stage.counts.number(metrics.LATE_RECORDS, "known"), "the acceptance met the record")
    assert list(stage.store.data.records) == [answer.mission.id]


async def test_the_same_submission_again_is_answered_from_memory(stage: Stage, submitter: Submitter) -> None:
    async with without_ledger(stage):
        first = await accepted(submitter, asked(key="k", payload={"n": 1}))
        again = await accepted(submitter, asked(key="k", payload={"n": 1}))
        other = await answered(submitter, asked(key="k", payload={"n": 2}))
    assert again == Accepted(first.mission, is_new=False, is_recorded=False)
    assert isinstance(other, RefusedError)
    assert other.code == "IdempotencyKeyReused"
    assert stage.ready(topology.STATUS) == 1


async def test_a_recorded_mission_submitted_again_is_answered_from_memory(stage: Stage, submitter: Submitter) -> None:
    async with running(stage.recorder.run, stage.acceptances.run):
        first = await accepted(submitter, asked(key="k", suspend=True))
        stage.ledger.cut()
        again = await accepted(submitter, asked(key="k", suspend=True))
    assert again == Accepted(first.mission, is_new=False)
    assert stage.ready(topology.STATUS) == 0


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"start_after": 60.0}, id="it waits for a time"),
        pytest.param({"ordering_key": "k"}, id="it is in a lane"),
        pytest.param({"ordering_key": "k", "sequence_number": 1}, id="it has a number in a lane"),
        pytest.param({"suspend": True}, id="it is suspended"),
        pytest.param({"cancel": True}, id="it is cancelled"),
    ],
)
async def test_what_cannot_run_now_is_not_accepted(stage: Stage, submitter: Submitter, fields: dict[str, Any]) -> None:
    if "start_after" in fields:
        fields = {"start_after": datetime.fromtimestamp(stage.clock.now() + fields["start_after"], UTC)}
    async with without_ledger(stage):
        answer = await answered(submitter, asked(**fields))
    assert isinstance(answer, LedgerAwayError)
    assert "only work that can run at once" in str(answer)
    assert stage.ready(topology.STATUS) == 0


async def test_a_start_that_lies_behind_is_no_wait(stage: Stage, submitter: Submitter) -> None:
    async with without_ledger(stage):
        await accepted(submitter, asked(start_after=datetime.fromtimestamp(stage.clock.now() - 1, UTC)))


@pytest.mark.parametrize("fault", ["cut", "block"])
async def test_without_both_nothing_is_accepted(stage: Stage, submitter: Submitter, fault: str) -> None:
    async with without_ledger(stage):
        getattr(stage.broker, fault)()
        answer = await answered(submitter, asked())
    assert isinstance(answer, LedgerAwayError)
    assert not list(stage.unrecorded.all())


async def test_what_is_not_confirmed_is_not_accepted(stage: Stage, submitter: Submitter) -> None:
    async with without_ledger(stage):
        stage.broker.server.delete(topology.STATUS.name)
        answer = await answered(submitter, asked())
    assert isinstance(answer, LedgerAwayError)
    assert "did not confirm" in str(answer)
    assert not list(stage.unrecorded.all())


async def test_one_that_cannot_be_accepted_spoils_no_other(stage: Stage, submitter: Submitter) -> None:
    async with without_ledger(stage):
        answers = await submitter.submit_all([asked(), asked(suspend=True), asked()])
    assert [type(one) for one in answers] == [Accepted, LedgerAwayError, Accepted]


async def test_acceptances_share_messages_and_publishes(
    stage: Stage, submitter: Submitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishes: list[list[str]] = []
    publish = stage.broker.publish

    async def counting(messages: Sequence[Message], timeout_seconds: float = 10) -> Sequence[Outcome]:
        publishes.append([one.exchange.name for one in messages])
        return await publish(messages, timeout_seconds)

    monkeypatch.setattr(stage.broker, "publish", counting)
    async with without_ledger(stage):
        stage.is_known_to_be_away = True
        answers = await asyncio.gather(*(accepted(submitter, asked()) for _ in range(250)))
        assert publishes == [["missions.reports"] * 3 + ["missions.accepted"] * 3], "one publish, a hundred in each"
        async with recording(stage):
            stage.ledger.mend()
            await eventually(lambda: len(stage.store.data.records) == 250, "all are recorded")
    assert {answer.mission.id for answer in answers} == set(stage.store.data.records)


async def test_large_payloads_travel_in_messages_of_bounded_size(stage: Stage, submitter: Submitter) -> None:
    async with without_ledger(stage):
        stage.is_known_to_be_away = True
        await submitter.submit_all([asked(payload={"text": "x" * 250_000}) for _ in range(9)])
        assert stage.ready(topology.STATUS) == 3


async def test_an_acceptance_that_is_delivered_twice_is_one_mission(stage: Stage, submitter: Submitter) -> None:
    async with without_ledger(stage):
        answer = await accepted(submitter, asked())
        held = stage.broker.server.find(topology.STATUS.name)
        assert held is not None
        await stage.publish_status(held._waiting[0].body)
        async with recording(stage):
            stage.ledger.mend()
            await eventually(lambda: met(stage) == {"recorded": 1, "known": 1}, "both were heard")
    assert list(stage.store.data.records) == [answer.mission.id]
    assert stage.record(answer.mission).epoch == ERA * NUMBERS_PER_ERA + 1, "handed out once"


async def test_an_acceptance_of_what_was_purged_since_does_not_run_again(stage: Stage, submitter: Submitter) -> None:
    async with without_ledger(stage):
        answer = await accepted(submitter, asked())
        held = stage.broker.server.find(topology.STATUS.name)
        assert held is not None
        body = held._waiting[0].body
        async with recording(stage):
            stage.ledger.mend()
            await eventually(lambda: stage.counts.number(metrics.LATE_RECORDS, "recorded"), "it is recorded")
            await stage.cancel(stage.record(answer.mission))
            await stage.ledger.purge(stage.clock.now() + 1, 10)
            stage.memory.forget(answer.mission.id)
            await stage.publish_status(body)
            await eventually(lambda: not stage.ready(topology.STATUS), "it was heard again")
            await turns(50)
    assert not stage.store.data.records


async def test_however_long_the_ledger_was_away_an_acceptance_is_recorded(stage: Stage, submitter: Submitter) -> None:
    async with without_ledger(stage), recording(stage):
        answer = await accepted(submitter, asked())
        stage.clock.turn(30 * 86_400)
        stage.ledger.mend()
        await eventually(lambda: answer.mission.id in stage.store.data.records, "it is recorded")


async def test_an_object_is_accepted_above_its_floor(stage: Stage, submitter: Submitter) -> None:
    shown = ERA * NUMBERS_PER_ERA + 70
    floor = Floor(state=MissionState.IN_PROGRESS, epoch=shown - 10, sequence=shown, attempt=2)
    async with without_ledger(stage), recording(stage):
        answer = await accepted(submitter, from_object(floor=floor))
        assert answer.mission.sequence == shown
        stage.ledger.mend()
        await eventually(lambda: UID in stage.store.data.records, "it is recorded")
    record = stage.record(answer.mission)
    assert record.sequence > shown
    assert record.epoch > shown - 10


async def test_what_bears_no_seal_of_ours_is_kept_with_the_reason(stage: Stage, submitter: Submitter) -> None:
    forged = messages.encode_acceptance(Acceptance(era=ERA, envelope=a_mission("forged"), payload=msgspec.Raw(b"{}")))
    seal = Seals(InstallKey(b"of another installation altogether!!")).of(forged)
    sealed = messages.SealedAcceptance(seal=seal, acceptance=msgspec.Raw(forged))
    async with running(stage.recorder.run), recording(stage):
        await stage.publish_status(messages.encode(messages.StatusMessage(v=messages.VERSION, accepted=(sealed,))))
        await eventually(lambda: stage.ready(topology.REJECTED) == 1, "it is kept")
    assert not stage.store.data.records


async def test_a_key_that_two_commanders_took_for_two_missions_is_the_first_ones(stage: Stage) -> None:
    await stage.broker.declare(topology.FIXED_QUEUES)
    other = stage.another()
    await stage.garrison.declare(a_pool())
    async with without_ledger(stage), without_ledger(other):
        await accepted(stage.a_submitter(), asked(key="k", payload={"n": 1}))
        await accepted(other.a_submitter(), asked(key="k", payload={"n": 2}))
        async with recording(stage):
            stage.ledger.mend()
            await eventually(lambda: met(stage) == {"recorded": 1, "refused": 1}, "both were heard")
    assert list(stage.store.data.payloads.values()) == [b'{"n":1}']


async def test_a_commander_that_ends_tells_whoever_waits(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def publish(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(stage.broker, "publish", publish)
    acceptance = Acceptance(era=ERA, envelope=a_mission(), payload=msgspec.Raw(b"{}"))
    async with running(stage.acceptances.run):
        waiting = asyncio.ensure_future(stage.acceptances.accept(acceptance))
        await turns()
    for late in (waiting, stage.acceptances.accept(acceptance)):
        with pytest.raises(LedgerAwayError, match="this Commander ends"):
            await late


async def test_no_more_is_accepted_than_memory_may_hold_unless_it_is_past_its_deadline(stage: Stage) -> None:
    unrecorded = Unrecorded(stage.memory, most=1)
    acceptances = Acceptances(stage.broker, stage.seals, unrecorded, stage.clock)
    await stage.broker.declare(topology.FIXED_QUEUES)
    first, second = (
        Acceptance(
            era=ERA,
            envelope=a_mission(name, accepted_at=stage.clock.now(), deadline_seconds=60),
            payload=msgspec.Raw(b"{}"),
        )
        for name in ("m-1", "m-2")
    )
    async with running(acceptances.run):
        await acceptances.accept(first)
        with pytest.raises(LedgerAwayError, match="as much was accepted"):
            await acceptances.accept(second)
        stage.clock.turn(61)
        await acceptances.accept(second)
    assert [mission.id for mission in unrecorded.all()] == ["m-2"]


@pytest.mark.parametrize(
    ("floor", "sequence"),
    [(None, ERA * NUMBERS_PER_ERA), (Shown(state=MissionState.QUEUED, sequence=m.Sequence(2**50)), 2**50)],
)
def test_until_it_is_recorded_it_shows_a_number_below_that_of_its_record(floor: Shown | None, sequence: int) -> None:
    shown = as_accepted(Acceptance(era=ERA, envelope=a_mission(), payload=msgspec.Raw(b"{}"), floor=floor))
    assert (shown.id, shown.sequence, shown.epoch) == (MissionId("m-1"), sequence, Epoch(0))
    assert not shown.is_final


# Other Commanders.


@asynccontextmanager
async def beside(stage: Stage) -> AsyncIterator[Stage]:
    """Another Commander, which still has the ledger."""
    other = Stage(clock=stage.clock, store=stage.store, server=stage.broker.server)
    rejects = Rejects(other.broker, other.clock, count=other.count_rejected)
    peers = Peers(
        other.broker, other.late_records().read, other.memory, other.unrecorded, rejects, other.garrison.beat_elsewhere
    )
    async with running(peers.run, rejects.run):
        await eventually(lambda: other.broker.server.find(peers.queue.name), "it listens")
        yield other


async def test_what_one_accepts_without_the_ledger_the_others_know_at_once(stage: Stage, submitter: Submitter) -> None:
    async with beside(stage) as other, without_ledger(stage):
        answer = await accepted(submitter, asked())
        await eventually(lambda: other.unrecorded.get(answer.mission.id), "the other one heard of it")
        assert other.unrecorded.get(answer.mission.id) == answer.mission


async def test_who_knows_the_record_needs_no_word_of_the_acceptance(stage: Stage, submitter: Submitter) -> None:
    async with beside(stage) as other, without_ledger(stage):
        first = await accepted(submitter, asked(key="first"))
        await eventually(lambda: other.unrecorded.get(first.mission.id), "the other one heard of it")
        other.memory.apply(msgspec.structs.replace(first.mission, sequence=first.mission.sequence + 1))
        assert other.unrecorded.get(first.mission.id) is None
        held = stage.broker.server.find(topology.STATUS.name)
        assert held is not None
        await stage.broker.publish([Message(exchange=topology.ACCEPTED, key="", body=held._waiting[0].body)])
        second = await accepted(submitter, asked(key="second"))
        await eventually(lambda: other.unrecorded.get(second.mission.id), "what came later was heard")
        assert other.unrecorded.get(first.mission.id) is None


async def test_whose_heart_one_hears_without_the_ledger_the_others_hear_too(stage: Stage) -> None:
    async with beside(stage) as other:
        await stage.garrison.register(a_soldier())
        await other.garrison.refresh()
        unheard = UnheardBeats(stage.broker)
        async with running(unheard.run):
            for number in (1, 2):
                unheard.add(messages.Heard(instance=SOLDIER, beat=a_beat(number)))
            unheard.add(messages.Heard(instance=Instance("nobody-knows-it"), beat=a_beat(1)))
            await eventually(lambda: other.garrison.soldiers()[SOLDIER].beats == 2, "its newest beat was heard")
        assert set(other.garrison.soldiers()) == {SOLDIER}


async def test_what_no_commander_sealed_is_kept_as_rejected(stage: Stage) -> None:
    async with beside(stage) as other:
        forged = messages.SealedAcceptance(seal="x", acceptance=msgspec.Raw(b"{}"))
        body = messages.encode(messages.StatusMessage(v=messages.VERSION, accepted=(forged,)))
        await other.broker.declare(topology.FIXED_QUEUES)
        await stage.broker.publish([Message(exchange=topology.ACCEPTED, key="", body=body)])
        await eventually(lambda: stage.ready(topology.REJECTED), "it was kept")
        assert not list(other.unrecorded.all())
