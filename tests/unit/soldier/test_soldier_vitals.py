"""What a soldier says when something is wrong with it, once each."""

import re
import socket
import threading
import time

import httpx
import pytest
import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict
from support.broker_probe import eventually
from support.fake_commander import FakeCommander, an_order
from support.soldier_stage import HIGH, NORMAL, a_stage

from mission_contracts import metrics
from mission_contracts.mission import Instance
from mission_contracts.soldiering import HeartbeatAnswer
from mission_soldier import Context, Soldier, vitals
from mission_soldier import runtime as runtime_module
from mission_soldier.book import Book
from mission_soldier.heartbeat import HeartbeatThread, Pulse
from mission_soldier.runtime import Runtime
from mission_soldier.vitals import Absence, Vitals


def warnings_in(logs: list[EventDict], words: str) -> list[EventDict]:
    return [line for line in logs if line["log_level"] == "warning" and words in line["event"]]


@pytest.fixture(autouse=True)
def _fresh_logging() -> None:
    structlog.reset_defaults()


async def test_a_blocked_event_loop_is_named_once_with_its_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "BLOCKED_SECONDS", 0.4)
    soldier = Soldier()

    @soldier.handler("block")
    async def block(_ctx: Context) -> None:
        time.sleep(1)  # noqa: ASYNC251 - to block is the point

    with capture_logs() as logs:
        async with a_stage(soldier) as stage:
            await stage.run("block")
            await eventually(lambda: any(line["event"] == "the event loop goes on" for line in logs), "its end is told")
    [warning] = warnings_in(logs, "the event loop is blocked")
    assert warning["types"] == ["block"]
    assert "time.sleep(1)" in warning["blocked_in"]


async def test_a_silent_commander_is_named_once_and_its_return_too() -> None:
    with capture_logs() as logs:
        async with a_stage(commander=FakeCommander(lease_seconds=0.1)) as stage:
            stage.commander.is_away = True
            await eventually(lambda: warnings_in(logs, "no heartbeat was answered"), "a warning")
            stage.commander.is_away = False
            await eventually(
                lambda: any("heartbeats are answered again" in line["event"] for line in logs), "the return is told"
            )
    assert len(warnings_in(logs, "no heartbeat was answered")) == 1


class Confused(FakeCommander):
    """Answers a beat with an error that nobody thought of, then as ever."""

    def __init__(self) -> None:
        super().__init__()
        self.confusions = 1

    def beat(self, instance, heartbeat):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        if self.confusions:
            self.confusions -= 1
            raise ZeroDivisionError
        return super().beat(instance, heartbeat)


async def test_the_heartbeat_outlives_errors_that_nobody_thought_of() -> None:
    with capture_logs() as logs:
        async with a_stage(commander=Confused()) as stage:
            await stage.beaten()
    assert any(line["event"] == "a heartbeat failed in an unforeseen way" for line in logs)


async def test_a_heartbeat_after_the_loops_end_harms_nobody() -> None:
    book = Book(slots=1)
    answers: list[HeartbeatAnswer] = []
    thread = HeartbeatThread(
        commander=FakeCommander(),
        instance=Instance("i"),
        book=book,
        pulse=Pulse(),
        heartbeat_seconds=0.01,
        lease_seconds=1,
        on_answer=answers.append,
        on_unknown=lambda: None,
        running_types=list,
    )
    thread.start()
    await eventually(lambda: answers, "an answer in the loop")
    await thread.leave(5)
    assert isinstance(answers[0], HeartbeatAnswer)
    assert not any(running.name == "heartbeat" and running.is_alive() for running in threading.enumerate())


async def test_a_soldier_whose_slots_are_all_stuck_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mission_soldier.execution.UNWIND_SECONDS", 0.01)
    let_go = threading.Event()
    soldier = Soldier()

    @soldier.handler("deaf")
    def deaf(_ctx: Context) -> None:
        let_go.wait(30)

    runtimes: list[Runtime] = []
    original = Runtime.__init__

    def remembering(self: Runtime, *arguments: object, **named: object) -> None:
        original(self, *arguments, **named)  # type: ignore[arg-type]
        runtimes.append(self)

    monkeypatch.setattr(Runtime, "__init__", remembering)
    async with a_stage(soldier, commander=FakeCommander(timeout_seconds=0.05), concurrency=1) as stage:
        [runtime] = runtimes

        def is_alive() -> bool:
            return runtime._pages()["/livez"]().is_well

        assert is_alive()
        await stage.hand_out(an_order("deaf"))
        await stage.report_on()
        assert runtime._pages()["/livez"]().text == "every slot is held by a handler that does not stop\n"
        let_go.set()
        await eventually(is_alive, "the slot is free again")


