"""Other people's programs, run to their end, which comes in any case."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from tools.stack.errors import StackError

TIMEOUT_SECONDS: Final = 1_800.0
"""More than the longest build takes on a slow machine."""
_KILL_AFTER_SECONDS: Final = 10.0

Output = int | IO[str]


def run(
    command: Sequence[str | Path], *, meaning: str, log: Path | None = None, timeout_seconds: float = TIMEOUT_SECONDS
) -> str:
    """Return what a program prints. A log is written while it runs.

    Raises StackError, which says what it means, when the program fails or does not end in time.
    """
    if log is None:
        done = finish(command, timeout_seconds=timeout_seconds)
        printed, code = done.stdout if done.returncode == 0 else done.stderr, done.returncode
    else:
        code = _logged(command, log, timeout_seconds)
        printed = log.read_text(errors="replace")
    if code:
        raise StackError(f"`{_short(command)} …` failed, so {meaning}. It said:\n{printed[-2000:].strip()}")
    return printed


def finish(
    command: Sequence[str | Path],
    *,
    timeout_seconds: float,
    stdin: str = "",
    stdout: Output = subprocess.PIPE,
    stderr: Output = subprocess.PIPE,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever its exit code; what it started ends with it when its time is over.

    `environment` is added to this process's own. Raises StackError when the time is over.
    """
    words = [str(word) for word in command]
    with subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        text=True,
        # A group of its own: `make` ends at a signal, and leaves what it runs behind.
        start_new_session=True,
    ) as process:
        try:
            printed, complaints = process.communicate(stdin, timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            raise StackError(
                f"`{_short(command)}` did not end within {timeout_seconds:.0f} s and was stopped: "
                "run it by hand to see what it waits for."
            ) from None
        finally:
            _end_group(process)
    return subprocess.CompletedProcess(words, process.returncode, printed or "", complaints or "")


def _logged(command: Sequence[str | Path], log: Path, timeout_seconds: float) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as sink:
        return finish(command, timeout_seconds=timeout_seconds, stdout=sink, stderr=sink).returncode


def _end_group(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_KILL_AFTER_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def _short(command: Sequence[str | Path]) -> str:
    return " ".join(str(word) for word in command[:4])
