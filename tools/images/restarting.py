"""The dev images' first process: runs the service, and on SIGHUP starts it anew with the files that were synced.

It stays alive in between, because a container that restarts would lose what was written into it.
"""

import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType


def main(command: Sequence[str]) -> int:
    """Run the command, and again after each SIGHUP. When it ends by itself, or after SIGTERM, its exit code is ours."""
    service = Restarting(command)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, service.told)
    return service.run()


class Restarting:
    """One service, and what it was told."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._running: subprocess.Popen[bytes] | None = None
        self._is_to_end = False
        self._is_to_restart = True

    def run(self) -> int:
        code = 0
        while self._is_to_restart and not self._is_to_end:
            self._is_to_restart = False
            self._running = subprocess.Popen(self._command)
            if self._is_to_restart or self._is_to_end:  # told so while it was starting
                self._running.terminate()
            code = self._running.wait()
        return code if code >= 0 else 128 - code  # as a shell tells which signal it was

    def told(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._is_to_restart = True
        else:
            self._is_to_end = True
        if self._running is not None and self._running.poll() is None:
            self._running.terminate()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
