"""What becomes of a handler's end, whichever way it comes: exactly one report, and nobody else is touched."""

import asyncio
import os
import sys
import threading
import time
from datetime import timedelta

import msgspec
import pytest
from pydantic import BaseModel
from support import soldier_handlers
from support.broker_probe import eventually
from support.fake_commander import FakeCommander, an_order
from support.soldier_stage import Stage, a_stage

from mission_contracts import messages
from mission_contracts.messages import Report, ReportKind
from mission_contracts.mission import Failure
from mission_soldier import Context, GiveUp, RetryLater, Soldier


class Size(BaseModel):
    width: int


class Area(BaseModel):
    pixels: int


def failure_of(report: Report) -> tuple[Failure, str]:
    assert report.kind is ReportKind.FAILED, report
    assert report.error is not None
    return report.error.failure, report.error.message


def result_of(report: Report) -> bytes:
    assert report.kind is ReportKind.COMPLETED, report
    assert report.result is not None
    return bytes(report.result)


def troublesome() -> Soldier:  # noqa: C901 - a list of handlers, no decision
    soldier = Soldier()

    @soldier.handler("measure")
    async def measure(_ctx: Context, size: Size) -> Area:
        return Area(pixels=size.width**2)

    @soldier.handler("measure-in-thread")
    def measure_in_thread(_ctx: Context, size: Size) -> str:
        return f"{size.width} in {'main' if threading.current_thread() is threading.main_thread() else 'a thread'}"

    @soldier.handler("raise")
    async def raise_error(_ctx: Context) -> None:
        raise ValueError("what nobody expected")

    @soldier.handler("exit")
    async def leave(_ctx: Context) -> None:
        sys.exit(1)

    @soldier.handler("interrupt")
    async def interrupt(_ctx: Context) -> None:
        raise KeyboardInterrupt

    @soldier.handler("exit-in-thread")
    def leave_thread(_ctx: Context) -> None:
        sys.exit(1)

    @soldier.handler("stop-iteration-in-thread")
    def stop_iteration(_ctx: Context) -> None:
        raise StopIteration

    @soldier.handler("cancel-itself")
    async def cancel_itself(_ctx: Context) -> None:
        raise asyncio.CancelledError

    @soldier.handler("cancel-its-task")
    async def cancel_its_task(_ctx: Context) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    @soldier.handler("later")
    async def later(_ctx: Context) -> None:
        raise RetryLater("the source is late", after=timedelta(minutes=2))

    @soldier.handler("give-up")
    async def give_up(_ctx: Context) -> None:
        raise GiveUp("the image is no image")

    @soldier.handler("large")
    async def large(_ctx: Context) -> str:
        return "x" * 20_000

    @soldier.handler("no-json")
    async def no_json(_ctx: Context) -> object:
        return object()

    @soldier.handler("wrong-result")
    async def wrong_result(_ctx: Context) -> Area:
        return "no area"  # type: ignore[return-value]

    return soldier


async def test_a_payload_is_read_as_the_handlers_type_and_the_result_written_as_its() -> None:
    async with a_stage(troublesome()) as stage:
        assert result_of(await stage.run("measure", b'{"width":3}')) == b'{"pixels":9}'


async def test_a_sync_handler_runs_in_a_thread() -> None:
    async with a_stage(troublesome()) as stage:
        assert result_of(await stage.run("measure-in-thread", b'{"width":3}')) == b'"3 in a thread"'


async def test_a_payload_that_does_not_fit_is_named_and_never_tried_again() -> None:
    async with a_stage(troublesome()) as stage:
        failure, message = failure_of(await stage.run("measure", b'{"width":"wide"}'))
        assert failure is Failure.BAD_PAYLOAD
        assert message.startswith("the payload does not fit Size: width: Input should be a valid integer")


