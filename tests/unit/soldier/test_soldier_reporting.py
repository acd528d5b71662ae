"""How reports reach the broker, whatever the broker does, and what the heartbeat says meanwhile."""

import asyncio
import time

from support.broker_probe import eventually
from support.fake_commander import FakeCommander, an_order
from support.soldier_stage import HIGH, INSTANCE, Stage, a_stage

from mission_broker.memory import MemoryBroker
from mission_contracts import messages
from mission_contracts.messages import Report, ReportKind
from mission_contracts.mission import Epoch, Era, MissionId
from mission_contracts.soldiering import Heartbeat, Hold
from mission_soldier import Context, Soldier
from mission_soldier.book import Book, Entry, Key
from mission_soldier.reports import Reports
from mission_soldier.unapplied import Unapplied

MISSION: Key = (MissionId("mission-1"), Epoch(1))


def a_gated_soldier(gate: asyncio.Event) -> Soldier:
    soldier = Soldier()

    @soldier.handler("gated")
    async def gated(ctx: Context) -> str:
        ctx.progress(10, "begun")
        await gate.wait()
        return "done"

    @soldier.handler("chatty")
    async def chatty(ctx: Context) -> None:
        for percent in range(100):
            ctx.progress(percent)
        await gate.wait()

    @soldier.handler("chatty-thread")
    def chatty_thread(ctx: Context) -> None:
        ctx.progress(250, "x" * 1000)
        time.sleep(0.1)

    return soldier


def held(beat: Heartbeat) -> list[tuple[str, bool]]:
    return [(hold.mission_id, hold.reported) for hold in beat.held]


async def running(stage: Stage, mission_type: str = "gated") -> None:
    await stage.hand_out(an_order(mission_type))
    await eventually(lambda: stage.commander.beats[-1].held, "the claim is listed")


async def test_a_report_outlives_a_cut_and_its_redelivered_order_runs_no_second_time() -> None:
    gate = asyncio.Event()
    async with a_stage(a_gated_soldier(gate)) as stage:
        await running(stage)
        stage.broker.cut()
        gate.set()
        await stage.beaten()
        assert stage.commander.outcomes_of("mission-1") == []
        stage.broker.mend()
        await stage.report_on()
        assert len(stage.commander.requests) == 1
        assert await stage.left_in() == 0


async def test_a_report_waits_for_a_broker_short_of_memory() -> None:
    gate = asyncio.Event()
    async with a_stage(a_gated_soldier(gate)) as stage:
        await running(stage)
        stage.broker.block()
        gate.set()
        await stage.beaten()
        assert stage.commander.outcomes_of("mission-1") == []
        stage.broker.unblock()
        await stage.report_on()


async def test_a_report_whose_confirm_was_lost_is_published_again_unchanged() -> None:
    gate = asyncio.Event()
    commander = FakeCommander()
    async with a_stage(a_gated_soldier(gate), commander=commander) as stage:
        await running(stage)
        await eventually(lambda: stage.progress_of() == [10], "the progress is through")
        commander.is_away = True  # no heartbeat tells that the first one arrived
        stage.broker.lose_confirms(1, arrived=True)
        gate.set()
        await eventually(lambda: len(commander.outcomes_of("mission-1")) == 2, "the report came twice")
        first, second = commander.outcomes_of("mission-1")
        assert (first.epoch, first.secret, first.kind) == (second.epoch, second.secret, second.kind)
        commander.is_away = False
        assert await stage.left_in() == 0


async def test_an_order_is_not_acknowledged_before_its_report_is_confirmed() -> None:
    gate = asyncio.Event()
    async with a_stage(a_gated_soldier(gate), flush_seconds=0.05) as stage:
        await running(stage)
        stage.broker.block()
        gate.set()
        assert await stage.left_in() == 1


async def test_a_mission_is_listed_until_its_report_is_applied() -> None:
    gate = asyncio.Event()
    async with a_stage(a_gated_soldier(gate)) as stage:
        await running(stage)
        assert held(stage.commander.beats[-1]) == [("mission-1", False)]
        gate.set()
        await stage.report_on()
        await eventually(lambda: not stage.commander.beats[-1].held, "it is listed no more")
        assert [("mission-1", True)] in [held(beat) for beat in stage.commander.beats]


async def a_lost_report(stage: Stage, gate: asyncio.Event) -> Report:
    """Have a report published whose answer says for ever that it is not applied, as a ledger that went back does."""
    await running(stage)
    stage.commander.withholds_applied = True
    gate.set()
    report = await stage.report_on()
    await eventually(lambda: held(stage.commander.beats[-1]) == [("mission-1", True)], "it is listed as reported")
    return report


async def test_a_report_that_the_ledger_lost_is_published_again_unchanged() -> None:
    gate = asyncio.Event()
    async with a_stage(a_gated_soldier(gate)) as stage:
        first = await a_lost_report(stage, gate)
        stage.commander.lose_report(MISSION)
        await eventually(lambda: len(stage.commander.outcomes_of("mission-1")) == 2, "the report came again")
        assert all(again == first for again in stage.commander.outcomes_of("mission-1"))
        stage.commander.withholds_applied = False
        await eventually(lambda: not stage.commander.beats[-1].held, "it is listed no more")
        assert len(stage.commander.requests) == 1, "nothing ran again"
        assert await stage.left_in() == 0


async def test_a_report_may_be_lost_and_asked_for_more_than_once() -> None:
    gate = asyncio.Event()
    async with a_stage(a_gated_soldier(gate)) as stage:
        await a_lost_report(stage, gate)
        for _ in range(2):
            stage.commander.lose_report(MISSION)
            await eventually(lambda: MISSION in stage.commander.applied, "it came again")


