"""`missionctl dev` as a process of its own, and its command line beside it, in a folder of a test's own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from missionctl import context_file
from missionctl.client import ClientSecret, MissionControlSync
from missionctl.context_file import DevContext

START_SECONDS = 20


class Dev:
    """A dev process."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._environment = os.environ | {"MISSIONCTL_STATE_DIR": str(folder / "state"), "NO_COLOR": "1"}
        self._path = context_file.path_in(folder / "state")
        self._log = folder / "log"
        self.folder = folder
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
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False, timeout=100
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
