"""Child processes, for handlers that must be stoppable and for missions suspected of killing their process."""

import contextlib
import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing import connection, forkserver
from multiprocessing.context import BaseContext
from typing import Final, NamedTuple

from mission_soldier import child, descendants, outcomes
from mission_soldier.child import AskToStop, Ended, Job
from mission_soldier.outcomes import Outcome

EXIT_SECONDS: Final = 5.0

Tell = Callable[[float, str], None]


class Child:
    """One child process, seen from the parent. `run` blocks a thread; the other methods are for any thread."""

    def __init__(self, processes: BaseContext, log_format: str) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        self._sending = threading.Lock()
        self._is_killed = False
        self._left_processes = False
        self._run_number = 0
        self._process = processes.Process(  # type: ignore[attr-defined]
            target=child.main, args=(theirs, log_format), name="mission-soldier-child"
        )
        self._process.start()
        theirs.close()

    @property
    def is_alive(self) -> bool:
        return not self._is_killed and bool(self._process.is_alive())

    @property
    def can_run_more(self) -> bool:
        return self.is_alive and not self._left_processes

    def run(self, job: Job, tell: Tell, on_start: Callable[["Run"], None]) -> Outcome:
        """Run one job to its end, which may be the child's."""
        on_start(Run(self, self._run_number))
        try:
            return self._run(job, tell)
        finally:
            with self._sending:
                self._run_number += 1

    def _run(self, job: Job, tell: Tell) -> Outcome:
        try:
            self._send(job)
            while True:
                # The pipe stays open while a grandchild lives, so the process itself is watched too.
                ready = connection.wait([self._connection, self._process.sentinel])
                if self._connection not in ready:
                    return self._died()
                message = child.from_child.decode(self._connection.recv_bytes(child.MAX_MESSAGE_BYTES))
                if isinstance(message, Ended):
                    self._left_processes = message.left_processes
                    return message.outcome
                tell(message.percent, message.note)
        except (EOFError, OSError):
            return self._died()

    def ask_to_stop(self, run_number: int) -> None:
        with self._sending, contextlib.suppress(OSError):
            if run_number == self._run_number:
                self._connection.send_bytes(child.encoder.encode(AskToStop()))

    def stop(self, run_number: int) -> None:
        """Kill the child if it is still at this run: a moment later it may be at another mission's."""
        with self._sending:
            if run_number == self._run_number:
                self.kill()

    def kill(self) -> None:
        """End the child and all that it started."""
        self._is_killed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            descendants.end(self._process.pid)
            return
        # It has not made its own process group yet.
        self._process.kill()

    def close(self) -> None:
        """Wait for a killed child's end and give back what it took here."""
        self._process.join(EXIT_SECONDS)
        self._connection.close()

    def _send(self, message: Job | AskToStop) -> None:
        with self._sending:
            self._connection.send_bytes(child.encoder.encode(message))

    def _died(self) -> Outcome:
        self._process.join(EXIT_SECONDS)
        exit_code = self._process.exitcode
        self.kill()  # also one that lives on without its pipe: it takes no other mission
        return outcomes.process_died(exit_code)


class Run(NamedTuple):
    """One job in a child, to stop that job and no other."""

    worker: Child
    number: int

    def ask_to_stop(self) -> None:
        self.worker.ask_to_stop(self.number)

    def stop(self) -> None:
        self.worker.stop(self.number)


class Children:
    """Starts children from a clean server process (forking this one, with its threads, would be unsafe), and
    keeps those of `isolation="process"` for the next mission."""

    def __init__(self, log_format: str) -> None:
        self._log_format = log_format
        self._processes = multiprocessing.get_context("forkserver")
        # What most handlers import too: a child that begins in a hurry then finds it done.
        self._processes.set_forkserver_preload(["mission_soldier.child", "mission_soldier.builtin"])
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        self._is_closed = False

    def warm_up(self) -> None:
        """Start the server process ahead of the first child, which takes a second or more on a busy machine.

        When a soldier dies, what it ran begins anew in children elsewhere, and somebody has waited for a whole lease.
        """
        forkserver.ensure_running()

    def run(self, job: Job, tell: Tell, *, alone: bool, on_start: Callable[[Run], None]) -> Outcome:
        """Run a job in a child process and wait for it, in this thread. `alone`: in a new one, for it only."""
        worker = None if alone else self._take_idle()
        if worker is None:
            worker = self._start()
        is_sound = False
        try:
            outcome = worker.run(job, tell, on_start)
            is_sound = True
            return outcome
        finally:
            self._give_back(worker, keep=is_sound and not alone)

    def close(self) -> None:
        """End all children, busy or not."""
        with self._lock:
            self._is_closed = True
            leaving = tuple(self._all)
        for worker in leaving:
            worker.kill()
        for worker in leaving:
            worker.close()

    def _start(self) -> Child:
        worker = Child(self._processes, self._log_format)
        with self._lock:
            self._all.add(worker)
            is_late = self._is_closed
        if is_late:
            worker.kill()
        return worker

    def _take_idle(self) -> Child | None:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive:
                    return worker
                self._all.discard(worker)
        return None

    def _give_back(self, worker: Child, *, keep: bool) -> None:
        with self._lock:
            if keep and worker.can_run_more and not self._is_closed:
                self._idle.append(worker)
                return
            self._all.discard(worker)
            is_closed = self._is_closed
        worker.kill()
        if not is_closed:
            worker.close()
