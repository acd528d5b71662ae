"""The soldier at work: puts the parts together, and takes them apart again without losing a mission."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib import metadata
from typing import Any, Final

import structlog

from mission_broker.port import Broker, BrokerAwayError
from mission_broker.rejecting import Rejects
from mission_contracts import metrics, topology
from mission_contracts.clock import Clock, SystemClock
from mission_contracts.errors import Defect
from mission_contracts.mission import Instance
from mission_contracts.soldiering import HeartbeatAnswer, Registered, Registration
from mission_contracts.topology import Queue
from mission_soldier import control, exposition, prefetch, probes, vitals
from mission_soldier.book import Book, key_of
from mission_soldier.builtin import built_in
from mission_soldier.children import Children
from mission_soldier.claims import Claims
from mission_soldier.commander import Commander
from mission_soldier.execution import Attempts
from mission_soldier.heartbeat import HeartbeatThread, Pulse
from mission_soldier.intake import Intake
from mission_soldier.registration import Registrar
from mission_soldier.reports import Reports
from mission_soldier.settings import Settings
from mission_soldier.soldier import Soldier
from mission_soldier.waiting import Waiting

TICK_SECONDS: Final = 0.25
WATCH_SECONDS: Final = 1.0
LAST_CLAIMS_SECONDS: Final = 2.0
LAST_BEAT_SECONDS: Final = 2.0
STOP_TAKING_SECONDS: Final = 2.0
"""How long a frozen broker may keep a soldier from what comes after it."""

log = structlog.get_logger(__name__)


async def serve(
    soldier: Soldier,
    settings: Settings,
    broker: Broker,
    commander: Commander,
    *,
    instance: Instance,
    stop: asyncio.Event,
    hurry: asyncio.Event | None = None,
    clock: Clock | None = None,
    on_registered: Callable[[Registered], None] = lambda _registered: None,
) -> None:
    """Run missions until `stop` is set, then leave in order: finish or release what runs, flush, say goodbye.

    Once `hurry` is set too, what still runs is released at once. `on_registered` hears what the Commander said to each
    registration. It installs no signal handlers and configures no logging, so several can live in one process.
    """
    runtime = Runtime(
        soldier,
        settings,
        broker,
        commander,
        instance=instance,
        clock=clock or SystemClock(),
        on_registered=on_registered,
    )
    await runtime.serve(stop, hurry or asyncio.Event())


class Runtime:
    """One instance's life, from registration to its last heartbeat."""

    def __init__(
        self,
        soldier: Soldier,
        settings: Settings,
        broker: Broker,
        commander: Commander,
        *,
        instance: Instance,
        clock: Clock,
        on_registered: Callable[[Registered], None],
    ) -> None:
        handlers = soldier.completed_by(built_in())
        self._settings = settings
        self._broker = broker
        self._commander = commander
        self._instance = instance
        self._clock = clock
        self._on_registered = on_registered
        self._queues = topology.queues_of(settings.namespace, settings.pool)
        self._pulse = Pulse()
        self._book = Book(slots=settings.concurrency)
        self._registrar = Registrar(commander, _registration(handlers, settings, instance), self._registered)
        self.rejected: Counter[tuple[str, Defect]] = Counter()
        self._rejects = Rejects(broker, clock, count=self._count_rejected)
        self._reports = Reports(broker=broker, instance=instance, book=self._book)
        self._waiting = Waiting(self._book)
        self._children = Children(settings.log_format)
        self._attempts = Attempts(
            handlers=handlers.handlers,
            concurrency=settings.concurrency,
            cancel_grace_seconds=settings.cancel_grace_seconds,
            book=self._book,
            reports=self._reports,
            children=self._children,
            clock=clock,
            on_slot_free=self._slot_is_free,
        )
        self._claims = Claims(
            commander=commander,
            instance=instance,
            registrar=self._registrar,
            waiting=self._waiting,
            has_handler=handlers.handlers.__contains__,
            room=self._attempts.room,
            is_fast=self._attempts.is_fast,
            on_granted=self._attempts.granted,
        )
        self._intake = self._new_intake()
        self._retired: list[Intake] = []
        self._heartbeat: HeartbeatThread | None = None
        self._shares = False
        self._yielded = 0
        self._absence = vitals.Absence()
        self._is_told_to_take = True
        self._is_leaving = False
        self._take_changed = asyncio.Event()

    async def serve(self, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(_meanwhile(self._beat_pulse()))
            if self._settings.probe_port is not None:
                stack.enter_context(probes.in_a_thread(self._settings.probe_port, self._pages()))
            stack.push_async_callback(self._registrar.close)
            if not await _unless(stop, self._registrar.register()):
                return
            background = await stack.enter_async_context(self._background())
            await self._begin()
            await stack.enter_async_context(self._control())
            log.info("taking orders", instance=self._instance, pool=self._settings.pool)
            warming = asyncio.get_running_loop().run_in_executor(None, self._children.warm_up)
            warming.add_done_callback(_look_at)
            await _first_of(stop, background)
            await self._leave(hurry)
            for task in background:
                if task.done():
                    task.result()  # a part that ended is a defect: the process says so by its exit code

    def _control(self) -> AbstractAsyncContextManager[None]:
        queue = topology.control_of(self._settings.namespace, self._settings.pool, self._instance)
        return control.heard(self._broker, queue, self._attempts.cancel_missions, self._rejects)

    def _count_rejected(self, queue: Queue, defect: Defect) -> None:
        self.rejected[queue.name, defect] += 1

    @asynccontextmanager
    async def _background(self) -> AsyncIterator[Sequence[asyncio.Task[None]]]:
        parts = (
            self._claims.run(),
            self._reports.run(),
            self._rejects.run(),
            self._follow_load(),
            self._follow_taking(),
            self._watch_consumers(),
        )
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._attempts.close()
            for intake in (*self._retired, self._intake):
                await intake.close()

    async def _begin(self) -> None:
        with contextlib.suppress(BrokerAwayError):  # they are declared when it is back
            await self._broker.declare([*self._queues, topology.REJECTED, topology.STATUS])
        await self._intake.open()
        if self._heartbeat is not None:
            self._heartbeat.start()

    async def _leave(self, hurry: asyncio.Event) -> None:
        """Take nothing, finish or release, flush, say goodbye: in this order no mission is lost or run twice."""
        log.info("leaving", running=self._attempts.running, drain_seconds=self._settings.drain_seconds)
        drained_at = self._clock.monotonic() + self._settings.drain_seconds
        self._is_leaving = True
        self._attempts.leave(begins_grants=self._settings.drain_seconds > LAST_CLAIMS_SECONDS)
        await self._stop_taking()
        last_claims = asyncio.create_task(self._last_claims())
        await _unless(hurry, self._finish(last_claims, drained_at - self._clock.monotonic()))
        if self._attempts.running:
            log.warning("the drain is over, releasing what still runs", running=self._attempts.running)
        await asyncio.gather(self._attempts.release(), last_claims)
        if not await self._reports.flush(self._settings.flush_seconds):
            log.warning("leaving with reports that the broker did not confirm: those missions run again elsewhere")
        self._book.leave()
        if self._heartbeat is not None:
            await self._heartbeat.leave(LAST_BEAT_SECONDS)

    async def _finish(self, last_claims: asyncio.Task[None], most_seconds: float) -> None:
        """Let what runs finish. The claims first: a mission that is granted now still begins, and is waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, most_seconds)):
                await asyncio.shield(last_claims)
                await self._attempts.finished()

    async def _last_claims(self) -> None:
        await self._claims.close(LAST_CLAIMS_SECONDS)
        self._waiting.give_back_rest()

    async def _stop_taking(self) -> None:
        await self._intake.pause(STOP_TAKING_SECONDS)
        self._book.is_taking = False

    async def _follow_taking(self) -> None:
        """Retire when the Commander says so, and take orders again when it says that."""
        while True:
            await self._take_changed.wait()
            self._take_changed.clear()
            if self._is_leaving or self._is_told_to_take == self._intake.is_open:
                continue
            if self._is_told_to_take:
                await self._renew_intake()
                self._book.is_taking = True
            else:
                await self._stop_taking()
            log.info("told what to take", taking=self._book.is_taking)

    async def _renew_intake(self) -> None:
        """Subscribe anew. The paused subscription still holds what runs."""
        self._retired.append(self._intake)
        self._intake = self._new_intake()
        await self._intake.open()

    async def _watch_consumers(self) -> None:
        """Subscriptions outlive what a broker does to them; one that did not, for whatever reason, is made anew."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self._absence.look(
                is_wanted=self._intake.is_open,
                is_there=self._intake.is_consuming,
                broker_is_away=self._broker.away is not None,
                now=self._clock.monotonic(),
            ):
                log.warning("the consumer of orders is gone though RabbitMQ is there: subscribing anew")
                await self._intake.pause(STOP_TAKING_SECONDS)
                if self._is_told_to_take and not self._is_leaving:
                    await self._renew_intake()

    async def _beat_pulse(self) -> None:
        while True:
            self._pulse.beat()
            await asyncio.sleep(TICK_SECONDS)

    async def _follow_load(self) -> None:
        while True:
            await self._share()
            if self._retired and self._attempts.is_idle and self._reports.is_empty:
                await self._retired.pop().close()
            await asyncio.sleep(TICK_SECONDS)

    async def _share(self) -> None:
        """Hold what this soldier can start soon, and nothing that another one could start sooner."""
        load = self._attempts.load()
        self._shares = load.shares
        if self._shares and not load.free and self._waiting.is_lined_up:
            yielded = await self._intake.yield_waiting(prefetch.plan(load))
            self._yielded += yielded
            log.debug("orders went back to their queue: every slot is taken for long", orders=yielded)
        else:
            self._intake.adapt(prefetch.plan(load))

    def _new_intake(self) -> Intake:
        return Intake(
            broker=self._broker,
            queues=self._queues,
            waiting=self._waiting,
            rejects=self._rejects,
            is_known=self._attempts.knows,
            on_arrival=self._claims.wake,
            plan=prefetch.plan(self._attempts.load()),
        )

    def _registered(self, registered: Registered) -> None:
        self._on_registered(registered)
        self._book.heard_era(registered.era)
        if self._heartbeat is None:
            self._heartbeat = self._new_heartbeat(registered)
        else:
            self._heartbeat.set_times(registered.heartbeat_seconds, registered.lease_seconds)

    def _new_heartbeat(self, registered: Registered) -> HeartbeatThread:
        return HeartbeatThread(
            commander=self._commander,
            instance=self._instance,
            book=self._book,
            pulse=self._pulse,
            heartbeat_seconds=registered.heartbeat_seconds,
            lease_seconds=registered.lease_seconds,
            on_answer=self._answered,
            on_unknown=self._registrar.forgotten,
            running_types=self._attempts.running_types,
        )

    def _answered(self, answer: HeartbeatAnswer) -> None:
        drops = [key_of(held) for held in answer.drops]
        self._attempts.drop(drops)
        self._attempts.cancel([key_of(held) for held in answer.cancels])
        self._reports.settle([*drops, *(key_of(held) for held in answer.applied)])
        self._reports.say_again(key_of(held) for held in answer.report_again)
        if self._is_told_to_take == answer.take_nothing:
            self._is_told_to_take = not answer.take_nothing
            self._take_changed.set()

    def _slot_is_free(self) -> None:
        self._claims.wake()
        if self._shares:
            # Before its acknowledgement brings the next order of its own queue: High ones go first.
            self._intake.adapt_first(prefetch.plan(self._attempts.load()))

    # Telling: all of this is called in the probes' thread.

    def _pages(self) -> dict[str, probes.Page]:
        return {
            "/livez": lambda: probes.finding(vitals.why_not_alive(self._vitals())),
            "/readyz": lambda: probes.finding(vitals.why_not_ready(self._vitals())),
            "/metrics": lambda: probes.Answer(True, exposition.text_of(self._numbers()), exposition.CONTENT_TYPE),
        }

    def _vitals(self) -> vitals.Vitals:
        return vitals.Vitals(
            blocked_seconds=self._pulse.blocked_seconds,
            longest_timeout_seconds=self._attempts.longest_timeout_seconds,
            is_busy=not (self._attempts.is_idle and self._reports.is_empty),
            is_stuck=self._attempts.is_stuck,
            is_registered=self._registrar.is_registered,
            is_told_to_take=self._is_told_to_take,
            is_consuming=self._intake.is_consuming,
            gone_seconds=self._absence.seconds,
        )

    def _numbers(self) -> dict[metrics.Metric, exposition.Values]:
        slots = self._settings.concurrency
        rejected: Counter[tuple[str, ...]] = Counter()
        for (queue, defect), times in tuple(self.rejected.items()):
            rejected[queue, metrics.Rejected.of(defect).value] += times
        return {
            metrics.SLOTS: {(): slots},
            metrics.SLOTS_FREE: {(): max(0, slots - self._attempts.running)},
            metrics.WAITING: {(): len(self._waiting)},
            metrics.TAKING: {(): self._book.is_taking},
            metrics.LOOP_BLOCKED: {(): max(0.0, self._pulse.blocked_seconds - TICK_SECONDS)},
            metrics.ENDED: {(kind.value,): times for kind, times in tuple(self._attempts.ended.items())},
            metrics.DRAINED: {(): self._attempts.drained},
            metrics.YIELDED: {(): self._yielded},
            metrics.SOLDIER_REJECTED: rejected,
        }


def _registration(handlers: Soldier, settings: Settings, instance: Instance) -> Registration:
    return Registration(
        instance=instance,
        namespace=settings.namespace,
        pool=settings.pool,
        types=handlers.described(),
        concurrency=settings.concurrency,
        version=metadata.version("mission-soldier"),
        pod=settings.pod,
    )


def _look_at(warming: asyncio.Future[None]) -> None:
    if not warming.cancelled() and (error := warming.exception()) is not None:
        log.warning("children cannot be prepared; the first one tries again", error=str(error))


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do the work while the context is open."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work unless `stop` is set first; tell whether it was done."""
    task = asyncio.create_task(work)
    await _first_of(stop, [task])
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return False
    task.result()
    return True


async def _first_of(stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Return when `stop` is set or one of the tasks has ended."""
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    await asyncio.gather(stopped, return_exceptions=True)
