"""What a soldier says when something is wrong with it, once each."""

import threading
import time

import pytest
import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict
from support.broker_probe import eventually
from support.fake_commander import FakeCommander, an_order
from support.soldier_stage import a_stage

from mission_contracts.mission import Instance
from mission_contracts.soldiering import HeartbeatAnswer
from mission_soldier import Context, Soldier, heartbeat
from mission_soldier.book import Book
from mission_soldier.heartbeat import HeartbeatThread, Pulse
from mission_soldier.runtime import Runtime


def warnings_in(logs: list[EventDict], words: str) -> list[EventDict]:
    return [line for line in logs if line["log_level"] == "warning" and words in line["event"]]


@pytest.fixture(autouse=True)
def _fresh_logging() -> None:
    structlog.reset_defaults()


async def test_a_blocked_event_loop_is_named_once_with_its_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BLOCKED_LOOP_SECONDS", 0.4)
    soldier = Soldier()

    @soldier.handler("block")
    async def block(_ctx: Context) -> None:
        time.sleep(1)  # noqa: ASYNC251 - to block is the point

    with capture_logs() as logs:
        async with a_stage(soldier) as stage:
            await stage.run("block")
    [warning] = warnings_in(logs, "the event loop is blocked")
    assert warning["types"] == ["block"]


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
        assert runtime._why_not_alive() is None
        await stage.hand_out(an_order("deaf"))
        await stage.report_on()
        assert runtime._why_not_alive() == "every slot is held by a handler that does not stop"
        let_go.set()
        await eventually(lambda: runtime._why_not_alive() is None, "the slot is free again")
