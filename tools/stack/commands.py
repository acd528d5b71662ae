"""Other people's programs, run to their end."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools.stack.errors import StackError


def run(command: Sequence[str | Path], *, meaning: str, log: Path | None = None) -> str:
    """Return what it prints; when it fails, say what that means for whoever asked. A log is written while it runs."""
    words = [str(word) for word in command]
    if log is None:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        told, code = (done.stdout, done.returncode) if done.returncode == 0 else (done.stderr, done.returncode)
    else:
        code = _logged(words, log)
        told = log.read_text(errors="replace")
    if code:
        raise StackError(f"`{' '.join(words[:4])} …` failed, so {meaning}. It said:\n{told[-2000:].strip()}")
    return told


def _logged(words: Sequence[str], log: Path) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as sink:
        return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, check=False).returncode
