"""`missionctl dev` as a user runs it: another process, found by its note, ended by Ctrl-C."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.dev_process import START_SECONDS, Dev, eventually

from missionctl.client import MissionState, RetryPolicy, Submission, result_of

HANDLERS = """
import asyncio
from mission_soldier import Context, Soldier

crew = Soldier()

@crew.handler("nap")
async def nap(ctx: Context, payload: dict) -> dict:
    await asyncio.sleep(payload["seconds"])
    return {"slept": payload["seconds"]}
"""

HELLO = """
apiVersion: missioncontrol.dev/v1alpha1
kind: Mission
metadata: {name: hello}
spec: {type: noop, payload: {}}
"""


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Callable[..., Dev]]:
    """Start dev processes; whatever still runs at the end of the test is killed."""
    (tmp_path / "crew.py").write_text(HANDLERS)
    started: list[Dev] = []

    def start(*words: str) -> Dev:
        started.append(Dev(tmp_path, "--port", "0", *words))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def test_dev_runs_missions_for_whoever_reads_its_note(dev: Callable[..., Dev]) -> None:
    up = dev()
    up.context()
    result = up.cli("run", "noop", "--payload", '{"a": 1}', "--wait")
    assert (result.returncode, result.stdout) == (0, "null\n"), result.stderr
    assert up.end() == 0
    assert not up.has_note


def test_dev_runs_ones_own_handlers(dev: Callable[..., Dev]) -> None:
    with dev("--handlers", "crew:crew").control() as control:
        mission = control.submit(Submission(type="nap", payload={"seconds": 0.01}))
        final = control.wait(mission.mission_id, timeout_seconds=START_SECONDS)
    assert (final.state, result_of(final)) == (MissionState.COMPLETED, {"slept": 0.01})


def test_what_runs_when_dev_is_told_to_end_may_finish(dev: Callable[..., Dev]) -> None:
    up = dev("--handlers", "crew:crew")
    with up.control() as control:
        mission = control.submit(Submission(type="nap", payload={"seconds": 1}))
        eventually(lambda: control.get(mission.mission_id).attempt == 1, START_SECONDS, "the nap has begun")
        up.process.send_signal(signal.SIGTERM)
        final = control.wait(mission.mission_id, timeout_seconds=START_SECONDS)
        assert final.state is MissionState.COMPLETED
    assert up.process.wait(START_SECONDS) == 0


def test_an_open_watch_does_not_keep_dev_from_ending(dev: Callable[..., Dev]) -> None:
    up = dev()
    with up.control() as control:
        control.submit(Submission(type="noop", payload={}))
        changes = control.watch()
        next(changes)
        assert up.end() == 0
        changes.close()
    assert "Traceback" not in up.log


def test_names_given_in_yaml_are_names_everywhere(dev: Callable[..., Dev]) -> None:
    up = dev()
    up.context()
    (up.folder / "hello.yaml").write_text(HELLO)
    applied = [up.cli("apply", "-f", "hello.yaml").stdout.split() for _ in range(2)]
    assert applied[0][2] == applied[1][2]
    waited = up.cli("wait", "hello", "--timeout", "20")
    assert waited.stdout.split() == ["mission/hello", "Completed"], waited.stderr


def test_every_start_has_secrets_of_its_own(dev: Callable[..., Dev]) -> None:
    first = dev()
    before = first.context()
    first.end()
    after = dev().context()
    assert before.user.client_secret != after.user.client_secret
    assert before.operator.client_secret != after.operator.client_secret


def test_a_second_dev_on_the_same_port_says_so_and_leaves_the_first_alone(dev: Callable[..., Dev]) -> None:
    first = dev()
    context = first.context()
    second = first.cli("dev", "--port", context.url.rpartition(":")[2])
    assert second.returncode == 2
    assert second.stderr.startswith("error: port ")
    assert "perhaps by another `missionctl dev`" in second.stderr
    assert first.context() == context


def test_handlers_that_are_not_there_are_named(dev: Callable[..., Dev]) -> None:
    missing = dev("--handlers", "nowhere:soldier")
    assert missing.process.wait(START_SECONDS) == 2
    assert "there is no module 'nowhere'" in missing.log


HOSTILE_HANDLERS = """
import asyncio
from mission_soldier import Context, GiveUp, Soldier

crew = Soldier()

class Speechless(Exception):
    def __str__(self):
        raise RuntimeError("no text here")

ERRORS = {
    "surrogate": lambda: ValueError("caf\\udce9"),
    "speechless": Speechless,
    "number": lambda: GiveUp(42),
    "exit": lambda: SystemExit(3),
    "cancelled": asyncio.CancelledError,
}

@crew.handler("async")
async def raise_in_loop(ctx: Context, payload: dict) -> None:
    ctx.progress(1, "caf\\udce9")
    ctx.log("caf\\udce9", level="WARNING")
    raise ERRORS[payload["error"]]()

@crew.handler("thread")
def raise_in_thread(ctx: Context, payload: dict) -> None:
    raise ERRORS[payload["error"]]()

@crew.handler("process", isolation="process")
def raise_in_process(ctx: Context, payload: dict) -> None:
    raise ERRORS[payload["error"]]()
"""


@pytest.mark.timeout(120)
def test_dev_outlives_what_its_handlers_raise(dev: Callable[..., Dev], tmp_path: Path) -> None:
    (tmp_path / "hostile_crew.py").write_text(HOSTILE_HANDLERS)
    up = dev("--handlers", "hostile_crew:crew")
    with up.control() as control:
        missions = [
            control.submit(Submission(type=where, payload={"error": error}, retry=RetryPolicy(max_attempts=1)))
            for where in ("async", "thread", "process")
            for error in ("surrogate", "speechless", "number", "exit", "cancelled")
        ]
        finals = [control.wait(mission.mission_id, timeout_seconds=60) for mission in missions]
        assert {final.state for final in finals} == {MissionState.FAILED}
        assert sum("caf\\udce9" in final.message for final in finals) == 3
        last = control.submit(Submission(type="noop", payload={}))
        assert control.wait(last.mission_id, timeout_seconds=START_SECONDS).state is MissionState.COMPLETED
    assert up.process.poll() is None
