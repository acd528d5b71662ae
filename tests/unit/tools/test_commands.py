"""Programs that tools and tests run end by themselves, or by their timeout, and take what they started along."""

import ast
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools.stack import commands
from tools.stack.errors import StackError

ROOT = Path(__file__).parents[3]
FOLDERS = ("tests", "tools", "chaos", "benchmarks", "charts", "operator", "commander", "soldier", "missionctl")
RUNS = frozenset({"run", "call", "check_call", "check_output"})


def test_a_program_that_hangs_is_stopped_with_a_sentence() -> None:
    with pytest.raises(StackError, match=r"`sleep 60` did not end within 0 s and was stopped"):
        commands.finish(["sleep", "60"], timeout_seconds=0.1)


def test_what_a_stopped_program_started_ends_too(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(StackError):
        commands.finish(["bash", "-c", f"sleep 60 & echo $! > {pid}; wait"], timeout_seconds=2)
    deadline = time.monotonic() + 10
    while is_alive(int(pid.read_text())):
        assert time.monotonic() < deadline, "the grandchild lives on"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_output_and_exit_code_are_returned() -> None:
    done = commands.finish(["bash", "-c", "cat; echo oops >&2; exit 3"], timeout_seconds=30, stdin="typed")
    assert (done.returncode, done.stdout, done.stderr) == (3, "typed", "oops\n")


def test_every_call_of_a_program_names_its_timeout() -> None:
    assert list(endless_calls()) == []


def endless_calls() -> Iterator[str]:
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and may_wait_for_ever(node):
                    yield f"{file.relative_to(ROOT)}:{node.lineno}"


def may_wait_for_ever(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute) or any(keyword.arg == "timeout" for keyword in call.keywords):
        return False
    owner = call.func.value
    return isinstance(owner, ast.Name) and owner.id == "subprocess" and call.func.attr in RUNS
