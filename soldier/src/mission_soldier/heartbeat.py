"""Beats in a thread of its own, so that a handler that blocks the event loop loses no lease."""

import asyncio
import contextlib
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from mission_contracts.mission import Instance
from mission_contracts.soldiering import HeartbeatAnswer
from mission_soldier import vitals
from mission_soldier.book import Book
from mission_soldier.commander import Commander, CommanderAwayError, UnknownSoldierError

UNANSWERED_SHARE: Final = 0.7
"""Of the lease: after so long without an answer it is worth a line in the log. Only the Commander ends a lease."""
LAST_BEATS_APART_SECONDS: Final = 0.1
STACK_FRAMES: Final = 12
"""The innermost calls, which are the handler's and what it called."""

log = structlog.get_logger(__name__)


class Pulse:
    """When the event loop last had its turn; made in the loop's thread, read from others."""

    __slots__ = ("_thread_id", "at")

    def __init__(self) -> None:
        self._thread_id = threading.get_ident()
        self.at = time.monotonic()

    @property
    def blocked_seconds(self) -> float:
        return time.monotonic() - self.at

    def stack(self) -> str:
        """What the event loop's thread is at just now, the innermost call last."""
        frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - there is no other way to see it
        return "".join(traceback.format_stack(frame, STACK_FRAMES)) if frame is not None else ""

    def beat(self) -> None:
        self.at = time.monotonic()


class HeartbeatThread:
    """Tells the Commander what is in the book, at a fixed pace, and brings its answers to the event loop."""

    def __init__(
        self,
        *,
        commander: Commander,
        instance: Instance,
        book: Book,
        pulse: Pulse,
        heartbeat_seconds: float,
        lease_seconds: float,
        on_answer: Callable[[HeartbeatAnswer], None],
        on_unknown: Callable[[], None],
        running_types: Callable[[], Sequence[str]],
    ) -> None:
        self._commander = commander
        self._instance = instance
        self._book = book
        self._pulse = pulse
        self._on_answer = on_answer
        self._on_unknown = on_unknown
        self._running_types = running_types
        self._loop = asyncio.get_running_loop()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._answered_at = time.monotonic()
        self._gone_at = 0.0
        self._is_unanswered = False
        self._is_blocked = False
        self.set_times(heartbeat_seconds, lease_seconds)

    def set_times(self, heartbeat_seconds: float, lease_seconds: float) -> None:
        """Follow the Commander's settings, which may have changed since the start."""
        self._heartbeat_seconds = heartbeat_seconds
        self._lease_seconds = lease_seconds

    def start(self) -> None:
        self._thread.start()

    async def leave(self, timeout_seconds: float) -> None:
        """Send a last beat, with whatever the book says by now, until it is answered, and end the thread."""
        self._gone_at = time.monotonic() + timeout_seconds
        self._leaving.set()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join, timeout_seconds)

    def _run(self) -> None:
        while not self._leaving.is_set():
            began = time.monotonic()
            self._beat()
            self._look_at_answers()
            self._look_at_loop()
            self._leaving.wait(max(0.0, self._heartbeat_seconds - (time.monotonic() - began)))
        while not self._beat() and time.monotonic() < self._gone_at:
            time.sleep(LAST_BEATS_APART_SECONDS)

    def _beat(self) -> bool:
        """Tell, and hear; True when it was answered."""
        try:
            answer = self._commander.beat(self._instance, self._book.next_beat())
            self._book.apply(answer)
        except UnknownSoldierError:
            self._in_loop(self._on_unknown)
            return self._leaving.is_set()  # there is nobody to say goodbye to
        except CommanderAwayError as error:
            log.debug("a heartbeat was not answered", error=str(error))
        except Exception:
            # Without this thread every lease is lost: it outlives what nobody thought of.
            log.exception("a heartbeat failed in an unforeseen way")
        else:
            self._answered_at = time.monotonic()
            self._in_loop(self._on_answer, answer)
            return True
        return False

    def _look_at_answers(self) -> None:
        silent_seconds = time.monotonic() - self._answered_at
        is_unanswered = silent_seconds > UNANSWERED_SHARE * self._lease_seconds
        if is_unanswered and not self._is_unanswered:
            log.warning(
                "no heartbeat was answered for most of a lease: what runs goes on, the Commander may hand it out anew",
                seconds=round(silent_seconds, 1),
            )
        elif self._is_unanswered and not is_unanswered:
            log.info("heartbeats are answered again")
        self._is_unanswered = is_unanswered

    def _look_at_loop(self) -> None:
        blocked_seconds = self._pulse.blocked_seconds
        is_blocked = blocked_seconds > vitals.BLOCKED_SECONDS
        if is_blocked and not self._is_blocked:
            log.warning(
                "the event loop is blocked: one of these handlers does not await; make it a plain function",
                seconds=round(blocked_seconds, 1),
                types=self._running_types(),
                blocked_in=self._pulse.stack(),
            )
        elif self._is_blocked and not is_blocked:
            log.info("the event loop goes on")
        self._is_blocked = is_blocked

    def _in_loop(self, call: Callable[..., object], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process leaves
            self._loop.call_soon_threadsafe(call, *arguments)
