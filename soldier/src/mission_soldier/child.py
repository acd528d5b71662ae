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
from mission_soldier import logs, outcomes, perform
from mission_soldier.context import Context
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


encoder: Final = msgspec.json.Encoder()
to_child: Final = msgspec.json.Decoder(Job | AskToStop)
from_child: Final = msgspec.json.Decoder(Told | Ended)


def main(connection: Connection, log_format: str) -> None:
    """Serve jobs until the parent is gone."""
    # A session of its own: the parent's terminal does not interrupt it, and it is killed with all it started.
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    logs.configure(log_format)
    _Child(connection).serve()


class _Child:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._context: Context | None = None
        self._handlers: dict[str, Handler] = {}

    def serve(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            self._send(Ended(self._run(self._jobs.get())))

    def _listen(self) -> None:
        try:
            while True:
                self._hear(to_child.decode(self._connection.recv_bytes()))
        except (EOFError, OSError):
            # The parent died: nobody waits for the outcome, and the mission is handed out anew.
            os._exit(1)

    def _hear(self, message: Job | AskToStop) -> None:
        if isinstance(message, Job):
            self._context = self._context_of(message)
            self._jobs.put(message)
        elif self._context is not None:
            self._context.cancelled.set()

    def _context_of(self, job: Job) -> Context:
        return Context(
            envelope=job.envelope,
            epoch=job.epoch,
            attempt=job.attempt,
            deadline_at=job.deadline_at,
            tell=lambda percent, note: self._send(Told(percent, note)),
        )

    def _run(self, job: Job) -> Outcome:
        context = self._context
        if context is None:
            raise RuntimeError("a job was taken before its context was made")
        try:
            handler = self._handler(job)
        except BaseException as error:  # noqa: BLE001 - importing runs the user's code
            said = f"the child process cannot import {job.reference}: {type(error).__name__}: {error}"
            return outcomes.failed(Failure.ERROR, said)
        if handler.is_async:
            return asyncio.run(perform.in_loop(handler, context, job.payload))
        return perform.in_thread(handler, context, job.payload)

    def _handler(self, job: Job) -> Handler:
        """Import and look at each function once."""
        if job.reference not in self._handlers:
            self._handlers[job.reference] = Handler.of(job.envelope.type, _function(job.reference))
        return self._handlers[job.reference]

    def _send(self, message: Told | Ended) -> None:
        with self._sending:
            self._connection.send_bytes(encoder.encode(message))


def _function(reference: str) -> Callable[..., Any]:
    module, _, name = reference.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]
