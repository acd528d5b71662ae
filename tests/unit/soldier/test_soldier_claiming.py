"""What becomes of an order between its delivery and its handler."""

import asyncio
from typing import Any

import pytest
from support.broker_probe import Inbox, consuming, eventually
from support.fake_commander import FakeCommander, an_order
from support.malformed import MALFORMED
from support.soldier_stage import HIGH, INSTANCE, NORMAL, a_stage

from mission_broker.port import Message
from mission_broker.rejecting import MOST_KEPT_BYTES
from mission_contracts import messages, topology
from mission_contracts.envelope import Envelope
from mission_contracts.messages import ReportKind
from mission_contracts.mission import Failure, MissionId, Priority
from mission_contracts.soldiering import Claim, ClaimAnswer, DropReason, Verdict
from mission_contracts.topology import Queue
from mission_soldier import Context, Soldier

DROPPED = ClaimAnswer(verdict=Verdict.DROP, drop=DropReason.STALE)


async def test_a_noop_is_claimed_run_reported_and_acknowledged() -> None:
    async with a_stage() as stage:
        report = await stage.run("noop")
        assert report.kind is ReportKind.COMPLETED
        assert report.secret == "secret of mission-1/1"
        assert report.envelope.type == "noop"
        assert await stage.left_in() == 0


async def test_a_dropped_order_is_acknowledged_and_not_run() -> None:
    async with a_stage(commander=FakeCommander(judge=lambda _: DROPPED)) as stage:
        await stage.hand_out(an_order())
        await eventually(lambda: stage.commander.requests, "a claim")
        assert await stage.left_in() == 0
        assert stage.commander.reports == []


async def test_an_order_of_a_type_without_handler_is_claimed_as_such() -> None:
    async with a_stage() as stage:
        await stage.hand_out(an_order("unheard-of"))
        await eventually(lambda: stage.commander.requests, "a claim")
        assert [claim.has_handler for claim in stage.commander.requests[0]] == [False]
        assert await stage.left_in() == 0


async def test_an_order_told_to_wait_is_asked_about_again_and_then_runs() -> None:
    answers = [ClaimAnswer(verdict=Verdict.WAIT, wait_ms=1)] * 2
    async with a_stage(commander=FakeCommander(judge=lambda _: answers.pop() if answers else None)) as stage:
        await stage.run("noop")
        assert len(stage.commander.requests) == 3
        assert await stage.left_in() == 0


async def test_others_run_while_one_is_told_to_wait() -> None:
    def judge(claim: Claim) -> ClaimAnswer | None:
        return ClaimAnswer(verdict=Verdict.WAIT, wait_ms=60_000) if claim.mission_id == "later" else None

    async with a_stage(commander=FakeCommander(judge=judge), concurrency=1) as stage:
        await stage.hand_out(an_order(mission_id="later"))
        await eventually(lambda: stage.commander.requests, "the first claim")
        # One slot, and a prefetch of one: the second order comes over the other queue.
        await stage.publish(messages.encode(an_order(mission_id="now")), queue=HIGH)
        await stage.report_on("now")
        assert await stage.left_in() == 1, "the order that waits is given back when the soldier leaves"


async def test_the_whole_order_is_sent_when_the_commander_asks_for_it() -> None:
    order = an_order(payload=b'{"a":1}')

    def judge(claim: Claim) -> ClaimAnswer | None:
        return ClaimAnswer(verdict=Verdict.TELL) if claim.order is None else None

    async with a_stage(commander=FakeCommander(judge=judge)) as stage:
        await stage.hand_out(order)
        await stage.report_on()
        assert stage.commander.requests[-1][0].order == messages.encode(order)


async def test_a_claim_whose_answer_was_lost_is_asked_again_and_runs_once() -> None:
    async with a_stage(commander=FakeCommander(answers_to_lose=2)) as stage:
        await stage.run("noop")
        assert len(stage.commander.requests) == 3
        assert await stage.left_in() == 0


async def test_orders_are_kept_while_the_commander_is_away() -> None:
    async with a_stage() as stage:
        stage.commander.is_away = True
        await stage.hand_out(an_order())
        with pytest.raises(AssertionError):
            await eventually(lambda: stage.commander.outcomes_of("mission-1"), "a report", seconds=0.2)
        stage.commander.is_away = False
        await stage.report_on()


async def test_a_forgotten_soldier_registers_again_and_goes_on() -> None:
    async with a_stage() as stage:
        stage.commander.forgets_soldiers = True
        await stage.run("noop")
        assert len(stage.commander.registrations) == 2