@pytest.mark.parametrize(
    ("mission_type", "failure", "message"),
    [
        pytest.param("raise", Failure.ERROR, "ValueError: what nobody expected", id="an exception"),
        pytest.param("exit", Failure.ERROR, "SystemExit: 1", id="SystemExit"),
        pytest.param("interrupt", Failure.ERROR, "KeyboardInterrupt", id="KeyboardInterrupt"),
        pytest.param("exit-in-thread", Failure.ERROR, "SystemExit: 1", id="SystemExit in a thread"),
        pytest.param("stop-iteration-in-thread", Failure.ERROR, "StopIteration", id="StopIteration in a thread"),
        pytest.param("cancel-itself", Failure.ERROR, "CancelledError", id="a cancellation of its own"),
        pytest.param(
            "cancel-its-task", Failure.ERROR, "the handler cancelled the task that it ran in", id="its own task"
        ),
        pytest.param("later", Failure.RETRY_LATER, "the source is late", id="RetryLater"),
        pytest.param("give-up", Failure.GIVE_UP, "the image is no image", id="GiveUp"),
    ],
)
async def test_what_a_handler_raises_is_its_report_and_the_soldier_goes_on(
    mission_type: str, failure: Failure, message: str
) -> None:
    async with a_stage(troublesome()) as stage:
        assert failure_of(await stage.run(mission_type)) == (failure, message)
        await stage.run("noop", mission_id="the-next")
        assert await stage.left_in() == 0


async def test_an_error_carries_the_handlers_frames() -> None:
    async with a_stage(troublesome()) as stage:
        report = await stage.run("raise")
        assert report.error is not None
        assert 'raise ValueError("what nobody expected")' in report.error.traceback
        assert "perform.py" not in report.error.traceback


async def test_retry_later_says_when() -> None:
    async with a_stage(troublesome()) as stage:
        report = await stage.run("later")
        assert report.error is not None
        assert report.error.retry_after_seconds == 120


@pytest.mark.parametrize(
    ("mission_type", "what"),
    [
        pytest.param("large", "store it elsewhere and return a reference", id="too large"),
        pytest.param("no-json", "has no JSON form", id="no JSON"),
        pytest.param("wrong-result", "is not the", id="not what was announced"),
    ],
)
async def test_a_result_that_cannot_be_kept_fails_for_good(mission_type: str, what: str) -> None:
    async with a_stage(troublesome()) as stage:
        failure, message = failure_of(await stage.run(mission_type))
        assert failure is Failure.GIVE_UP
        assert what in message


# Time


