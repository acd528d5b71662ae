"""Keeps a server from outliving whoever started it, however that one died.

Run as a script by `process.py`, as the server's parent. The starter holds the other end of our standard
input: when that closes, by intention or by SIGKILL, the server's process group is ended. SIGTERM means the same
(a fork of the starter may hold the pipe open). Stdlib only, nothing from the repository: it starts in milliseconds.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys

GRACE_SECONDS = 3.0
STARTER = 0
"""The descriptor whose end of file means that the starter is gone."""


def main(command: list[str]) -> int:
    signals = _watch_signals()
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, process_group=0)
    print(server.pid, flush=True)
    while server.poll() is None and not _told_to_end(signals):
        pass
    _end(server)
    return server.returncode


def _watch_signals() -> int:
    """Return a descriptor on which the numbers of arriving signals can be read."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # A handler, not SIG_IGN: an ignored signal would be inherited by the server.
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def _told_to_end(signals: int) -> bool:
    """Wait for news; true when the starter has gone or asks for the end."""
    ready, _, _ = select.select([STARTER, signals], [], [], 1.0)
    starter_is_gone = STARTER in ready and not os.read(STARTER, 4096)
    return starter_is_gone or (signals in ready and signal.SIGTERM in os.read(signals, 4096))


def _end(server: subprocess.Popen[bytes]) -> None:
    """Politely, then for good. The group may outlive its leader, so it is always killed."""
    _signal_group(server.pid, signal.SIGCONT)  # a frozen server hears nothing else
    _signal_group(server.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(GRACE_SECONDS)
    _signal_group(server.pid, signal.SIGKILL)
    server.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
