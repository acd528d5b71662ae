"""One claimed order in this soldier's hands, from the grant of its claim to the end of its handler."""

import asyncio
import threading
import time
from collections.abc import Callable

from mission_broker.port import Delivery
from mission_contracts.messages import Order, Report, ReportKind
from mission_contracts.soldiering import ClaimAnswer, Hold
from mission_soldier.book import Entry, Key
from mission_soldier.context import Context
from mission_soldier.handlers import Handler, Isolation
from mission_soldier.outcomes import Outcome, Stop
from mission_soldier.waiting import Received


class Attempt:
    """Moves only in the event loop. It is *settled* once its report is on its way (or nothing is to be said),
    and *ended* once its handler has returned; a handler that cannot be stopped lives on in between."""

    __slots__ = (
        "_ask_to_stop",
        "_force_stop",
        "_has_news",
        "_newest",
        "_newest_lock",
        "_returned_at",
        "answer",
        "context",
        "delivery",
        "handler",
        "has_ended",
        "is_high",
        "is_settled",
        "key",
        "order",
        "runs_in",
        "started",
        "stop",
        "timer",
        "told_at",
    )

    def __init__(self, received: Received, answer: ClaimAnswer, handler: Handler) -> None:
        self.key: Key = received.key
        self.order: Order = received.order
        self.delivery: Delivery = received.delivery
        self.is_high = received.is_high
        self.answer = answer
        self.handler = handler
        self.runs_in = Isolation.PROCESS if answer.solo else handler.isolation
        self.context: Context | None = None
        self.started = 0.0
        """By the monotonic clock; 0 while it waits for a slot."""
        self.stop: Stop | None = None
        self.is_settled = False
        self.has_ended = False
        self.timer: asyncio.TimerHandle | None = None
        self.told_at = 0.0
        """When its progress was last told, by the monotonic clock."""
        self._returned_at = 0.0
        self._newest_lock = threading.Lock()
        self._newest = (0.0, "")
        self._has_news = False
        self._ask_to_stop: Callable[[], object] | None = None
        self._force_stop: Callable[[], object] | None = None

    def begin(self, context: Context) -> None:
        self.context = context
        self.started = time.monotonic()

    def stoppable_by(self, force: Callable[[], object], ask: Callable[[], object] | None = None) -> None:
        """Say how its handler is made to stop, and how else than by the context's flag it is asked to."""
        self._force_stop = force
        self._ask_to_stop = ask

    def ask_to_stop(self) -> None:
        if self.context is not None:
            self.context.cancelled.set()
        if self._ask_to_stop is not None:
            self._ask_to_stop()

    def force_stop(self) -> bool:
        """Make the handler stop; False if that cannot be done, as in a thread."""
        if self._force_stop is None:
            return False
        self._force_stop()
        return True

    def is_told(self, percent: float, note: str) -> bool:
        """Take the newest progress, in any thread; True when it must be asked for, False when somebody does already."""
        with self._newest_lock:
            self._newest = (percent, note)
            had_news, self._has_news = self._has_news, True
            return not had_news

    def newest_progress(self) -> tuple[float, str]:
        with self._newest_lock:
            self._has_news = False
            return self._newest

    def returned(self) -> None:
        """The handler has just returned, in whatever thread: the loop may hear of it much later."""
        self._returned_at = time.monotonic()

    def end(self) -> float:
        """The handler returned; gives how long it ran."""
        self.has_ended = True
        if self.timer is not None:
            self.timer.cancel()
        # Attempt, context and task refer to each other: taken apart here, they need no garbage collector.
        self.context = self.timer = self._ask_to_stop = self._force_stop = None
        return self.ran_seconds

    @property
    def ran_seconds(self) -> float:
        return (self._returned_at or time.monotonic()) - self.started if self.started else 0.0

    def entry(self) -> Entry:
        mission_id, epoch = self.key
        hold = Hold(mission_id=mission_id, epoch=epoch, secret=self.answer.secret)
        return Entry(hold, self.order.envelope, self.order.envelope_seal)

    def report(self, outcome: Outcome) -> Report:
        return Report(
            kind=outcome.kind,
            mission_id=self.key[0],
            epoch=self.key[1],
            secret=self.answer.secret,
            attempt=self.answer.attempt,
            envelope=self.order.envelope,
            envelope_seal=self.order.envelope_seal,
            ran_seconds=self.ran_seconds,
            result=outcome.result,
            error=outcome.error,
        )

    def progress_report(self, percent: float, note: str) -> Report:
        return Report(
            kind=ReportKind.PROGRESS,
            mission_id=self.key[0],
            epoch=self.key[1],
            secret=self.answer.secret,
            attempt=self.answer.attempt,
            envelope=self.order.envelope,
            envelope_seal=self.order.envelope_seal,
            ran_seconds=self.ran_seconds,
            progress=percent,
            note=note,
        )