def test_a_report_that_is_asked_for_and_not_here_any_more_lets_its_mission_go() -> None:
    book = Book(slots=1)
    hold = Hold(mission_id=MISSION[0], epoch=MISSION[1], secret="s", reported=True)
    book.hold([(MISSION, Entry(hold, an_order().envelope, "5ea1"))])
    reports = Reports(broker=MemoryBroker(), instance=INSTANCE, book=book)
    reports.say_again([MISSION])
    assert book.next_beat().held == (), "the Commander releases a claim that nobody lists"
    assert reports.is_empty


def a_report() -> Report:
    return Report(
        kind=ReportKind.COMPLETED,
        mission_id=MISSION[0],
        epoch=MISSION[1],
        secret="s",
        attempt=1,
        envelope=an_order().envelope,
    )


def test_reports_are_kept_within_a_count_and_a_size_the_newest_of_them() -> None:
    keys = [(MissionId(f"mission-{number}"), Epoch(1)) for number in range(5)]
    few, small = Unapplied(most=2), Unapplied(most_bytes=250)
    for key in keys:
        few.keep(key, b"x" * 100)
        small.keep(key, b"x" * 100)
    small.keep(keys[4], b"x" * 100)  # told twice, it weighs once
    for kept in (few, small):
        assert [kept.take(key) is not None for key in keys] == [False, False, False, True, True]
        assert [kept.take(key) for key in keys] == [None] * 5, "what was taken is gone"


async def test_the_envelope_is_listed_only_when_it_is_asked_for() -> None:
    async with a_stage(a_gated_soldier(asyncio.Event())) as stage:
        await running(stage)
        assert stage.commander.beats[-1].held[0].envelope is None
        stage.commander.unknown.add(stage.commander.beats[-1].held[0].mission_id)
        await eventually(lambda: stage.commander.beats[-1].held[0].envelope is not None, "the envelope is listed")
        envelope = stage.commander.beats[-1].held[0].envelope
        assert envelope is not None
        assert envelope.type == "gated"


async def test_unclaimed_deliveries_are_listed() -> None:
    async with a_stage(a_gated_soldier(asyncio.Event()), concurrency=1) as stage:
        await stage.hand_out(an_order("gated"))
        await stage.granted()
        await stage.publish(b"unreadable, and so never listed", queue=HIGH)
        await stage.publish(messages.encode(an_order("gated", mission_id="waits")), queue=HIGH)
        await eventually(lambda: stage.commander.beats[-1].unclaimed, "an unclaimed delivery is listed")
        assert [waiting.mission_id for waiting in stage.commander.beats[-1].unclaimed] == ["waits"]


async def test_beats_count_and_tell_the_last_answer_seen() -> None:
    async with a_stage() as stage:
        await stage.beaten(3)
        beats = list(stage.commander.beats)
        assert [beat.beat for beat in beats] == list(range(1, len(beats) + 1))
        assert [beat.after for beat in beats] == [float(number) for number in range(len(beats))]


async def test_a_new_era_is_heard_and_carried() -> None:
    async with a_stage() as stage:
        stage.commander.era = Era(7)
        await eventually(lambda: stage.commander.beats[-1].era == 7, "the beat carries the new era")


async def test_progress_is_told_newest_only() -> None:
    gate = asyncio.Event()
    async with a_stage(a_gated_soldier(gate)) as stage:
        await running(stage, "chatty")
        await eventually(stage.progress_of, "progress")
        assert stage.progress_of() == [99]
        gate.set()
        await stage.report_on()


async def test_progress_from_a_thread_is_bounded_and_cut() -> None:
    async with a_stage(a_gated_soldier(asyncio.Event())) as stage:
        await stage.run("chatty-thread")
        [progress] = [report for report in stage.commander.reports if report.progress is not None]
        assert progress.progress == 100
        assert len(progress.note) == 256


async def test_many_reports_travel_in_one_message() -> None:
    async with a_stage(concurrency=64) as stage:
        messages_read = 0
        read = stage.commander.read_status

        def counting(body: bytes) -> None:
            nonlocal messages_read
            messages_read += 1
            read(body)

        stage.commander.read_status = counting  # type: ignore[method-assign]
        await stage.hand_out(*(an_order(mission_id=f"mission-{n}") for n in range(64)))
        await eventually(lambda: len(stage.commander.applied) == 64, "all reports")
        assert messages_read < 32


async def test_a_blocked_event_loop_does_not_silence_the_heartbeat() -> None:
    soldier = Soldier()

    @soldier.handler("block")
    async def block(_ctx: Context) -> int:
        before = len(commander.beats)
        deadline = time.monotonic() + 10
        while len(commander.beats) < before + 3 and time.monotonic() < deadline:
            time.sleep(0.01)  # noqa: ASYNC251 - to block is the point
        return len(commander.beats) - before

    commander = FakeCommander()
    async with a_stage(soldier, commander=commander) as stage:
        report = await stage.run("block")
        assert report.result is not None
        assert int(bytes(report.result)) >= 3


async def test_silence_of_the_commander_loses_nothing() -> None:
    gate = asyncio.Event()
    async with a_stage(a_gated_soldier(gate), commander=FakeCommander(lease_seconds=0.05)) as stage:
        await running(stage)
        stage.commander.is_away = True
        await asyncio.sleep(0.1)  # two leases long
        stage.commander.is_away = False
        await stage.beaten()
        assert held(stage.commander.beats[-1]) == [("mission-1", False)]
        gate.set()
        await stage.report_on()
