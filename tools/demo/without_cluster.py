"""The same YAML without an API server: `missionctl apply` against `missionctl dev`."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

from mission_contracts.mission import MissionState
from missionctl.cli.exits import Exit
from tools.demo.errors import DemoError
from tools.demo.services import Commander
from tools.demo.telling import Teller

ROOT: Final = Path(__file__).parents[2]
SAMPLES: Final = "manifests/samples"
FINISH_SECONDS: Final = 45
EXPECTED: Final = frozenset({Exit.OK, Exit.NOT_COMPLETED, Exit.REFUSED})
"""One of the samples is refused, and some shall fail: missionctl's exit codes say so."""


class Missionctl:
    """Types commands for the reader, and shows what comes of them."""

    def __init__(self, commander: Commander, teller: Teller) -> None:
        self._environment = {**os.environ, **commander.environment}
        self._teller = teller

    def tell(self) -> None:
        """Apply the samples, wait for their end, show it."""
        self._teller.step("Missions are applied, and warm soldiers run them at once")
        self._show("apply", "-f", SAMPLES)
        self._show("wait", "--all", "--timeout", str(FINISH_SECONDS))
        self._teller.step("Every mission has reached its end, and says why")
        self._show("get")
        self._teller.step("What there is to know about one of them (fails)")
        self._show("describe", "fails")
        self._check()

    def _check(self) -> None:
        missions = json.loads(self._run("get", "-o", "json", words=subprocess.DEVNULL))["missions"]
        living = [one for one in missions if not MissionState(one["state"]).is_final]
        if living or not missions:
            raise DemoError(f"{len(living)} of {len(missions)} missions are not finished, although all were waited for")

    def _show(self, *arguments: str) -> None:
        self._teller.command(shlex.join(("missionctl", *arguments)))
        self._teller.line(self._run(*arguments).rstrip())

    def _run(self, *arguments: str, words: int = subprocess.STDOUT) -> str:
        """What it printed, as a terminal shows it: its words on stderr are part of it."""
        done = subprocess.run(
            [sys.executable, "-m", "missionctl", *arguments],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode not in EXPECTED:
            raise DemoError(f"`missionctl {shlex.join(arguments)}` failed: {done.stdout.strip()}")
        return done.stdout
