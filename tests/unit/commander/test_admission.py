"""Who may submit how many bytes: nobody takes more than their share, and a full ledger is full, and not away."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from support.commander_stage import Stage, running, turns

from mission_commander.domain.owners import ADMITTED_BYTES
from mission_commander.domain.rates import Rate
from mission_commander.ports import LedgerAwayError, StoreMemory
from mission_commander.services.admission import Admission, Bounds, Refusal, Ticket
from mission_commander.services.headroom import Headroom
from mission_commander.services.limiting import Alone, Limit, Limiter
from mission_commander.services.submission import Accepted, Answer, RefusedError, Request
from mission_contracts import topology
from mission_contracts.envelope import Door, Envelope
from mission_contracts.mission import MissionId
from mission_contracts.rest import Submission

KB = b"x" * 1_000
MB = 1_000_000


def envelope(subject: str = "ann", *, door: Door = Door.REST, namespace: str = "default") -> Envelope:
    return Envelope(
        mission_id=MissionId("m-1"),
        namespace=namespace,
        pool="default",
        type="noop",
        accepted_at=0,
        door=door,
        subject=subject,
    )


def admission(stage: Stage, *, rate: Rate | None = None, **bounds: Any) -> Admission:
    rates: dict[Limit, Rate | None] = {**dict.fromkeys(Limit), Limit.SUBMIT_BYTES: rate}
    limiter = Limiter(rates, Alone(), stage.clock, share_while_away=1)
    return Admission(Bounds(**bounds), stage.headroom, limiter, stage.memory.live_of, stage.counts)


def take_all(admission: Admission, one: Envelope, payload: bytes = KB) -> list[Ticket]:
    """Take places until there are none."""
    tickets: list[Ticket] = []
    while isinstance(ticket := admission.take(one, payload), Ticket):
        tickets.append(ticket)
    return tickets


def refusal(taken: Ticket | Refusal) -> Refusal:
    assert isinstance(taken, Refusal), "there was room"
    return taken


async def filled(stage: Stage, used: int, limit: int) -> None:
    """Let the ledger say how full it is."""

    async def memory() -> StoreMemory:
        return StoreMemory(used=used, limit=limit)

    stage.ledger.memory = memory  # type: ignore[method-assign]
    await stage.headroom.look()


async def test_concurrent_submissions_cannot_exceed_a_byte_quota(stage: Stage) -> None:
    gate = admission(stage, payload=10 * (ADMITTED_BYTES + len(KB)))
    assert len(take_all(gate, envelope())) == 10
    said = refusal(gate.take(envelope(), KB))
    assert (said.status, said.code) == (429, "QuotaReached")
    assert "25000 bytes of payload" in said.detail
    assert "wait for some to end" in said.detail


async def test_a_place_that_came_to_nothing_is_free_again(stage: Stage) -> None:
    gate = admission(stage, payload=ADMITTED_BYTES + len(KB))
    [ticket] = take_all(gate, envelope())
    gate.release(ticket, is_recorded=False)
    assert len(take_all(gate, envelope())) == 1


async def test_what_was_written_counts_until_the_ledger_counts_it(stage: Stage) -> None:
    gate = admission(stage, payload=ADMITTED_BYTES + len(KB))
    [ticket] = take_all(gate, envelope())
    gate.release(ticket, is_recorded=True)
    assert not take_all(gate, envelope())
    await stage.headroom.look()  # nothing of it is in the ledger: it was purged
    assert len(take_all(gate, envelope())) == 1


async def test_the_quota_of_one_subject_is_not_that_of_another(stage: Stage) -> None:
    gate = admission(stage, payload=10_000)
    take_all(gate, envelope("ann"))
    assert take_all(gate, envelope("ben"))


async def test_objects_count_for_their_namespace(stage: Stage) -> None:
    gate = admission(stage, payload=10_000)
    take_all(gate, envelope("operator", door=Door.CLUSTER, namespace="one"))
    said = refusal(gate.take(envelope("operator", door=Door.CLUSTER, namespace="one"), KB))
    assert said.detail.startswith("this namespace's objects have")
    assert take_all(gate, envelope("operator", door=Door.CLUSTER, namespace="two"))
    assert take_all(gate, envelope("operator"))


@pytest.mark.parametrize("others", [1, 2, 5, 20])
async def test_however_many_take_all_they_can_there_is_room_for_one_more(stage: Stage, others: int) -> None:
    await filled(stage, used=10 * MB, limit=512 * MB)
    gate = admission(stage, payload_of_all=256 * MB)
    for number in range(others):
        assert take_all(gate, envelope(f"greedy-{number}"), 250 * KB)
    assert take_all(gate, envelope("late"), 250 * KB)
    assert not stage.headroom.room().is_full


async def test_one_subject_cannot_bring_the_ledger_to_its_watermark(stage: Stage) -> None:
    await filled(stage, used=1 * MB, limit=24 * MB)
    gate = admission(stage)
    take_all(gate, envelope("greedy"), 250 * KB)
    room = stage.headroom.room()
    assert room.watermark == 19_200_000
    assert not room.is_full
    assert room.used < 0.6 * room.watermark
    assert take_all(gate, envelope("ann"), 250 * KB)


async def test_at_the_watermark_everybody_is_refused_with_503_and_told_when_to_come_back(stage: Stage) -> None:
    await filled(stage, used=20 * MB, limit=24 * MB)
    said = refusal(admission(stage).take(envelope(), b"{}"))
    assert (said.status, said.code) == (503, "LedgerFull")
    assert said.retry_after > 0
    assert "20000000 bytes in use" in said.detail
    await filled(stage, used=19 * MB, limit=24 * MB)
    assert isinstance(admission(stage).take(envelope(), b"{}"), Ticket)


async def test_what_is_admitted_between_two_looks_counts_towards_the_watermark(stage: Stage) -> None:
    await filled(stage, used=19 * MB, limit=24 * MB)
    gate = admission(stage, ledger_share=1_000)
    for _ in range(200):
        gate.take(envelope(), 10 * KB)
    assert stage.headroom.room().is_full
    assert stage.headroom.room().used < 0.8 * 24 * MB + 20_000


async def test_after_much_was_admitted_it_looks_again_before_it_admits_more(stage: Stage) -> None:
    await filled(stage, used=1 * MB, limit=24 * MB)
    gate = admission(stage)
    tickets = [gate.take(envelope(), 10 * KB) for _ in range(200)]
    for ticket in tickets:
        assert isinstance(ticket, Ticket)
        gate.release(ticket, is_recorded=True)
    looks = 0

    async def memory() -> StoreMemory:
        nonlocal looks
        looks += 1
        return StoreMemory(used=22 * MB, limit=24 * MB)

    stage.ledger.memory = memory  # type: ignore[method-assign]
    await asyncio.gather(*(gate.freshen([envelope()]) for _ in range(5)))
    assert looks == 1, "those who find at once that it is time share one look"
    assert refusal(gate.take(envelope(), KB)).code == "LedgerFull"


async def test_bytes_come_in_at_a_bounded_rate(stage: Stage) -> None:
    gate = admission(stage, rate=Rate(10 * len(KB), 10))
    assert len(take_all(gate, envelope())) == 10
    said = refusal(gate.take(envelope(), KB))
    assert (said.status, said.code) == (429, "TooManyRequests")
    stage.clock.turn(said.retry_after)
    assert isinstance(gate.take(envelope(), KB), Ticket)


async def test_a_ledger_without_a_bound_of_its_own_is_bounded_by_the_setting(stage: Stage) -> None:
    bounded = Headroom(stage.ledger, stage.unrecorded, stage.clock, watermark=0.8, ledger_bytes=10_000)
    await bounded.look()
    assert bounded.room().watermark == 8_000
    unbounded = Headroom(stage.ledger, stage.unrecorded, stage.clock, watermark=0.8, ledger_bytes=0)
    await unbounded.look()
    assert unbounded.room().watermark is None


async def test_owners_who_submit_no_more_are_not_remembered(stage: Stage) -> None:
    gate = admission(stage, payload=10 * MB)
    many = [envelope(f"s-{number}") for number in range(2_500)]
    for one in many:
        ticket = gate.take(one, KB)
        assert isinstance(ticket, Ticket)
        gate.release(ticket, is_recorded=True)
    assert stage.headroom.of("rest/s-2499").held == len(KB) + ADMITTED_BYTES
    await stage.headroom.look()
    assert stage.headroom.of("rest/s-2499").held == 0, "the ledger's own count, which knows of none, holds for each"
    stage.clock.turn(60)
    await stage.headroom.look()
    assert stage.headroom.owners == 0


# The doors.


def asked(*payloads: Any, subject: str = "ann", **fields: Any) -> Sequence[Request]:
    return [
        Request(
            submission=Submission.model_validate({"type": "noop", "payload": payload, **fields}),
            subject=subject,
            idempotency_key=None,
        )
        for payload in payloads
    ]


def codes(answers: Sequence[Answer]) -> list[str]:
    return [one.code if isinstance(one, RefusedError) else type(one).__name__ for one in answers]


async def test_each_mission_of_a_batch_is_judged_by_itself(stage: Stage) -> None:
    stage.admission = admission(stage, payload=10_000)
    async with running(stage.recorder.run):
        answers = await stage.a_submitter().submit_all(
            [*asked({"x": "y" * 5_000}), *asked({"x": "y" * 5_000}), *asked({"x": "y" * 5_000}, subject="ben")]
        )
    assert codes(answers) == ["Accepted", "QuotaReached", "Accepted"]


async def test_a_full_ledger_is_full_and_not_away(stage: Stage) -> None:
    """Seen before: 202 with `Ledger: degraded`, two hundred times."""
    stage.store.max_bytes = 0
    async with running(stage.recorder.run, stage.acceptances.run):
        answers = await stage.a_submitter().submit_all(asked({}, {}))
    assert codes(answers) == ["LedgerFull", "LedgerFull"]
    assert not stage.unrecorded.bytes


async def test_what_ends_is_written_though_it_meets_new_work_in_one_commit(stage: Stage) -> None:
    submitter = stage.a_submitter()
    async with running(stage.recorder.run):
        [accepted] = await submitter.submit_all(asked({}))
        assert isinstance(accepted, Accepted)
        stage.store.max_bytes = 0
        stage.ledger.gate.clear()
        first = asyncio.create_task(submitter.submit_all(asked({})))
        await turns()
        wish = asyncio.create_task(stage.cancel(accepted.mission))
        second = asyncio.create_task(submitter.submit_all(asked({})))
        await turns()
        stage.ledger.gate.set()
        cancelled = await wish
        assert codes([*await first, *await second]) == ["LedgerFull", "LedgerFull"]
    assert cancelled.is_final


async def test_a_repeated_submission_is_answered_however_full_the_ledger_is(stage: Stage) -> None:
    submitter = stage.a_submitter()
    [request] = [msgspec.structs.replace(one, idempotency_key="k") for one in asked({})]
    async with running(stage.recorder.run):
        [first] = await submitter.submit_all([request])
        stage.store.max_bytes = 0
        await stage.headroom.look()
        [second] = await submitter.submit_all([request])
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert second.mission.id == first.mission.id


async def test_what_is_accepted_without_the_ledger_is_bounded_by_the_room_that_it_had(stage: Stage) -> None:
    await filled(stage, used=19 * MB, limit=24 * MB)
    await stage.broker.declare(topology.FIXED_QUEUES)
    stage.ledger.cut()
    stage.is_known_to_be_away = True
    submitter = stage.a_submitter()
    async with running(stage.acceptances.run):
        answers = [(await submitter.submit_all(asked({"x": "y" * 100_000}, subject=f"s-{i}")))[0] for i in range(10)]
    accepted = [one for one in answers if isinstance(one, Accepted)]
    assert 1 <= len(accepted) < 10
    assert stage.unrecorded.bytes >= len(accepted) * 100_000
    assert stage.headroom.room().used <= 0.8 * 24 * MB + 110_000
    assert not any(isinstance(one, LedgerAwayError) for one in answers)


async def test_a_claim_and_its_end_pass_through_a_full_ledger(stage: Stage) -> None:
    async with running(stage.recorder.run):
        accepted = await stage.accept()
        stage.store.max_bytes = 0
        claimed = await stage.claim(accepted)
        ended = await stage.cancel(claimed)
    assert claimed.holder
    assert ended.sequence > claimed.sequence