FINE = Vitals(
    blocked_seconds=0.1,
    longest_timeout_seconds=0,
    is_busy=False,
    is_stuck=False,
    is_registered=True,
    is_told_to_take=True,
    is_consuming=True,
    gone_seconds=0,
)


@pytest.mark.parametrize(
    ("seen", "is_alive", "is_ready"),
    [
        pytest.param(FINE, True, True, id="all is well"),
        pytest.param(FINE._replace(blocked_seconds=5.1), True, False, id="blocked for 5 s: not ready, and alive"),
        pytest.param(FINE._replace(blocked_seconds=59), True, False, id="blocked for less than a minute"),
        pytest.param(FINE._replace(blocked_seconds=61), False, False, id="blocked for a minute, nothing runs longer"),
        pytest.param(
            FINE._replace(blocked_seconds=599, longest_timeout_seconds=600), True, False, id="a mission may take longer"
        ),
        pytest.param(
            FINE._replace(blocked_seconds=601, longest_timeout_seconds=600), False, False, id="longer than any may take"
        ),
        pytest.param(FINE._replace(is_consuming=False, is_told_to_take=False), True, True, id="it retires"),
        pytest.param(FINE._replace(is_registered=False), True, False, id="the Commander does not know it"),
        pytest.param(FINE._replace(is_consuming=False, gone_seconds=80), True, False, id="the consumer may come back"),
        pytest.param(FINE._replace(is_consuming=False, gone_seconds=91), False, False, id="it did not"),
        pytest.param(
            FINE._replace(is_consuming=False, gone_seconds=900, is_busy=True), True, False, id="what runs comes first"
        ),
    ],
)
def test_who_is_alive_and_who_is_ready(seen: Vitals, *, is_alive: bool, is_ready: bool) -> None:
    assert (vitals.why_not_alive(seen) is None, vitals.why_not_ready(seen) is None) == (is_alive, is_ready)


def test_a_consumer_that_is_gone_is_made_anew_once_each_time() -> None:
    absence = Absence()

    def look(now: float, *, is_there: bool = False, broker_is_away: bool = False) -> bool:
        return absence.look(is_wanted=True, is_there=is_there, broker_is_away=broker_is_away, now=now)

    assert [look(now) for now in (0, 30, 31, 32, 200)] == [False, False, True, False, False]
    assert absence.seconds == 200
    assert not look(201, broker_is_away=True), "a broker that is away takes every consumer with it"
    assert absence.seconds == 0
    assert [look(now) for now in (300, 331)] == [False, True]
    assert not look(332, is_there=True)
    assert absence.seconds == 0


async def test_a_soldier_subscribes_anew_when_its_consumer_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_module, "WATCH_SECONDS", 0.02)
    monkeypatch.setattr(vitals, "RESUBSCRIBE_SECONDS", 0.05)
    with capture_logs() as logs:
        async with a_stage() as stage:
            await stage.run("noop")
            for consumer in tuple(stage.broker._consumers):
                if consumer.queue in (HIGH, NORMAL):
                    await consumer.pause()
            await stage.run("noop", mission_id="mission-2")
    assert len(warnings_in(logs, "the consumer of orders is gone")) == 1


async def test_a_blocked_soldier_answers_its_probes_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "BLOCKED_SECONDS", 0.4)
    soldier = Soldier()
    answers: dict[str, httpx.Response] = {}

    @soldier.handler("block")
    async def block(_ctx: Context) -> None:
        time.sleep(0.6)  # noqa: ASYNC251 - to block is the point
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            for path in ("/livez", "/readyz", "/metrics"):
                answers[path] = client.get(path)  # noqa: ASYNC212 - the same

    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    async with a_stage(soldier, probe_port=port) as stage:
        await stage.run("block")
    assert answers["/livez"].status_code == 200
    assert answers["/readyz"].status_code == 503
    numbers = dict(line.rsplit(" ", 1) for line in answers["/metrics"].text.splitlines() if not line.startswith("#"))
    assert float(numbers["missioncontrol_soldier_loop_blocked_seconds"]) > 0.1
    assert int(numbers["missioncontrol_soldier_slots"]) - int(numbers["missioncontrol_soldier_slots_free"]) == 1
    served = re.findall(r"^# TYPE (\S+) (\S+)$", answers["/metrics"].text, re.MULTILINE)
    assert served == [(metric.name, metric.kind.value) for metric in metrics.OF_SOLDIERS]
