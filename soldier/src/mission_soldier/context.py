"""What a handler is given besides its payload: who it is, how to tell its progress, when to stop."""

import asyncio
import contextlib
import itertools
import math
import threading
from collections.abc import Callable, Generator, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from mission_contracts import telemetry
from mission_contracts.envelope import Envelope
from mission_contracts.mission import Epoch, MissionId
from mission_soldier import log_values
from mission_soldier.describing import text_of
from mission_soldier.errors import MissionCancelledError

MAX_NOTE_CHARACTERS: Final = 256

Tell = Callable[[float, str], None]
"""Takes a percentage and a note; callable from any thread."""

current_context: Final[ContextVar["Context | None"]] = ContextVar("current_context", default=None)
"""Whose log line this is: set around each handler, read by the logging processors."""


class Cancellation:
    """A flag that is raised once: look at it, await it, or wait for it in a thread."""

    __slots__ = ("_is_set", "_listeners", "_numbers")

    def __init__(self) -> None:
        self._is_set = False
        self._listeners: dict[int, Callable[[], object]] = {}
        self._numbers = itertools.count()

    def __bool__(self) -> bool:
        return self._is_set

    def is_set(self) -> bool:
        """Tell whether the mission shall stop."""
        return self._is_set

    def raise_if_set(self) -> None:
        """Stop here if the mission shall stop."""
        if self._is_set:
            raise MissionCancelledError("the mission was asked to stop")

    async def wait(self) -> None:
        """Return when the mission shall stop; for async handlers."""
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        with self._heard_by(lambda: loop.call_soon_threadsafe(told.set)):
            await told.wait()

    def __await__(self) -> Generator[Any, None, None]:
        return self.wait().__await__()

    def wait_in_thread(self, timeout_seconds: float | None = None) -> bool:
        """Block until the mission shall stop, or the time is over; for sync handlers. Gives the flag."""
        told = threading.Event()
        with self._heard_by(told.set):
            told.wait(timeout_seconds)
        return self._is_set

    def set(self) -> None:
        """Raise the flag, once and for all; for the runtime."""
        self._is_set = True
        for listener in tuple(self._listeners.values()):
            with contextlib.suppress(RuntimeError):  # the loop that waited is closed
                listener()

    @contextlib.contextmanager
    def _heard_by(self, listener: Callable[[], object]) -> Iterator[None]:
        # First listen, then look: a flag raised in between, by another thread, is seen by one of the two.
        number = next(self._numbers)
        self._listeners[number] = listener
        if self._is_set:
            listener()
        try:
            yield
        finally:
            # A handler may wait a million times, for a moment each.
            del self._listeners[number]


class Context:
    """One attempt, as its handler sees it."""

    __slots__ = ("_deadline_at", "_envelope", "_percent", "_tell", "attempt", "cancelled", "epoch")

    def __init__(self, *, envelope: Envelope, epoch: Epoch, attempt: int, deadline_at: float, tell: Tell) -> None:
        self._envelope = envelope
        self._tell = tell
        self._percent = 0.0
        self._deadline_at = deadline_at
        self.epoch = epoch
        """The fencing number of this hand-out: a sink that remembers the highest one it saw refuses a late writer."""
        self.attempt = attempt
        """This execution's number, from 1."""
        self.cancelled = Cancellation()
        """Raised when the mission shall stop: cancelled, out of time, or its soldier leaves."""

    @property
    def mission_id(self) -> MissionId:
        return self._envelope.mission_id

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this mission: hand it to sinks that take effects once per key."""
        return self._envelope.mission_id

    @property
    def type(self) -> str:
        return self._envelope.type

    @property
    def trace_id(self) -> str:
        return self._envelope.trace_id

    @property
    def deadline(self) -> datetime:
        """When this attempt is stopped if it still runs."""
        return datetime.fromtimestamp(self._deadline_at, UTC)

    def progress(self, percent: float, note: str = "") -> None:
        """Show how far the mission is, 0 to 100, with a few words. Call it as often as you like, in any thread."""
        told = float(percent)
        if math.isnan(told):  # as 0 of 0 items is: nothing new is known
            told = self._percent
        self._percent = min(100.0, max(0.0, told))
        self._tell(self._percent, text_of(note, max_characters=MAX_NOTE_CHARACTERS))

    def log(self, event: str, *, level: str = "info", **fields: Any) -> None:
        """Write a log line that carries the mission's id, attempt and epoch. Nothing in it fails the mission.

        An unknown level is "info"; long texts are cut, and what is not JSON is written as text.
        """
        known = log_values.known_level(level)
        if known is None:
            fields["level_asked_for"], known = level, "info"
        with contextlib.suppress(Exception):  # whatever the logging of this process was made to do
            line = structlog.get_logger("mission").bind(**self.log_fields())
            getattr(line, known)(text_of(event, max_characters=log_values.MAX_TEXT), **log_values.plain_fields(fields))

    def log_fields(self) -> dict[str, Any]:
        """What every log line of this attempt carries."""
        fields: dict[str, Any] = {
            telemetry.MISSION_ID: self.mission_id,
            telemetry.ATTEMPT: self.attempt,
            telemetry.EPOCH: self.epoch,
        }
        return fields | {telemetry.TRACE_ID: self.trace_id} if self.trace_id else fields
