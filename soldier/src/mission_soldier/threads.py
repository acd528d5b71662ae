"""Threads for handlers that block. They are daemons: one that never returns must not keep a leaving process alive."""

import queue
import threading
from collections.abc import Callable

Work = Callable[[], None]


class DaemonThreads:
    """Reuses idle threads and starts one more when there is none; the slots bound their number."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._started = 0

    def submit(self, work: Work) -> None:
        """Run it in a thread, at once. It must not raise."""
        self._work.put(work)
        if not self._idle.acquire(blocking=False):
            self._started += 1
            threading.Thread(target=self._serve, name=f"{self._name}-{self._started}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._work.get()()
            self._idle.release()
