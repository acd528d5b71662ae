"""`missionctl dev` as a user runs it: another process, found by its note, ended by Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from missionctl import context_file
from missionctl.client import ClientSecret, MissionControlSync, MissionState, Submission, result_of
from missionctl.context_file import DevContext

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

START_SECONDS = 20


class Dev:
    """A dev process."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._environment = os.environ | {"MISSIONCTL_STATE_DIR": str(folder / "state"), "NO_COLOR": "1"}
        self._path = context_file.path_in(folder / "state")
        self._log = folder / "log"
        self._folder = folder
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "missionctl", "dev", *words],
                cwd=folder, env=self._environment, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def has_note(self) -> bool:
        return self._path.exists()

    def context(self) -> DevContext:
        """Its note, as soon as it is up."""
        eventually(lambda: self.has_note or self.process.poll() is not None, START_SECONDS, "dev is up")
        context = context_file.read(self._path)
        assert context is not None, self.log
        return context

    def control(self) -> MissionControlSync:
        """A client with the user's credentials."""
        context = self.context()
        return MissionControlSync(context.url, ClientSecret(context.user.client_id, context.user.client_secret))

    def cli(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "missionctl", *words]
        return subprocess.run(
            command, cwd=self._folder, env=self._environment, capture_output=True, text=True, check=False
        )

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(START_SECONDS)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(START_SECONDS)


def eventually(is_so: Callable[[], bool], seconds: float, what: str) -> None:
    ends_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends_at, f"not within {seconds} s: {what}"
        time.sleep(0.02)


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
    (up._folder / "hello.yaml").write_text(HELLO)
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
