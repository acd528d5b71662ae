"""What every server of the stack can do, so that fault tests need not know which one they break."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Self

from tools.stack.process import Process


class Server:
    """One or more processes that start in order and end in reverse; ports and data survive a restart."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self.processes = tuple(processes)

    @property
    def is_running(self) -> bool:
        return all(process.is_running for process in self.processes)

    def start(self) -> None:
        """Start what does not run, and return when all of it serves."""
        try:
            for process in self.processes:
                process.start()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it as an administrator would (SIGTERM), and wait until it is gone."""
        for process in reversed(self.processes):
            process.stop()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        for process in reversed(self.processes):
            process.kill()

    def restart(self) -> None:
        """Stop in an orderly way, then start again with the same data on the same port."""
        self.stop()
        self.start()

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Start, and leave nothing behind at the end: no process, no container, no volume."""
        try:
            self.start()
            yield self
        finally:
            for process in reversed(self.processes):
                process.discard()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, like a long pause of the machine."""
        for process in self.processes:
            process.freeze()

    def thaw(self) -> None:
        """Let a frozen server go on."""
        for process in self.processes:
            process.thaw()
