"""`make chaos` in small: every kind of fault once, over some 5,000 missions; and a run that is ended half way."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chaos.faults import FAULTS
from support.left_behind import processes_in
from support.patience import until

ROOT = Path(__file__).parents[2]
MISSIONS = 5_000
LEASE_SECONDS = 3
PATIENCE_SECONDS = 1_500
"""Five minutes on a quiet machine of two cores."""

pytestmark = [
    pytest.mark.real,
    pytest.mark.kube,
    pytest.mark.timeout(PATIENCE_SECONDS + 60),
    pytest.mark.usefixtures("rabbitmq_url", "redis_url", "kube"),  # where they cannot run, neither can this
]


def a_run(state: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    output = (state.parent / "output").open("wb")
    with output:
        return subprocess.Popen(
            [sys.executable, "-m", "chaos", "--repeat", "1", "--state", str(state), *arguments],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "150"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def output_of(state: Path) -> str:
    return (state.parent / "output").read_text()


def what_went_wrong(state: Path) -> str:
    """Its words on what was broken; the progress and the table would push them out of sight."""
    lines = output_of(state).splitlines()
    return "\n".join(line[:500] for line in lines if " missions final" not in line and line[:1] not in "│┃┏┡├└")[
        -8_000:
    ]


def test_no_fault_loses_a_mission_or_records_it_twice(tmp_path: Path) -> None:
    state, report = tmp_path / "state", tmp_path / "report.json"
    sizes = ["--missions", str(MISSIONS), "--lease", str(LEASE_SECONDS), "--json", str(report)]
    with a_run(state, *sizes) as run:
        try:
            code = run.wait(PATIENCE_SECONDS)
        finally:
            run.terminate()
    assert code == 0, what_went_wrong(state)
    said: dict[str, Any] = json.loads(report.read_text())
    assert said["closing_line"] == f"{MISSIONS} missions, {len(FAULTS)} faults: 0 lost, 0 stuck, 0 double"
    assert {row["fault"] for row in said["rows"]} == set(FAULTS)
    assert [row["fault"] for row in said["rows"] if row["final"] < row["accepted"]] == []
    assert output_of(state).strip().endswith(said["closing_line"])
    assert processes_in(state) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_ended_half_way_it_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    state = tmp_path / "state"
    with a_run(state, "--missions", "100", "--faults", "commanders-killed,soldier-frozen") as run:
        try:
            await until(lambda: "1/2" in output_of(state), "the first round begins", seconds=120)
            run.send_signal(number)
            await until(lambda: run.poll() is not None, "it ends", seconds=60)
        finally:
            run.kill()
    assert run.returncode == 130, output_of(state)
    assert "nothing is left running" in output_of(state)
    assert "Traceback" not in output_of(state)
    await until(lambda: processes_in(state) == [], "its processes are gone")
