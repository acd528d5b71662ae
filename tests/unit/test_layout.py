"""Guard rails of the folder layout: a slip here breaks far from where it was made."""

import operator
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STANDARD_LIBRARY = Path(subprocess.__file__).parent
MEMBERS = ("contracts", "broker", "operator", "commander", "soldier", "missionctl")


def test_operator_is_the_standard_librarys() -> None:
    assert Path(str(operator.__file__)).parent == STANDARD_LIBRARY


def test_a_new_interpreter_in_the_root_still_finds_the_standard_operator() -> None:
    code = "import operator, sys; del sys.modules['operator']; import operator; print(operator.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert Path(found.stdout.strip()).parent == STANDARD_LIBRARY


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_is_a_project_and_never_a_package(member: str) -> None:
    outside_src = {path.relative_to(ROOT).as_posix() for path in (ROOT / member).glob("*.py")}
    assert outside_src == set(), "code belongs in src/, tests in tests/"


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_holds_no_tests(member: str) -> None:
    names = ("conftest.py", "test_*.py", "*_test.py")
    assert [path for name in names for path in (ROOT / member).rglob(name) if "node_modules" not in path.parts] == []


def test_tests_are_no_packages() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []
