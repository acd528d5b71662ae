"""Runs what was claimed: slots, timeouts, stops; every handler's end becomes exactly one report, or silence."""

import asyncio
import contextlib
import functools
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final

import structlog

from mission_contracts.clock import Clock
from mission_contracts.messages import ReportKind
from mission_contracts.mission import Failure, MissionId
from mission_contracts.soldiering import ClaimAnswer
from mission_soldier import outcomes, perform, prefetch
from mission_soldier.attempt import Attempt
from mission_soldier.book import Book, Key
from mission_soldier.child import Job
from mission_soldier.children import Children, Run
from mission_soldier.claims import Granted
from mission_soldier.context import Context
from mission_soldier.describing import error_text
from mission_soldier.errors import HandlerDefinitionError
from mission_soldier.handlers import Handler, Isolation, reference_to
from mission_soldier.outcomes import Outcome, Stop
from mission_soldier.prefetch import Load, Room
from mission_soldier.reports import Reports
from mission_soldier.threads import DaemonThreads
from mission_soldier.waiting import Received

SETTLED_REMEMBERED: Final = 8192
UNWIND_SECONDS: Final = 2.0
"""How long a handler that was made to stop may take to clean up before its attempt is reported without it."""

log = structlog.get_logger(__name__)


class Attempts:
    """All attempts of this instance. Its methods belong to the event loop."""

    def __init__(
        self,
        *,
        handlers: Mapping[str, Handler],
        concurrency: int,
        cancel_grace_seconds: float,
        book: Book,
        reports: Reports,
        children: Children,
        clock: Clock,
        on_slot_free: Callable[[], None],
    ) -> None:
        self._handlers = handlers
        self._concurrency = concurrency
        self._cancel_grace_seconds = cancel_grace_seconds
        self._book = book
        self._reports = reports
        self._children = children
        self._clock = clock
        self._on_slot_free = on_slot_free
        self._threads = DaemonThreads("handler")
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready: deque[Attempt] = deque()
        self._running: set[Attempt] = set()
        self._unsettled: dict[Key, Attempt] = {}
        self._epoch_of: dict[MissionId, Key] = {}
        self._settled: dict[Key, None] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_leaving = False
        self._begins_grants = True
        self.ended: Counter[ReportKind] = Counter()
        self.drained = 0
        """Of those that ended, how many did so by themselves while this soldier left."""
        self.pace = prefetch.Pace()
        self._pace_of: dict[str, prefetch.WorstPace] = {}

    def knows(self, key: Key) -> bool:
        """Tell whether this epoch runs here, or has been reported from here: its claim is durable, so a
        redelivery of its order needs no question and no second run."""
        return key in self._unsettled or key in self._settled

    def room(self) -> Room:
        """How many more claims may be asked for, and how many of them ahead of a slot."""
        slots = self._concurrency - len(self._running) - len(self._ready)
        if not all(self.is_fast(attempt.handler.type) for attempt in self._running):
            return Room(slots, 0)
        ahead = prefetch.ahead(self._concurrency, prefetch.FAST_BELOW_SECONDS)
        return Room(slots, max(0, ahead + min(0, slots)))

    def is_fast(self, mission_type: str) -> bool:
        """True for a type whose missions were all over within milliseconds lately."""
        pace = self._pace_of.get(mission_type)
        return pace is not None and pace.is_fast

    @property
    def running(self) -> int:
        """How many slots are taken, also by handlers that should have stopped."""
        return len(self._running)

    @property
    def is_idle(self) -> bool:
        """Nothing runs and nothing waits for a slot."""
        return not self._running and not self._ready

    def load(self) -> Load:
        """What runs now, for who decides what to take."""
        high = sum(attempt.is_high for attempt in self._running)
        return Load(
            slots=self._concurrency,
            running_high=high,
            running_normal=len(self._running) - high,
            began_seconds_ago=min((attempt.ran_seconds for attempt in self._running), default=0.0),
            mean_seconds=self.pace.mean_seconds,
        )

    @property
    def is_stuck(self) -> bool:
        """Every slot is held by a handler whose attempt is over and which does not stop."""
        running = tuple(self._running)  # probes ask from their thread
        return len(running) >= self._concurrency and all(attempt.is_settled for attempt in running)

    @property
    def longest_timeout_seconds(self) -> float:
        """Of what runs; also for the probes' thread."""
        return max((attempt.answer.timeout_seconds for attempt in tuple(self._running)), default=0.0)

    def running_types(self) -> list[str]:
        """Which mission types run now; also for the heartbeat's thread."""
        return sorted({attempt.handler.type for attempt in tuple(self._running)})

    def granted(self, grants: Granted) -> None:
        """Start what may run, as slots allow."""
        attempts = [self._attempt(received, answer) for received, answer in grants]
        self._book.hold((attempt.key, attempt.entry()) for attempt in attempts)
        for attempt in attempts:
            self._drop_older_epoch(attempt)
            self._unsettled[attempt.key] = attempt
            self._ready.append(attempt)
        if self._begins_grants:
            self._fill_slots()
        if self._is_leaving:
            self._release_ready()

    def cancel(self, keys: Iterable[Key]) -> None:
        """These missions shall be cancelled: ask, then insist. How they ended is still reported."""
        for key in keys:
            if (attempt := self._unsettled.get(key)) is not None:
                self._cancel(attempt)

    def cancel_missions(self, mission_ids: Iterable[MissionId]) -> None:
        """The same, for whatever epoch of them runs here."""
        self.cancel([self._epoch_of[mission_id] for mission_id in mission_ids if mission_id in self._epoch_of])

    def drop(self, keys: Iterable[Key]) -> None:
        """These claims are dead: stop at once, report nothing."""
        for key in keys:
            if (attempt := self._unsettled.get(key)) is not None:
                self._drop(attempt)

    def leave(self, *, begins_grants: bool) -> None:
        """Release what was claimed and finds no slot. A last grant that finds one begins, if there is time for it."""
        self._is_leaving, self._begins_grants = True, begins_grants
        self._release_ready()

    async def finished(self) -> None:
        """Wait until nothing runs."""
        await self._idle.wait()

    async def release(self) -> None:
        """Stop what still runs, and release it; from now on nothing begins."""
        self._begins_grants = False
        for attempt in tuple(self._running):
            self._stop(attempt, Stop.RELEASED, grace_seconds=0)
        await self._wait_idle(UNWIND_SECONDS)
        for attempt in tuple(self._running):
            self._abandon(attempt)

    async def close(self) -> None:
        """End what still runs, without a word on it."""
        for attempt in tuple(self._running):
            attempt.is_settled = True
            attempt.force_stop()
        self._children.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=UNWIND_SECONDS)

    # Starting.

    def _attempt(self, received: Received, answer: ClaimAnswer) -> Attempt:
        return Attempt(received, answer, self._handlers[received.order.envelope.type])

    def _drop_older_epoch(self, attempt: Attempt) -> None:
        """A later epoch was granted, so the earlier one's claim is dead; the next heartbeat would say so too."""
        mission_id = attempt.key[0]
        older = self._unsettled.get(self._epoch_of.get(mission_id, attempt.key))
        self._epoch_of[mission_id] = attempt.key
        if older is not None:
            self._drop(older)

    def _fill_slots(self) -> None:
        while self._ready and len(self._running) < self._concurrency:
            self._start(self._ready.popleft())

    def _start(self, attempt: Attempt) -> None:
        self._running.add(attempt)
        self._idle.clear()
        timeout = attempt.answer.timeout_seconds
        context = self._context(attempt)
        attempt.begin(context)
        if timeout > 0:
            attempt.timer = self._loop.call_later(timeout, self._time_out, attempt)
        try:
            if attempt.runs_in is Isolation.ASYNC:
                self._start_in_loop(attempt, perform.in_loop(attempt.handler, context, attempt.order.payload))
            elif attempt.runs_in is Isolation.THREAD:
                self._start_in_thread(attempt, context)
            else:
                self._start_in_child(attempt)
        except (RuntimeError, HandlerDefinitionError) as error:  # this machine has no more threads; or see _job
            self._loop.call_soon(self._ended, attempt, outcomes.failed(Failure.ERROR, f"it could not begin: {error}"))

    def _context(self, attempt: Attempt) -> Context:
        return Context(
            envelope=attempt.order.envelope,
            epoch=attempt.order.epoch,
            attempt=attempt.answer.attempt,
            deadline_at=self._deadline_at(attempt),
            tell=functools.partial(self._tell, attempt),
        )

    def _deadline_at(self, attempt: Attempt) -> float:
        return self._clock.now() + attempt.answer.timeout_seconds

    def _start_in_loop(self, attempt: Attempt, run: Coroutine[Any, Any, Outcome]) -> None:
        task = self._loop.create_task(self._run_in_loop(attempt, run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        attempt.stoppable_by(task.cancel)

    async def _run_in_loop(self, attempt: Attempt, run: Coroutine[Any, Any, Outcome]) -> None:
        outcome: Outcome | None = None
        try:
            with contextlib.suppress(asyncio.CancelledError):
                outcome = await run
        finally:
            attempt.returned()
            self._ended(attempt, outcome)

    def _start_in_thread(self, attempt: Attempt, context: Context) -> None:
        handler, payload = attempt.handler, attempt.order.payload

        def work() -> None:
            ended = perform.in_thread(handler, context, payload)
            if perform.is_coroutine(ended):
                self._from_thread(self._go_on_in_loop, attempt, perform.awaited(handler, context, ended))
            else:
                attempt.returned()
                self._from_thread(self._ended, attempt, ended)

        self._threads.submit(work)

    def _go_on_in_loop(self, attempt: Attempt, run: Coroutine[Any, Any, Outcome]) -> None:
        """A sync handler wraps an async function: what it returned runs where async functions do."""
        self._start_in_loop(attempt, run)
        if attempt.stop is not None:
            attempt.force_stop()

    def _start_in_child(self, attempt: Attempt) -> None:
        self._threads.submit(functools.partial(self._run_in_child, attempt, self._job(attempt)))

    def _job(self, attempt: Attempt) -> Job:
        """Raises HandlerDefinitionError where no child process finds the function: one that never should have run in
        one, but may have killed its process and must run alone now."""
        return Job(
            reference=reference_to(attempt.handler.function),
            envelope=attempt.order.envelope,
            epoch=attempt.order.epoch,
            attempt=attempt.answer.attempt,
            deadline_at=self._deadline_at(attempt),
            payload=attempt.order.payload,
        )

    def _run_in_child(self, attempt: Attempt, job: Job) -> None:
        def started(run: Run) -> None:
            self._from_thread(self._child_started, attempt, run)

        tell = functools.partial(self._tell, attempt)
        try:
            outcome = self._children.run(job, tell, alone=attempt.answer.solo, on_start=started)
        except Exception as error:  # noqa: BLE001 - whatever a child does to its pipe: this thread says how it ended
            said = f"no child process could be started or understood: {error_text(error)}"
            outcome = outcomes.failed(Failure.PROCESS_DIED, said)
        attempt.returned()
        self._from_thread(self._ended, attempt, outcome)

    def _child_started(self, attempt: Attempt, run: Run) -> None:
        attempt.stoppable_by(run.stop, run.ask_to_stop)
        if attempt.stop is not None:
            attempt.ask_to_stop()
        if attempt.is_settled:
            attempt.force_stop()

    def _from_thread(self, call: Callable[..., object], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process leaves
            self._loop.call_soon_threadsafe(call, *arguments)

    # Telling.

    def _tell(self, attempt: Attempt, percent: float, note: str) -> None:
        """Progress may come from any thread, and a million times: the loop hears the newest."""
        if attempt.is_told(percent, note):
            self._from_thread(self._pass_on_progress, attempt)

    def _pass_on_progress(self, attempt: Attempt) -> None:
        percent, note = attempt.newest_progress()
        self._reports.progress(attempt, percent, note)

    # Stopping.

    def _time_out(self, attempt: Attempt) -> None:
        # A cancelled task can still clean up; a killed process cannot, so it is asked first.
        gently = attempt.runs_in is not Isolation.ASYNC
        self._stop(attempt, Stop.TIMED_OUT, grace_seconds=self._cancel_grace_seconds if gently else 0)

    def _cancel(self, attempt: Attempt) -> None:
        if not attempt.started:
            attempt.stop = Stop.CANCELLED
            self._ready.remove(attempt)
            self._settle(attempt, None)
            return
        self._stop(attempt, Stop.CANCELLED, grace_seconds=self._cancel_grace_seconds)

    def _stop(self, attempt: Attempt, stop: Stop, *, grace_seconds: float) -> None:
        """The first reason to stop stands, but a leaving soldier waits for no grace."""
        if attempt.is_settled:
            return
        if attempt.stop is None:
            attempt.stop = stop
            attempt.ask_to_stop()
        elif stop is not Stop.RELEASED:
            return
        if grace_seconds > 0:
            self._loop.call_later(grace_seconds, self._insist, attempt)
        else:
            self._insist(attempt)

    def _insist(self, attempt: Attempt) -> None:
        if attempt.has_ended:
            return
        if attempt.force_stop() or attempt.stop is not Stop.CANCELLED:
            self._loop.call_later(UNWIND_SECONDS, self._abandon, attempt)

    def _stop_again(self, attempt: Attempt) -> None:
        """A handler may swallow its cancellation, once or often: stop it again until it ends."""
        if not attempt.has_ended and attempt.force_stop():
            self._loop.call_later(UNWIND_SECONDS, self._stop_again, attempt)

    def _abandon(self, attempt: Attempt) -> None:
        """Report without waiting any longer. The slot stays taken until the handler really returns."""
        if attempt.has_ended or attempt.is_settled:
            return
        log.warning(
            'a handler does not stop and keeps its slot; isolation="process" makes it stoppable',
            mission_id=attempt.key[0], type=attempt.handler.type, stop=attempt.stop,
        )  # fmt: skip
        self._settle(attempt, None)
        self._stop_again(attempt)

    def _drop(self, attempt: Attempt) -> None:
        attempt.stop = Stop.DROPPED
        self._settle(attempt, None)
        if attempt.started:
            attempt.ask_to_stop()
            self._stop_again(attempt)
        else:
            self._ready.remove(attempt)

    def _release_ready(self) -> None:
        while self._ready:
            attempt = self._ready.popleft()
            attempt.stop = attempt.stop or Stop.RELEASED
            self._settle(attempt, None)

    # Ending.

    def _ended(self, attempt: Attempt, outcome: Outcome | None) -> None:
        """The handler has returned, whichever way."""
        try:
            if not attempt.is_settled:
                self._settle(attempt, outcome)
        finally:
            self._free_slot(attempt)

    def _free_slot(self, attempt: Attempt) -> None:
        seconds = attempt.end()
        self.pace.note(seconds)
        self._pace_of.setdefault(attempt.handler.type, prefetch.WorstPace()).note(seconds)
        self._running.discard(attempt)
        self._fill_slots()
        if not self._running:
            self._idle.set()
        self._on_slot_free()

    def _settle(self, attempt: Attempt, outcome: Outcome | None) -> None:
        """Say the last word on an attempt, once: report it, or let its order go in silence."""
        attempt.is_settled = True
        key = attempt.key
        del self._unsettled[key]
        if self._epoch_of.get(key[0]) == key:
            del self._epoch_of[key[0]]
        self._remember(key)
        word = self._last_word(attempt, outcome)
        if word is not None:
            self.ended[word.kind] += 1
            self.drained += self._is_leaving and word.kind is not ReportKind.RELEASED
            self._reports.add(attempt, attempt.report(word))
            return
        self._reports.settle([key])
        self._book.let_go([key])
        attempt.delivery.ack()

    def _last_word(self, attempt: Attempt, outcome: Outcome | None) -> Outcome | None:
        if outcome is None and attempt.stop is None:
            outcome = outcomes.failed(Failure.ERROR, "the handler cancelled the task that it ran in")
        timeout = attempt.answer.timeout_seconds
        # A handler that never let the loop have its turn, or whose end came with the timer's.
        is_late = attempt.stop is None and 0 < timeout <= attempt.ran_seconds
        return outcomes.ending(Stop.TIMED_OUT if is_late else attempt.stop, outcome, timeout_seconds=timeout)

    def _remember(self, key: Key) -> None:
        self._settled[key] = None
        if len(self._settled) > SETTLED_REMEMBERED:
            del self._settled[next(iter(self._settled))]

    async def _wait_idle(self, timeout_seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._idle.wait()
