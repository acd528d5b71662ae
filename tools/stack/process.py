"""One server process of ours: started under a guard, waited for, killed by its own process group only."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.stack import guard
from tools.stack.errors import StackError

TAIL_LINES = 15
POLL_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How to start one process, and how to know that it serves."""

    name: str
    command: tuple[str, ...]
    is_ready: Callable[[], bool]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    patience_seconds: float = 60.0
    """How long a start may take. Generous: the machine may be compiling something at the same time."""

    clean_up: Callable[[], None] = lambda: None
    """Runs whenever the process is gone, for what it left outside its process group (a container)."""

    discard: Callable[[], None] = lambda: None
    """Runs once at the end, for data that are not in the state folder (a container's volume)."""


class Process:
    """Start, kill, start again: same command, same ports, same data."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self._guard: subprocess.Popen[bytes] | None = None
        self._group = 0

    @property
    def is_running(self) -> bool:
        return self._guard is not None and self._guard.poll() is None

    @property
    def pid(self) -> int:
        """The server's process, leader of a process group of its own."""
        return self._group

    def start(self) -> None:
        """Start and return when it serves; does nothing when it runs already."""
        if self.is_running:
            return
        self._spawn()
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it as an administrator would (SIGTERM), and wait until it is gone."""
        self._close_guard()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.is_running:
            self._signal(signal.SIGKILL)
        self._close_guard()

    def discard(self) -> None:
        """Kill it, and drop its data where they are outside the state folder."""
        self.kill()
        self.launch.discard()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, like a long pause of the machine."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _spawn(self) -> None:
        self.launch.log.parent.mkdir(parents=True, exist_ok=True)
        with self.launch.log.open("ab") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, *self.launch.command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(self.launch.environment),
                cwd=self.launch.log.parent,
                start_new_session=True,
            )
        self._group = self._read_pid(self._guard)

    def _read_pid(self, started: subprocess.Popen[bytes]) -> int:
        if started.stdout is None:
            raise AssertionError("the guard was started with a pipe")
        line = started.stdout.readline()
        if not line:
            self._close_guard()
            raise StackError(f"{self.launch.name} could not be executed.{self._log_tail()}")
        return int(line)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.launch.patience_seconds
        while not self.launch.is_ready():
            if not self.is_running:
                raise StackError(f"{self.launch.name} ended while it was starting.{self._log_tail()}")
            if time.monotonic() > deadline:
                raise StackError(
                    f"{self.launch.name} did not serve within {self.launch.patience_seconds:.0f} s, "
                    f"so it was ended again.{self._log_tail()}"
                )
            time.sleep(POLL_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._group, number)

    def _close_guard(self) -> None:
        """The guard ends the server when its standard input closes, and exits after it."""
        if self._guard is None:
            return
        self._guard.terminate()
        with self._guard:  # closes the pipes, then waits
            self._guard = None
        self.launch.clean_up()

    def _log_tail(self) -> str:
        return f" Its log is {self.launch.log}; the last lines:\n{tail(self.launch.log)}"


def is_alive(pid: int) -> bool:
    """Whether a process still runs; one that has ended and waits for its parent to notice (a zombie) does not."""
    told = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=10
    )
    return bool(told.stdout.strip()) and not told.stdout.startswith("Z")


def tail(log: Path, *, lines: int = TAIL_LINES) -> str:
    """Return the end of a log, indented; an absent log is an empty one."""
    if not log.exists():
        return "    (empty)"
    last = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in last) or "    (empty)"


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    """A clean one: the developer's own RABBITMQ_*, ERL_* or proxy settings must not reach our servers."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", **extra}
