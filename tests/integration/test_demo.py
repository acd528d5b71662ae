"""`make demo`, as a newcomer runs it: a process that shows missions, exits 0 and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.left_behind import processes_in
from tools.demo.endings import ENDINGS
from tools.stack import KubeAccess

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 90.0

pytestmark = [pytest.mark.kube, pytest.mark.timeout(200)]


class Demo:
    """One run in a state folder of its own."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.state = folder / "state"
        self._output = folder / "output"
        self._variables = variables

    def start(self) -> "subprocess.Popen[bytes]":
        inherited = {name: value for name, value in os.environ.items() if name not in {"RABBITMQ_URL", "REDIS_URL"}}
        with self._output.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "tools.demo", "--state", str(self.state)],
                cwd=ROOT,
                env={**inherited, "KEEP": "", **self._variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def run(self) -> int:
        with self.start() as process:
            return process.wait(PATIENCE_SECONDS)

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def left_behind(self) -> list[str]:
        return processes_in(self.state)


def _wait_until(holds: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS:.0f} s in vain until {what()}"
        time.sleep(0.05)


def _states_of(name: str, output: str) -> list[str]:
    """The states of one mission, in the order in which the watch showed them."""
    rows = [line.split() for line in output.splitlines()]
    seen = [row[2] for row in rows if len(row) > 2 and row[1] == name and row[0].endswith("s")]
    known = {"Queued", "InProgress", "Completed", "Failed", "Cancelled"}
    return [state for state in seen if state in known]


@pytest.mark.usefixtures("kube")
class TestOnAnApiServer:
    """With Commander and soldiers in one process, as `make demo` runs it."""

    def test_missions_go_their_way_and_nothing_stays(self, tmp_path: Path) -> None:
        user_kubeconfig = tmp_path / "not-to-be-touched"
        user_kubeconfig.write_text("not even read")
        demo = Demo(tmp_path, {"KUBECONFIG": str(user_kubeconfig)})
        assert demo.run() == 0, demo.output
        assert _states_of("hello", demo.output)[-2:] == ["InProgress", "Completed"], demo.output
        assert _states_of("fails", demo.output)[-1] == "Failed"
        waited = [name for name in ENDINGS if "Queued" in _states_of(name, demo.output)]
        assert waited, "the pool has fewer slots than the samples have missions"
        assert "simulated failure" in demo.output
        assert "could never start: name an earlier startAfter" in demo.output
        assert user_kubeconfig.read_text() == "not even read"
        assert demo.left_behind == []
        assert not demo.state.exists()

    @pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
    def test_kept_up_it_serves_the_reader_until_it_is_ended(
        self, tmp_path: Path, kube: KubeAccess, signal_number: signal.Signals
    ) -> None:
        demo = Demo(tmp_path, {"KEEP": "1"})
        with demo.start() as process:
            try:
                _wait_until(lambda: "export KUBECONFIG=" in demo.output, lambda: f"it says how to join:\n{demo.output}")
                exports = dict(
                    line.removeprefix("export ").split("=", 1)
                    for line in demo.output.splitlines()
                    if line.startswith("export ")
                )
                joined = KubeAccess(
                    kubeconfig=Path(exports["KUBECONFIG"]), kubectl_binary=kube.kubectl_binary, cache=tmp_path / "cache"
                )
                assert "Completed" in joined.kubectl("get", "mission", "hello")
            finally:
                process.send_signal(signal_number)
            assert process.wait(PATIENCE_SECONDS) == 0
        assert demo.left_behind == []

    def test_ended_half_way_it_leaves_nothing_behind(self, tmp_path: Path) -> None:
        demo = Demo(tmp_path, {})
        with demo.start() as process:
            _wait_until(lambda: "kubectl apply -f manifests/crds" in demo.output, lambda: f"it began:\n{demo.output}")
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_SECONDS) == 130
        assert demo.left_behind == []
        assert not demo.state.exists()

    def test_killed_it_takes_its_children_along(self, tmp_path: Path) -> None:
        demo = Demo(tmp_path, {})
        with demo.start() as process:
            _wait_until(lambda: "kubectl apply -f manifests/crds" in demo.output, lambda: f"it began:\n{demo.output}")
            process.kill()
        _wait_until(lambda: demo.left_behind == [], lambda: f"these ended: {demo.left_behind}")


@pytest.mark.real
@pytest.mark.usefixtures("kube")
def test_on_rabbitmq_and_redis_each_part_is_a_process(tmp_path: Path, amqp_url: str, redis_db: str) -> None:
    demo = Demo(tmp_path, {"RABBITMQ_URL": amqp_url, "REDIS_URL": redis_db})
    assert demo.run() == 0, demo.output
    assert "processes of their own, on your RabbitMQ and Redis" in demo.output
    assert _states_of("hello", demo.output)[-1] == "Completed"
    assert demo.left_behind == []


class TestWithoutAnyApiServer:
    def test_it_says_so_first_and_runs_the_same_missions(self, tmp_path: Path) -> None:
        nothing = tmp_path / "nothing"
        nothing.mkdir()
        demo = Demo(tmp_path, {"XDG_CACHE_HOME": str(nothing), "PATH": str(nothing), "KUBEBUILDER_ASSETS": ""})
        assert demo.run() == 0, demo.output
        assert demo.output.strip().startswith("No API server can be had here: ")
        assert "install Go, or set KUBEBUILDER_ASSETS" in demo.output.strip().splitlines()[0]
        assert "Completed" in demo.output
        assert "Failed" in demo.output
        assert demo.left_behind == []
