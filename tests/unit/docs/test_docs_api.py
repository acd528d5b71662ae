"""docs/reference/api.md does what it says: its commands run one after the other, and its answers look like theirs."""

import json
import os
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.dev_process import Dev
from support.snippets import ROOT, snippets

from mission_commander.api import described

PAGE = ROOT / "docs" / "reference" / "api.md"
SAYS = frozenset({"state", "reason", "status", "code", "field", "type", "parts", "redriven", "more", "retry_of"})
"""Fields whose very value the page promises; of the others it shows an example."""
END = "--- end of block ---"


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    up = Dev(tmp_path, "--port", "0")
    yield up
    up.kill()


def answers_of(dev: Dev, blocks: list[list[str]]) -> list[str]:
    """What each block of commands printed, in one shell, so that its variables stay."""
    context = dev.context()
    given = {"URL": context.url, "CLIENT_ID": context.user.client_id, "CLIENT_SECRET": context.user.client_secret}
    script = "\n".join(["set -eu", *("\n".join([*block, f"echo; echo '{END}'"]) for block in blocks)])
    ran = subprocess.run(
        ["bash", "-c", script],
        env=os.environ | given | {"NO_PROXY": "*"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}"
    return [text.strip() for text in ran.stdout.split(END)[:-1]]


@pytest.mark.timeout(120)
def test_each_command_is_answered_as_the_page_shows(dev: Dev) -> None:
    page = [one for one in snippets(PAGE) if one.language in {"bash", "json"}]
    commands = [one for one in page if one.language == "bash"]
    printed = dict(zip(commands, answers_of(dev, [one.commands for one in commands]), strict=True))
    shown = [(before, one) for before, one in pairwise(page) if one.language == "json"]
    assert len(shown) > 12
    for command, answer in shown:
        assert command.language == "bash", f"line {answer.line}: no command before this answer"
        assert_alike(json.loads(answer.text), json.loads(printed[command]), f"line {answer.line}")
    [stream] = [text for command, text in printed.items() if "/events" in command.text]
    assert "event: reset" in stream


def assert_alike(shown: Any, real: Any, where: str) -> None:
    """Every field that is shown is there, and what the page promises has its very value."""
    if isinstance(shown, dict):
        assert shown.keys() <= real.keys(), f"{where}: {sorted(shown.keys() - real.keys())} is not in {real}"
        for name, value in shown.items():
            assert_alike(value, real[name], f"{where}: {name}")
            is_promised = name in SAYS and name != "retry_of" and not isinstance(value, dict)
            assert not is_promised or value == real[name], f"{where}: {name} is {real[name]!r}"
    elif isinstance(shown, list):
        assert len(shown) == len(real), where
        for one, other in zip(shown, real, strict=True):
            assert_alike(one, other, where)


def test_every_route_is_listed() -> None:
    text = PAGE.read_text()
    for one in described.operations():
        who = ", ".join(role.value for role in one.roles) if one.roles else "anybody"
        assert f"| `{one.method} {one.path}` | {one.summary} | {who} |" in text
