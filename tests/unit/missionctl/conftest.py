"""The command line with a fake Commander at the end of the line."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner, Result

from missionctl.cli import connecting
from missionctl.cli.app import app
from missionctl.client import MissionControlSync, Retries
from missionctl.testing import FakeCommander

QUICK: Final = Retries(patience_seconds=2, first_seconds=0.001, longest_seconds=0.002)


@pytest.fixture
def commander() -> FakeCommander:
    return FakeCommander(client_secret="s3cret")


@pytest.fixture
def run(commander: FakeCommander, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run a command as a user would, with the fake at the end of the line."""
    wired = functools.partial(MissionControlSync, transport=commander.transport)
    monkeypatch.setattr(connecting, "MissionControlSync", wired)
    monkeypatch.setattr(connecting, "ASKING", QUICK)
    monkeypatch.setattr(connecting, "WAITING", QUICK)
    monkeypatch.chdir(tmp_path)
    environment = {
        "MISSIONCTL_URL": commander.url,
        "MISSIONCTL_CLIENT_ID": "me",
        "MISSIONCTL_CLIENT_SECRET": "s3cret",
        "MISSIONCTL_STATE_DIR": str(tmp_path / "state"),
        "COLUMNS": "100",
    }

    def invoke(*words: str, input: str | bytes | None = None) -> Result:  # noqa: A002 - typer's word
        result = CliRunner().invoke(app, [*words], input=input, env=environment)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke
