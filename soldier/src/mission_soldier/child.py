"""What runs in a child process: one handler at a time, told over a pipe, its outcome sent back over it."""

import asyncio
import importlib
import os
import queue
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final

import msgspec

from mission_contracts.envelope import Envelope
from mission_contracts.mission import Epoch, Failure
from mission_soldier import descendants, logs, outcomes, perform
from mission_soldier.context import Context
from mission_soldier.describing import error_text
from mission_soldier.handlers import Handler
from mission_soldier.outcomes import Outcome


class Job(msgspec.Struct, frozen=True, kw_only=True, tag="job"):
    """To the child: run this."""

    reference: str
    envelope: Envelope
    epoch: Epoch
    attempt: int
    deadline_at: float
    payload: msgspec.Raw


class AskToStop(msgspec.Struct, frozen=True, tag="stop"):
    """To the child: raise the context's flag."""


class Told(msgspec.Struct, frozen=True, tag="told"):
    """From the child: progress."""

    percent: float
    note: str


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """From the child: the handler has ended; the next job may come."""

    outcome: Outcome
    left_processes: bool = False
    """Processes that the handler started still run: they end with the child, which takes no other job."""


encoder: Final = msgspec.json.Encoder()
MAX_MESSAGE_BYTES: Final = 1024 * 1024
"""Of one message on the pipe. A job is an order's payload and envelope; an outcome is much smaller."""
to_child: Final = msgspec.json.Decoder(Job | AskToStop)
from_child: Final = msgspec.json.Decoder(Told | Ended)


def main(connection: Connection, log_format: str) -> None:
    """Serve jobs until the parent is gone."""
    # A session of its own: the parent's terminal does not interrupt it, and it is killed with all it started.
    os.setsid()
    descendants.adopt()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    logs.configure(log_format)
    _Child(connection).serve()


class _Child:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[Job, Context]] = queue.SimpleQueue()
        self._context: Context | None = None
        self._handlers: dict[str, Handler] = {}

    def serve(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            outcome = self._run(*self._jobs.get())
            ended = _encoded(outcome, left_processes=descendants.are_left())
            with self._sending:
                # A thread that the handler left behind tells nothing of the next mission.
                self._context = None
                self._connection.send_bytes(ended)

    def _listen(self) -> None:
        try:
            while True:
                self._hear(to_child.decode(self._connection.recv_bytes()))
        finally:
            # The parent died, or what it says cannot be read: nobody waits for the outcome, and the mission is handed
            # out again. What the handler started ends too.
            descendants.end(os.getpid())
            os._exit(1)

    def _hear(self, message: Job | AskToStop) -> None:
        if isinstance(message, Job):
            self._context = self._context_of(message)
            self._jobs.put((message, self._context))
        elif self._context is not None:
            self._context.cancelled.set()

    def _context_of(self, job: Job) -> Context:
        context = Context(
            envelope=job.envelope,
            epoch=job.epoch,
            attempt=job.attempt,
            deadline_at=job.deadline_at,
            tell=lambda percent, note: self._tell(context, percent, note),
        )
        return context

    def _run(self, job: Job, context: Context) -> Outcome:
        try:
            handler = self._handler(job)
        except BaseException as error:  # noqa: BLE001 - importing runs the user's code
            said = f"the child process cannot import {job.reference}: {error_text(error)}"
            return outcomes.failed(Failure.ERROR, said)
        if handler.is_async:
            return asyncio.run(perform.in_loop(handler, context, job.payload))
        ended = perform.in_thread(handler, context, job.payload)
        if perform.is_coroutine(ended):
            return asyncio.run(perform.awaited(handler, context, ended))
        return ended

    def _handler(self, job: Job) -> Handler:
        """Import and look at each function once."""
        if job.reference not in self._handlers:
            self._handlers[job.reference] = Handler.of(job.envelope.type, _function(job.reference))
        return self._handlers[job.reference]

    def _tell(self, context: Context, percent: float, note: str) -> None:
        with self._sending:
            if context is self._context:
                self._connection.send_bytes(encoder.encode(Told(percent, note)))


def _encoded(outcome: Outcome, *, left_processes: bool) -> bytes:
    try:
        return encoder.encode(Ended(outcome, left_processes))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent hears that the handler has ended
        stand_in = outcomes.failed(Failure.ERROR, f"the outcome cannot leave its process: {error_text(error)}")
        return encoder.encode(Ended(stand_in, left_processes))


def _function(reference: str) -> Callable[..., Any]:
    module, _, name = reference.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]
