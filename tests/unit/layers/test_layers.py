"""The layers in .importlinter are no decoration: a planted import of each forbidden kind is found."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MEMBERS = ("contracts", "broker", "operator", "commander", "soldier", "missionctl")

PLANTED = {
    "Services talk over the wire, never through imports": (
        "soldier/src/mission_soldier/errors.py",
        "import mission_commander",
    ),
    "Contracts stand on nothing, the broker on contracts, services on both": (
        "contracts/src/mission_contracts/clock.py",
        "import mission_broker.port",
    ),
    "The operator knows the Commander, not the broker behind it": (
        "operator/src/mission_operator/backoff.py",
        "import mission_broker.port",
    ),
    "In the Commander the domain knows nobody and the composition root knows all": (
        "commander/src/mission_commander/domain/record.py",
        "import mission_commander.services.recorder",
    ),
    "Decisions do no I/O": ("commander/src/mission_commander/services/recorder.py", "import redis"),
    "Commander and Soldier logic sees the broker's port, not an adapter": (
        "commander/src/mission_commander/services/outbox.py",
        "import mission_broker.memory",
    ),
    "Only missionctl.dev puts services together": (
        "missionctl/src/missionctl/cli/running.py",
        "import mission_soldier",
    ),
    "The client library needs neither the command line nor a server": (
        "missionctl/src/missionctl/client/_wire.py",
        "import rich",
    ),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The members' sources, to spoil."""
    for member in MEMBERS:
        shutil.copytree(ROOT / member / "src", tmp_path / member / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(str(tree / member / "src") for member in MEMBERS)
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", ".importlinter", "--no-cache"]
    return subprocess.run(
        command,
        cwd=tree,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_every_contract_finds_what_it_forbids(copy: Path) -> None:
    for file, line in PLANTED.values():
        with (copy / file).open("a") as module:
            module.write(f"\n{line}\n")
    found = lint(copy)
    broken = set(re.findall(r"^(.*) BROKEN", found.stdout, re.MULTILINE))
    assert broken == PLANTED.keys(), found.stdout + found.stderr


def test_the_tree_keeps_its_layers(copy: Path) -> None:
    kept = lint(copy)
    assert kept.returncode == 0, kept.stdout + kept.stderr
