"""The same YAML without an API server: `missionctl apply` against `missionctl dev`."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

from tools.demo.errors import DemoError
from tools.demo.services import Commander
from tools.demo.telling import Teller

ROOT: Final = Path(__file__).parents[2]
SAMPLES: Final = "manifests/samples"
FINISH_SECONDS: Final = 60
NOT_COMPLETED: Final = 1
"""`missionctl wait` says with it that a mission ended otherwise than Completed, as some samples should."""


class Missionctl:
    """Types commands for the reader, and shows what comes of them."""

    def __init__(self, commander: Commander, teller: Teller) -> None:
        self._environment = {**os.environ, **commander.environment}
        self._teller = teller

    def tell(self) -> None:
        """Apply the samples, wait for their end, show it."""
        self._teller.step("Missions are applied, and warm soldiers run them at once")
        self._show("apply", "-f", SAMPLES)
        self._show("wait", "--all", "--timeout", str(FINISH_SECONDS), may_end_with=NOT_COMPLETED)
        self._teller.step("Every mission has reached its end, and says why")
        self._show("get")
        self._teller.step("What there is to know about one of them (fails)")
        self._show("describe", "fails")
        self._check()

    def _check(self) -> None:
        living = [
            one for one in json.loads(self._run("get", "-o", "json")) if one["state"] in {"QUEUED", "IN_PROGRESS"}
        ]
        if living:
            raise DemoError(f"{len(living)} missions are not finished, although `missionctl wait` returned")

    def _show(self, *arguments: str, may_end_with: int = 0) -> None:
        self._teller.command(shlex.join(("missionctl", *arguments)))
        self._teller.line(self._run(*arguments, may_end_with=may_end_with).rstrip())

    def _run(self, *arguments: str, may_end_with: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "missionctl", *arguments],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in {0, may_end_with}:
            raise DemoError(f"`missionctl {shlex.join(arguments)}` failed: {done.stderr.strip()}")
        return done.stdout
