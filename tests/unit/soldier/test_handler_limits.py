"""What a handler cannot do: outlive its timeout, keep its slot, flood the loop, leave processes behind."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from support import forking_handlers, hostile
from support.broker_probe import eventually
from support.fake_commander import FakeCommander, an_order
from support.soldier_stage import a_stage

from mission_contracts.envelope import Envelope
from mission_contracts.messages import Report, ReportKind
from mission_contracts.mission import Epoch, Failure, MissionId
from mission_contracts.soldiering import ClaimAnswer, Verdict
from mission_soldier import Context, Soldier, execution, logs
from mission_soldier.attempt import Attempt
from mission_soldier.builtin import built_in
from mission_soldier.context import Cancellation
from mission_soldier.log_values import known_level
from mission_soldier.surviving import run_through_exits
from mission_soldier.waiting import Received

TESTS = Path(__file__).parents[2]


def failure_of(report: Report) -> Failure | None:
    return report.error.failure if report.error is not None else None


def result_of(report: Report) -> Any:
    assert report.result is not None, report
    return msgspec.json.decode(bytes(report.result))


# Time


async def test_a_handler_that_blocks_the_loop_beyond_its_timeout_has_timed_out() -> None:
    soldier = Soldier()

    @soldier.handler("block")
    async def block(_ctx: Context) -> str:
        time.sleep(0.3)  # noqa: ASYNC251 - this is what it is about
        return "done"

    async with a_stage(soldier, commander=FakeCommander(timeout_seconds=0.1)) as stage:
        assert failure_of(await stage.run("block")) is Failure.TIMED_OUT


async def test_a_thread_that_ended_in_time_has_not_timed_out_when_the_loop_hears_of_it_late() -> None:
    soldier, returned = Soldier(), threading.Event()

    @soldier.handler("quick")
    def quick(_ctx: Context) -> str:
        returned.set()
        return "in time"

    @soldier.handler("block")
    async def block(_ctx: Context) -> None:
        await asyncio.to_thread(returned.wait, 10)
        time.sleep(0.6)  # noqa: ASYNC251

    commander = FakeCommander(timeout_seconds=0.5)
    async with a_stage(soldier, commander=commander) as stage:
        await stage.hand_out(an_order("block", mission_id="b"), an_order("quick", mission_id="q"))
        report = await stage.report_on("q")
        assert report.ran_seconds < 0.5


@pytest.mark.parametrize("times", [1, 3])
async def test_a_handler_that_swallows_its_cancellation_is_stopped_again(
    times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "UNWIND_SECONDS", 0.05)
    soldier, swallowed = Soldier(), []

    @soldier.handler("swallow")
    async def swallow(_ctx: Context) -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed.append(1)
                if len(swallowed) > times:
                    return

    async with a_stage(soldier, commander=FakeCommander(timeout_seconds=0.1), concurrency=1) as stage:
        assert failure_of(await stage.run("swallow")) is Failure.TIMED_OUT
        assert (await stage.run("noop", mission_id="next")).kind is ReportKind.COMPLETED
    assert len(swallowed) == times + 1


async def test_a_machine_without_threads_fails_one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    soldier, start = Soldier(), threading.Thread.start

    @soldier.handler("sync")
    def sync(_ctx: Context) -> str:
        return "ran"

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("handler"):
            raise RuntimeError("can't start new thread")
        start(thread)

    async with a_stage(soldier, concurrency=1) as stage:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        report = await stage.run("sync")
        assert failure_of(report) is Failure.ERROR
        assert report.error is not None
        assert "can't start new thread" in report.error.message
        monkeypatch.setattr(threading.Thread, "start", start)
        assert result_of(await stage.run("sync", mission_id="next")) == "ran"


# Progress


async def test_progress_may_be_told_in_any_thread_and_after_the_end() -> None:
    soldier, contexts = Soldier(), []

    @soldier.handler("tell")
    async def tell(ctx: Context) -> None:
        contexts.append(ctx)
        await asyncio.to_thread(ctx.progress, 40, "from a thread")
        await asyncio.sleep(0.05)

    async with a_stage(soldier) as stage:
        assert (await stage.run("tell")).kind is ReportKind.COMPLETED
        assert stage.progress_of() == [40]
        for _ in range(1000):
            contexts[0].progress(50, "too late")
            contexts[0].log("too late")
        await asyncio.to_thread(contexts[0].progress, 60)
        await stage.run("noop", mission_id="next")
        assert stage.progress_of() == [40]


async def test_a_million_words_on_progress_are_one_message_to_the_loop() -> None:
    handler = built_in().handlers["noop"]
    received = Received(an_order(), None)  # type: ignore[arg-type]  # nothing is acknowledged here
    attempt = Attempt(received, ClaimAnswer(verdict=Verdict.RUN), handler)
    assert attempt.is_told(1, "first")
    assert not any(attempt.is_told(number, "more") for number in range(1_000))
    assert attempt.newest_progress() == (999, "more")
    assert attempt.is_told(5, "again")


@pytest.mark.parametrize(
    ("percent", "told"), [(float("nan"), 30), (float("inf"), 100), (-float("inf"), 0), (1e300, 100), (True, 1)]
)
def test_a_percentage_is_one_that_can_be_shown(percent: float, told: float) -> None:
    seen: list[float] = []
    ctx = a_context(lambda percent, _note: seen.append(percent))
    ctx.progress(30)
    ctx.progress(percent)
    assert seen == [30, told]


async def test_waiting_for_the_flag_a_thousand_times_leaves_nothing_behind() -> None:
    flag = Cancellation()
    for _ in range(1_000):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await flag.wait()
        flag.wait_in_thread(0)
    assert not flag._listeners


# Logs


def a_context(tell: Any = lambda *_: None) -> Context:
    envelope = Envelope(mission_id=MissionId("m-1"), namespace="n", pool="p", type="t", accepted_at=0)
    return Context(envelope=envelope, epoch=Epoch(1), attempt=1, deadline_at=60.0, tell=tell)


@pytest.mark.parametrize(
    ("level", "known"),
    [
        ("WARNING", "warning"), ("Warn", "warning"), (" info ", "info"), ("fatal", "critical"), ("exception", "error"),
        (30, "warning"), (logging.CRITICAL, "critical"), ("trace", "debug"), ("loud", None), (17, None), (None, None),
        ("bind", None), ("new", None), (hostile.SURROGATE, None), pytest.param(10**5000, None, id="10 to the 5,000th"),
    ],
)  # fmt: skip
def test_a_level_may_be_spelled_in_any_way(level: Any, known: str | None) -> None:
    assert known_level(level) == known
    with structlog.testing.capture_logs() as lines:
        a_context().log("x", level=level)
    assert [(line["event"], line["log_level"]) for line in lines] == [("x", known or "info")]
    assert ("level_asked_for" in lines[0]) == (known is None)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_log_line_that_cannot_be_made_fails_nothing(log_format: str, capfd: pytest.CaptureFixture[str]) -> None:
    before, level = logging.getLogger().handlers[:], logging.getLogger().level
    logs.configure(log_format, "info")
    try:
        logging.getLogger("theirs").warning("%d of %s", "a")  # noqa: PLE1206 - this is what it is about
        for make in hostile.VALUES.values():
            logging.getLogger("theirs").warning("value %d: %s", 1, make())
            a_context().log(make(), value=make())
        for text in hostile.TEXTS.values():
            logging.getLogger("theirs").warning(text())
        logging.getLogger("theirs").warning("the last one")
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers = before
        logging.getLogger().setLevel(level)
    written = capfd.readouterr().err
    assert "the last one" in written
    assert "\x1b]0;" not in written, "no title is set"
    assert len(written) < 2_000_000


# The loop


def test_a_handler_that_stops_the_loop_ends_nothing() -> None:
    async def serve() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.01)
        finished.append(True)

    finished: list[bool] = []
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        run_through_exits(loop, loop.create_task(serve()))
    assert finished == [True]


# Processes


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


EVERY_WAY = pytest.mark.parametrize("how", forking_handlers.STARTS)


@EVERY_WAY
async def test_what_a_handler_leaves_behind_ends_with_its_mission(how: str) -> None:
    payload = msgspec.json.encode({"how": how})
    async with a_stage(forking_handlers.soldier) as stage:
        first = result_of(await stage.run("leave-behind", payload, mission_id="first"))
        await eventually(lambda: not is_running(first["left"]), "what it left has ended")
        second = result_of(await stage.run("start-and-wait", mission_id="second"))
        third = result_of(await stage.run("start-and-wait", mission_id="third"))
    assert second["child"] != first["child"], "its child process took no other mission"
    assert second["child"] == third["child"], "one whose processes have ended does"


@EVERY_WAY
async def test_what_a_handler_started_is_killed_with_it(how: str) -> None:
    commander = FakeCommander(timeout_seconds=20)
    async with a_stage(forking_handlers.soldier, commander=commander) as stage:
        await stage.hand_out(an_order("wait-with", payload=msgspec.json.encode({"how": how})))
        await eventually(stage.progress_of, "it runs")
        pid = int(next(report.note for report in commander.reports if report.note))
        assert is_running(pid)
        commander.cancels.add((MissionId("mission-1"), Epoch(1)))
        assert failure_of(await stage.report_on()) is Failure.CANCELLED
        await eventually(lambda: not is_running(pid), "what it started has ended")


async def test_what_a_handler_started_ends_when_its_process_exits() -> None:
    commander = FakeCommander()
    async with a_stage(forking_handlers.soldier, commander=commander) as stage:
        report = await stage.run("exit-with", msgspec.json.encode({"how": "in the group"}))
        assert failure_of(report) is Failure.PROCESS_DIED
        pid = int(next(report.note for report in commander.reports if report.note))
        await eventually(lambda: not is_running(pid), "what it started has ended")


@pytest.mark.timeout(60)
@EVERY_WAY
async def test_what_a_handler_started_ends_when_its_soldier_is_killed(how: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    command = [sys.executable, "-c", SOLDIER_ALONE, how]
    with subprocess.Popen(  # noqa: ASYNC220 - it is killed here
        command, env=environment, stdout=subprocess.PIPE, text=True
    ) as soldier:
        assert soldier.stdout is not None
        pid = int(await asyncio.to_thread(soldier.stdout.readline))
        assert is_running(pid)
        soldier.send_signal(signal.SIGKILL)
        await eventually(lambda: not is_running(pid), "what it started has ended")


SOLDIER_ALONE = """
import asyncio, sys
import msgspec
from support import forking_handlers
from support.fake_commander import an_order
from support.soldier_stage import a_stage
from support.broker_probe import eventually

async def main():
    async with a_stage(forking_handlers.soldier) as stage:
        await stage.hand_out(an_order("wait-with", payload=msgspec.json.encode({"how": sys.argv[1]})))
        await eventually(stage.progress_of, "it runs")
        print(next(report.note for report in stage.commander.reports if report.note), flush=True)
        await asyncio.sleep(60)

import structlog
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
asyncio.run(main())
"""


async def test_a_thread_that_a_handler_left_tells_nothing_of_the_next_mission() -> None:
    async with a_stage(forking_handlers.soldier) as stage:
        first = result_of(await stage.run("tell-later", mission_id="first"))
        second = result_of(await stage.run("listen", mission_id="second"))
        assert first["child"] == second["child"]
        assert stage.progress_of("second") == [10]


@pytest.mark.parametrize("what", forking_handlers.MESSAGES)
async def test_a_handler_that_writes_to_its_childs_pipe_ends_one_attempt(what: str) -> None:
    async with a_stage(forking_handlers.soldier, concurrency=1) as stage:
        report = await stage.run("speak-for-itself", msgspec.json.encode({"what": what}))
        assert failure_of(report) is Failure.PROCESS_DIED
        assert (await stage.run("start-and-wait", mission_id="next")).kind is ReportKind.COMPLETED


async def test_a_handler_that_closes_every_file_ends_one_attempt() -> None:
    async with a_stage(forking_handlers.soldier, concurrency=1) as stage:
        assert failure_of(await stage.run("close-everything")) is Failure.PROCESS_DIED
        assert (await stage.run("start-and-wait", mission_id="next")).kind is ReportKind.COMPLETED