class Lasting:
    """Handlers that last until they are stopped, each in its way."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.let_go = threading.Event()
        self.was_cancelled = False
        self.soldier = Soldier()
        self.soldier.handler("sleep")(self.sleep)
        self.soldier.handler("stubborn")(self.stubborn)
        self.soldier.handler("deaf")(self.deaf)
        self.soldier.handler("listen")(self.listen)
        self.soldier.handler("listen-in-thread")(self.listen_in_thread)

    async def sleep(self, _ctx: Context) -> None:
        self.began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise

    async def stubborn(self, _ctx: Context) -> str:
        self.began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.was_cancelled = True
        return "finished all the same"

    async def listen(self, ctx: Context) -> str:
        self.began.set()
        await ctx.cancelled
        return "stopped tidily"

    def listen_in_thread(self, ctx: Context) -> None:
        self.began.set()
        ctx.cancelled.wait_in_thread(60)
        ctx.cancelled.raise_if_set()

    def deaf(self, _ctx: Context) -> str:
        self.began.set()
        self.let_go.wait(60)
        return "never heard a thing"


async def begun(stage: Stage, lasting: Lasting, mission_type: str) -> None:
    await stage.hand_out(an_order(mission_type))
    await eventually(lasting.began.is_set, f"{mission_type} runs")


async def test_an_async_handler_that_takes_too_long_is_cancelled() -> None:
    lasting = Lasting()
    async with a_stage(lasting.soldier, commander=FakeCommander(timeout_seconds=0.05)) as stage:
        failure, message = failure_of(await stage.run("sleep"))
        assert failure is Failure.TIMED_OUT
        assert message == "the attempt ran longer than 0.05 s and was stopped"
        assert lasting.was_cancelled


async def test_a_result_that_comes_after_the_timeout_does_not_count() -> None:
    lasting = Lasting()
    async with a_stage(lasting.soldier, commander=FakeCommander(timeout_seconds=0.05)) as stage:
        assert failure_of(await stage.run("stubborn"))[0] is Failure.TIMED_OUT


async def test_a_thread_that_does_not_stop_times_out_and_keeps_its_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mission_soldier.execution.UNWIND_SECONDS", 0.05)
    lasting = Lasting()
    async with a_stage(lasting.soldier, commander=FakeCommander(timeout_seconds=0.05), concurrency=1) as stage:
        assert failure_of(await stage.run("deaf"))[0] is Failure.TIMED_OUT
        await stage.hand_out(an_order("noop", mission_id="mission-2"))
        await stage.beaten()
        assert stage.commander.outcomes_of("mission-2") == []
        lasting.let_go.set()
        await stage.report_on("mission-2")
        await stage.report_on("mission-1")  # still exactly one


async def test_a_cancelled_handler_that_listens_says_how_it_ended() -> None:
    lasting = Lasting()
    async with a_stage(lasting.soldier, cancel_grace_seconds=10) as stage:
        await begun(stage, lasting, "listen")
        stage.commander.cancels.add(("mission-1", 1))  # type: ignore[arg-type]
        assert result_of(await stage.report_on()) == b'"stopped tidily"'


async def test_a_cancelled_thread_that_listens_is_reported_cancelled() -> None:
    lasting = Lasting()
    async with a_stage(lasting.soldier, cancel_grace_seconds=10) as stage:
        await begun(stage, lasting, "listen-in-thread")
        stage.commander.cancels.add(("mission-1", 1))  # type: ignore[arg-type]
        assert failure_of(await stage.report_on())[0] is Failure.CANCELLED


async def test_a_cancelled_async_handler_that_does_not_listen_is_stopped_after_the_grace() -> None:
    lasting = Lasting()
    async with a_stage(lasting.soldier) as stage:
        await begun(stage, lasting, "sleep")
        stage.commander.cancels.add(("mission-1", 1))  # type: ignore[arg-type]
        assert failure_of(await stage.report_on())[0] is Failure.CANCELLED
        assert await stage.left_in() == 0


async def test_a_hint_on_the_control_exchange_cancels_too() -> None:
    lasting = Lasting()
    async with a_stage(lasting.soldier, commander=FakeCommander(heartbeat_seconds=0.02)) as stage:
        await begun(stage, lasting, "sleep")
        await stage.hint(messages.ControlMessage(v=messages.VERSION, cancel=("mission-1", "of-somebody-else")))  # type: ignore[arg-type]
        assert failure_of(await stage.report_on())[0] is Failure.CANCELLED


async def test_a_dropped_mission_stops_at_once_without_a_word() -> None:
    lasting = Lasting()
    async with a_stage(lasting.soldier) as stage:
        await begun(stage, lasting, "sleep")
        stage.commander.drops.add(("mission-1", 1))  # type: ignore[arg-type]
        await eventually(lambda: lasting.was_cancelled, "the handler is stopped")
        await stage.run("noop", mission_id="mission-2")
        assert stage.commander.outcomes_of("mission-1") == []
        assert await stage.left_in() == 0


async def test_a_dropped_thread_that_returns_late_says_nothing() -> None:
    lasting = Lasting()
    async with a_stage(lasting.soldier) as stage:
        await begun(stage, lasting, "deaf")
        await eventually(lambda: stage.commander.beats[-1].held, "the claim is listed")
        stage.commander.drops.add(("mission-1", 1))  # type: ignore[arg-type]
        await eventually(lambda: not stage.commander.beats[-1].held, "the claim is listed no more")
        lasting.let_go.set()
        await stage.run("noop", mission_id="mission-2")
        assert stage.commander.outcomes_of("mission-1") == []


# Child processes


def pid_in(report: Report) -> int:
    return int(msgspec.json.decode(result_of(report))["pid"])


async def test_a_handler_in_a_child_process_reads_and_writes_as_any_other() -> None:
    async with a_stage(soldier_handlers.soldier) as stage:
        first = await stage.run("who-am-i", b'{"number":7}')
        second = await stage.run("who-am-i", b'{"number":8}', mission_id="mission-2")
        assert b'"attempt":1,"number":7' in result_of(first)
        assert pid_in(first) == pid_in(second) != os.getpid()


async def test_an_async_handler_can_run_in_a_child_process() -> None:
    async with a_stage(soldier_handlers.soldier) as stage:
        report = await stage.run("async-in-child")
        assert b'"mission_id":"mission-1"' in result_of(report)
        assert pid_in(report) != os.getpid()


async def test_the_death_of_a_child_fails_exactly_its_mission() -> None:
    async with a_stage(soldier_handlers.soldier) as stage:
        failure, message = failure_of(await stage.run("die"))
        assert (failure, message) == (
            Failure.PROCESS_DIED,
            "the process died while it ran this mission: exit code 3",
        )
        await stage.run("who-am-i", b'{"number":1}', mission_id="mission-2")


async def test_sys_exit_in_a_child_is_an_error_of_the_handler() -> None:
    async with a_stage(soldier_handlers.soldier) as stage:
        assert failure_of(await stage.run("exit-in-child")) == (Failure.ERROR, "SystemExit: 5")


async def test_a_suspect_runs_alone_in_a_child_and_takes_nobody_with_it() -> None:
    async with a_stage(soldier_handlers.soldier, commander=FakeCommander(solo=True)) as stage:
        failure, message = failure_of(await stage.run("die-async"))
        assert failure is Failure.PROCESS_DIED
        assert message.endswith("exit code 4")


async def test_each_suspect_has_a_child_of_its_own() -> None:
    async with a_stage(soldier_handlers.soldier, commander=FakeCommander(solo=True)) as stage:
        first = await stage.run("who-am-i", b'{"number":7}')
        second = await stage.run("who-am-i", b'{"number":8}', mission_id="mission-2")
        assert pid_in(first) != pid_in(second)


async def test_a_suspect_that_no_child_can_find_is_not_run_here() -> None:
    soldier, runs = Soldier(), []
    soldier.handler("local")(lambda ctx: runs.append(ctx))  # noqa: PLW0108 - a builtin has no signature to read
    async with a_stage(soldier, commander=FakeCommander(solo=True)) as stage:
        failure, message = failure_of(await stage.run("local"))
        assert failure is Failure.ERROR
        assert message.endswith("define it at its module's top level")
        assert runs == []


async def test_a_process_that_takes_too_long_is_killed() -> None:
    async with a_stage(soldier_handlers.soldier, commander=FakeCommander(timeout_seconds=1)) as stage:
        began = time.monotonic()
        assert failure_of(await stage.run("sleep-for-ever"))[0] is Failure.TIMED_OUT
        assert time.monotonic() - began < 15


async def test_a_cancelled_process_that_listens_ends_by_itself() -> None:
    async with a_stage(soldier_handlers.soldier, cancel_grace_seconds=20) as stage:
        await stage.hand_out(an_order("stop-when-asked"))
        await eventually(stage.progress_of, "the child runs")
        stage.commander.cancels.add(("mission-1", 1))  # type: ignore[arg-type]
        failure, message = failure_of(await stage.report_on())
        assert (failure, message) == (Failure.CANCELLED, "the mission was cancelled while it ran")


async def test_a_dropped_process_is_killed_without_a_word() -> None:
    async with a_stage(soldier_handlers.soldier, concurrency=1) as stage:
        await stage.hand_out(an_order("sleep-for-ever"))
        await eventually(stage.progress_of, "the child runs")
        stage.commander.drops.add(("mission-1", 1))  # type: ignore[arg-type]
        await stage.run("noop", mission_id="needs-the-slot")
        assert stage.commander.outcomes_of("mission-1") == []
