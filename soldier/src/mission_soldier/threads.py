"""Threads for handlers that block. They are daemons: one that never returns must not keep a leaving process alive."""

import queue
import threading
from collections.abc import Callable

import structlog

Work = Callable[[], None]

log = structlog.get_logger(__name__)


class DaemonThreads:
    """Reuses idle threads and starts one more when there is none; the slots bound their number."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._started = 0

    def submit(self, work: Work) -> None:
        """Run it in a thread, at once. Raises RuntimeError when there is none and the machine has no more."""
        if self._idle.acquire(blocking=False):
            self._work.put(work)
            return
        threading.Thread(
            target=self._serve, args=(work,), name=f"{self._name}-{self._started + 1}", daemon=True
        ).start()
        self._started += 1

    def _serve(self, work: Work) -> None:
        while True:
            try:
                work()
            except BaseException:
                log.exception("work in a thread failed in an unforeseen way")
            self._idle.release()
            work = self._work.get()