@pytest.mark.parametrize("queue", [NORMAL, HIGH], ids=lambda queue: queue.name)
@pytest.mark.parametrize("name", MALFORMED)
async def test_an_order_that_cannot_be_read_is_kept_with_its_reason_and_the_next_one_runs(
    name: str, queue: Queue
) -> None:
    good = messages.encode(an_order("noop"))
    async with a_stage() as stage:
        await stage.publish(MALFORMED[name].of(good), good, queue=queue)
        async with consuming(stage.broker, topology.REJECTED, Inbox()) as (inbox, _):
            rejected = await inbox.one()
            assert rejected.body == MALFORMED[name].of(good)[:MOST_KEPT_BYTES]
            assert (rejected.headers["queue"], rejected.headers["defect"]) == (queue.name, MALFORMED[name].defect)
            rejected.ack()
        assert (await stage.report_on()).kind is ReportKind.COMPLETED
        assert await stage.left_in(queue) == 0


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_hint_that_cannot_be_read_is_kept_with_its_reason_and_the_next_one_is_heard(name: str) -> None:
    gate = Gate()
    async with a_stage(gate.soldier) as stage:
        await stage.hand_out(an_order("gated"))
        await eventually(lambda: gate.runs, "it runs")
        hint = messages.ControlMessage(v=messages.VERSION, cancel=(MissionId("mission-1"),))
        await stage.broker.publish(
            [Message(exchange=topology.CONTROL, key="", body=MALFORMED[name].of(messages.encode(hint)))]
        )
        async with consuming(stage.broker, topology.REJECTED, Inbox()) as (inbox, _):
            rejected = await inbox.one()
            assert rejected.headers["queue"] == topology.control_of("default", "default", INSTANCE).name
            rejected.ack()
        await stage.hint(hint)
        report = await stage.report_on()
        assert report.error is not None
        assert report.error.failure is Failure.CANCELLED


async def test_an_unreadable_order_waits_for_the_broker_to_confirm_its_rejection() -> None:
    async with a_stage() as stage:
        await stage.publish(b"no json")
        stage.broker.lose_confirms(2, arrived=False)  # the soldier has not seen the order yet
        async with consuming(stage.broker, topology.REJECTED, Inbox()) as (inbox, _):
            (await inbox.one()).ack()
        assert await stage.left_in() == 0


class Gate:
    """A handler that runs until the test opens it."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.runs: list[str] = []
        self.soldier = Soldier()

        @self.soldier.handler("gated")
        async def gated(ctx: Context) -> None:
            self.runs.append(f"{ctx.mission_id}/{ctx.epoch}")
            await self.open.wait()


async def test_a_redelivery_of_what_runs_is_acknowledged_without_a_question() -> None:
    gate = Gate()
    async with a_stage(gate.soldier) as stage:
        await stage.hand_out(an_order("gated"))
        await eventually(lambda: gate.runs, "the handler runs")
        stage.broker.cut()
        stage.broker.mend()
        await eventually(lambda: stage.broker.server.find(NORMAL.name).ready == 0, "the order came again")  # type: ignore[union-attr]
        gate.open.set()
        await stage.report_on()
        assert gate.runs == ["mission-1/1"]
        assert len(stage.commander.requests) == 1
        assert await stage.left_in() == 0


async def test_a_redelivery_of_what_was_reported_is_acknowledged_without_a_question() -> None:
    async with a_stage() as stage:
        await stage.run("noop")
        await stage.hand_out(an_order("noop"))
        await stage.hand_out(an_order("noop", mission_id="mission-2"))
        await stage.report_on("mission-2")
        assert await stage.left_in() == 0
        claimed = [claim.mission_id for request in stage.commander.requests for claim in request]
        assert claimed == ["mission-1", "mission-2"]


async def test_an_unclaimed_order_survives_a_cut_and_runs_once() -> None:
    async with a_stage() as stage:
        stage.commander.is_away = True
        await stage.hand_out(an_order())
        stage.broker.cut()
        stage.broker.mend()
        stage.commander.is_away = False
        await stage.report_on()
        assert await stage.left_in() == 0


async def test_a_later_epoch_ends_the_earlier_one_that_still_runs_here() -> None:
    gate = Gate()
    async with a_stage(gate.soldier) as stage:
        await stage.hand_out(an_order("gated", epoch=1))
        await eventually(lambda: len(gate.runs) == 1, "the first epoch runs")
        await stage.hand_out(an_order("gated", epoch=2))
        await eventually(lambda: len(gate.runs) == 2, "the second epoch runs")
        gate.open.set()
        report = await stage.report_on()
        assert report.epoch == 2


async def test_no_more_is_claimed_than_can_run_at_once() -> None:
    gate = Gate()
    async with a_stage(gate.soldier, concurrency=2) as stage:
        await stage.hand_out(*(an_order("gated", mission_id=f"mission-{n}") for n in range(5)))
        await eventually(lambda: len(gate.runs) == 2, "both slots are taken")
        await stage.beaten()
        assert len(stage.commander.granted) == 2
        gate.open.set()
        await stage.report_on("mission-4")


async def test_high_priority_gets_the_next_slot() -> None:
    gate = Gate()
    async with a_stage(gate.soldier, concurrency=1) as stage:
        await stage.hand_out(an_order("gated", mission_id="running"))
        await eventually(lambda: gate.runs, "the slot is taken")
        waiting: dict[str, Any] = {"namespace": "default", "pool": "default", "type": "gated", "accepted_at": 1.0}
        high = Envelope(mission_id=MissionId("high"), priority=Priority.HIGH, **waiting)
        await stage.hand_out(an_order("gated", mission_id="normal"))
        await stage.publish(messages.encode(an_order(envelope=high)), queue=HIGH)
        await stage.beaten()
        gate.open.set()
        await stage.report_on("normal")
        assert gate.runs == ["running/1", "high/1", "normal/1"]


async def test_many_orders_share_a_claim_request() -> None:
    async with a_stage(concurrency=64) as stage:
        await stage.hand_out(*(an_order(mission_id=f"mission-{n}") for n in range(64)))
        await eventually(lambda: len(stage.commander.applied) == 64, "all are reported")
        assert len(stage.commander.requests) < 10
        assert await stage.left_in() == 0
