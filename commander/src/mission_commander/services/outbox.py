"""The outbox relay: publishes hand-outs, and keeps each until the broker has confirmed it.

A hand-out is in the ledger's outbox before it is published, and leaves it after the confirm; whatever happens in
between, it is published again, under the same epoch, and the first claim spends that epoch.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Final

import structlog

from mission_broker.port import Broker, BrokerAwayError, Message, Outcome
from mission_commander.domain.memory import MissionMemory, pool_of
from mission_commander.domain.record import Mission, Phase
from mission_commander.ports import Ledger, LedgerAwayError, OutboxEntry
from mission_commander.services.aside import Aside, Destination, destination_of
from mission_commander.services.patience import happens
from mission_contracts import messages, topology
from mission_contracts import mission as m
from mission_contracts.order_seals import OrderSeals

MAX_BATCH: Final = 500
PUBLISHES_IN_FLIGHT: Final = 3
BYTES_IN_FLIGHT: Final = 4 * 1024 * 1024
"""Of payloads, in each publish: each is in memory some times then, as an order and on its way."""
RETRY_SECONDS: Final = 0.2
SWEEP_SECONDS: Final = 5.0
SWEEP_LIMIT: Final = 10_000
MAX_PENDING: Final = 50_000
"""Hand-outs that wait here for the broker; while it is away, the others wait in the ledger alone."""
MAX_GONE: Final = 1_000
AWAY_SECONDS: Final = 1.0
GONE_SECONDS: Final = 0.5
"""A queue that is gone stays gone for so long: RabbitMQ has to tell its consumers first, or it leaves them deaf."""
PUBLISH_SECONDS: Final = 10.0
PROBE_SECONDS: Final = 5.0
PROBES_BEFORE_RENEWAL: Final = 2
"""How often a queue must leave a single order unanswered, after a whole batch, before it is made anew."""


class Outbox:
    """Relays hand-outs to the broker while it is not stopped."""

    def __init__(self, ledger: Ledger, broker: Broker, memory: MissionMemory, seals: OrderSeals) -> None:
        self._ledger = ledger
        self._broker = broker
        self._memory = memory
        self._seals = seals
        self._pending: dict[OutboxEntry, None] = {}
        self._is_incomplete = False
        """There may be hand-outs in the ledger's outbox that there was no room for here."""
        self._in_flight: set[OutboxEntry] = set()
        self._gone_since: dict[tuple[str, str], float] = {}
        self._aside = Aside(lambda entry: memory.get(entry.mission_id))
        self._confirmed: list[OutboxEntry] = []
        self._wanted = asyncio.Event()
        self._confirmations = asyncio.Event()
        self._in_doubt = asyncio.Event()
        self._started = asyncio.Event()
        self._started.set()
        self._tasks = asyncio.TaskGroup()
        self._log = structlog.get_logger("outbox")

    @property
    def depth(self) -> int:
        """Hand-outs that this Commander has yet to see confirmed."""
        return len(self._pending) + len(self._in_flight) + len(self._aside)

    @property
    def silent_queues(self) -> Sequence[str]:
        """Queues that answer nothing although the broker is there; they are tried for ever."""
        return [destination.queue.name for destination in self._aside.destinations]

    @property
    def is_stopped(self) -> bool:
        return not self._started.is_set()

    def stop(self) -> None:
        """Publish nothing more; hand-outs stay in the outbox."""
        self._started.clear()

    def start(self) -> None:
        self._started.set()

    def add(self, missions: Sequence[Mission]) -> None:
        """Take hand-outs that were just committed."""
        self.add_entries(OutboxEntry(mission.id, mission.epoch) for mission in missions)

    def doubt(self) -> None:
        """Look soon: a commit may have been written without an answer, and only the ledger knows what it handed out."""
        self._in_doubt.set()

    async def run(self) -> None:
        """Relay until cancelled."""
        self.doubt()
        self._in_flight.clear()
        self._aside.clear()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._sweep())
            tasks.create_task(self._clear_confirmed())
            for _ in range(PUBLISHES_IN_FLIGHT):
                tasks.create_task(self._relay())

    def add_entries(self, entries: Iterable[OutboxEntry]) -> None:
        """Take entries that are in the ledger's outbox, as many as are held; a sweep finds the others."""
        for entry in entries:
            if len(self._pending) >= MAX_PENDING:
                self._is_incomplete = True
                break
            if entry not in self._in_flight:
                self._pending[entry] = None
        self._wanted.set()

    async def _relay(self) -> None:
        while True:
            await self._wanted.wait()
            await self._may_publish()
            batch = self._take()
            if not batch:
                continue
            unsent = await self._publish(batch)
            if unsent:
                await asyncio.sleep(RETRY_SECONDS)
            self._in_flight.difference_update(batch)
            self.add_entries(unsent)

    async def _may_publish(self) -> bool:
        """Wait until publishing is of use: nothing is read and encoded only to be refused."""
        while self.is_stopped or self._broker.away is not None:
            await self._started.wait()
            if self._broker.away is not None:
                await self._broker.wait_connected(AWAY_SECONDS)
        return True

    def _take(self) -> list[OutboxEntry]:
        batch = list(self._pending)[:MAX_BATCH] if len(self._pending) > MAX_BATCH else list(self._pending)
        for entry in batch:
            del self._pending[entry]
        batch = self._aside.sort_out(batch)
        self._in_flight.update(batch)
        if not self._pending:
            self._wanted.clear()
            if self._is_incomplete:
                self._is_incomplete = False
                self.doubt()
        return batch

    async def _publish(
        self, batch: Sequence[OutboxEntry], timeout_seconds: float = PUBLISH_SECONDS
    ) -> list[OutboxEntry]:
        """Publish what is still of use; give what has to be tried again."""
        try:
            await self._recall([entry for entry in batch if self._is_unheard(entry)])
        except LedgerAwayError:
            return list(batch)
        self._note_confirmed([entry for entry in batch if self._is_over(entry)])
        left = deque(entry for entry in batch if self._is_out(entry))
        unsent: list[OutboxEntry] = []
        while left:
            try:
                orders = await self._next_orders(left)
            except LedgerAwayError:
                break
            unsent += await self._publish_orders(orders, timeout_seconds) if orders else []
            if self._broker.away is not None:
                break
            left = deque(self._aside.sort_out(list(left)))  # a queue may just have turned out not to answer
        return [*unsent, *left]

    async def _publish_orders(
        self, orders: Sequence[tuple[OutboxEntry, Message]], timeout_seconds: float
    ) -> list[OutboxEntry]:
        outcomes = await self._broker.publish([message for _, message in orders], timeout_seconds)
        by_outcome: defaultdict[Outcome, list[OutboxEntry]] = defaultdict(list)
        for (entry, _), outcome in zip(orders, outcomes, strict=True):
            by_outcome[outcome].append(entry)
        self._note_confirmed(by_outcome[Outcome.CONFIRMED])
        await self._make_routable(by_outcome[Outcome.UNROUTABLE])
        untaken = by_outcome[Outcome.UNKNOWN] + by_outcome[Outcome.REFUSED]
        if self._broker.away is not None:
            return by_outcome[Outcome.UNROUTABLE] + untaken
        self._set_aside(untaken)
        return by_outcome[Outcome.UNROUTABLE]

    async def _recall(self, unknown: Sequence[OutboxEntry]) -> None:
        """Hear of hand-outs that memory lacks; what is over, or was purged, must not stay in the outbox for ever."""
        if not unknown:
            return
        found = await self._ledger.records([entry.mission_id for entry in unknown])
        for mission in found:
            if mission is not None:
                self._memory.apply(mission)
        self._note_confirmed([entry for entry, one in zip(unknown, found, strict=True) if one is None])

    def _is_unheard(self, entry: OutboxEntry) -> bool:
        mission = self._memory.get(entry.mission_id)
        return mission is None or mission.epoch < entry.epoch

    def _is_out(self, entry: OutboxEntry) -> bool:
        mission = self._memory.get(entry.mission_id)
        return mission is not None and mission.phase is Phase.OUT and mission.epoch == entry.epoch

    def _is_over(self, entry: OutboxEntry) -> bool:
        """Claimed, final, or handed out anew."""
        mission = self._memory.get(entry.mission_id)
        return mission is not None and mission.epoch >= entry.epoch and not self._is_out(entry)

    async def _next_orders(self, left: deque[OutboxEntry]) -> list[tuple[OutboxEntry, Message]]:
        """Make the orders of the first entries, about as many bytes as may be in flight, and take those out.

        A payload that the budget of memory had no room for is read here, and forgotten once it is published.
        """
        missing = [e.mission_id for e in left if self._memory.payload(e.mission_id) is None]
        read = await self._ledger.payloads(missing, within_bytes=BYTES_IN_FLIGHT) if missing else ()
        fetched = dict(zip(missing, read, strict=False))
        orders: list[tuple[OutboxEntry, Message]] = []
        room = BYTES_IN_FLIGHT
        while left and room > 0:
            entry = left[0]
            payload = self._memory.payload(entry.mission_id)
            if payload is None and entry.mission_id not in fetched:
                break  # it is read with the next ones
            left.popleft()
            mission, payload = self._memory.get(entry.mission_id), payload or fetched.get(entry.mission_id)
            if mission is not None and payload is not None:
                orders.append((entry, self._order(mission, entry.epoch, payload)))
                room -= len(payload)
        return orders

    def _order(self, mission: Mission, epoch: m.Epoch, payload: bytes) -> Message:
        queue = destination_of(mission).queue
        order = self._seals.order(m.era_of(epoch), epoch, mission.envelope, payload)
        return Message(exchange=queue.bound_to, key=queue.key, body=messages.encode(order))

    async def _make_routable(self, entries: Sequence[OutboxEntry]) -> None:
        """A pool's queue is gone: somebody deleted it. It comes back before the next try."""
        missions = [mission for entry in entries if (mission := self._memory.get(entry.mission_id))]
        now = asyncio.get_running_loop().time()
        if len(self._gone_since) > MAX_GONE:
            self._gone_since.clear()
        for pool in {pool_of(mission) for mission in missions}:
            if now - self._gone_since.setdefault(pool, now) < GONE_SECONDS:
                continue
            namespace, name = pool
            self._log.warning("the queue of a pool was gone; declaring it again", namespace=namespace, pool=name)
            try:
                await self._broker.declare(topology.queues_of(namespace, name))
            except BrokerAwayError:
                return
            del self._gone_since[pool]

    # Queues that do not answer.

    def _set_aside(self, unanswered: Sequence[OutboxEntry]) -> None:
        """The broker is there and left these unanswered, or refused them: their queue may have lost its leader."""
        for destination in self._aside.unanswered(unanswered):
            name = destination.queue.name
            self._log.warning("a queue takes no orders; they wait apart and are tried one by one", queue=name)
            self._tasks.create_task(self._win_back(destination))

    async def _win_back(self, destination: Destination) -> None:
        """Try one hand-out at a time until the queue answers. One that stays silent is made anew."""
        silences = 0
        while await self._may_publish() and (entry := self._aside.take_one(destination)) is not None:
            before = self._aside.times(destination)
            self._in_flight.add(entry)
            unsent = await self._publish([entry], PROBE_SECONDS)
            self._in_flight.discard(entry)
            self._aside.sort_out(unsent)
            silences += self._aside.times(destination) - before
            if not unsent and self._aside.times(destination) == before:
                break
            if silences >= PROBES_BEFORE_RENEWAL:
                silences = 0
                await self._renew(destination)
            await asyncio.sleep(RETRY_SECONDS)
        self.add_entries(self._aside.release(destination))

    async def _renew(self, destination: Destination) -> None:
        """Delete a queue that never took an order which is still out, and declare it again.

        A crash of the broker right after its declaration leaves a queue that never answers. So does the loss of most
        of its nodes, and those come back with what they hold: the broker says 0 ready of such a queue, so it is the
        ledger that is asked.
        """
        if await self._may_hold_orders(destination):
            return
        queue = destination.queue
        self._log.warning("a queue takes nothing and never took an order; it is made anew", queue=queue.name)
        await self._broker.forget([queue])
        await asyncio.sleep(GONE_SECONDS)
        with suppress(BrokerAwayError):  # declared at its return, then
            await self._broker.declare([queue])

    async def _may_hold_orders(self, destination: Destination) -> bool:
        """Tell whether the broker ever confirmed an order for it that nobody has claimed yet."""
        missions = self._memory.in_phase(destination.pool, Phase.OUT)
        out = [OutboxEntry(one.id, one.epoch) for one in missions if one.envelope.priority is destination.priority]
        try:
            for start in range(0, len(out), MAX_BATCH):
                if not all(await self._ledger.unconfirmed(out[start : start + MAX_BATCH])):
                    return True
        except LedgerAwayError:
            return True
        return False

    def _note_confirmed(self, entries: Sequence[OutboxEntry]) -> None:
        if entries:
            self._confirmed.extend(entries)
            self._confirmations.set()

    async def _clear_confirmed(self) -> None:
        while True:
            await self._confirmations.wait()
            self._confirmations.clear()
            batch, self._confirmed = self._confirmed, []
            try:
                await self._ledger.confirmed(batch)
            except LedgerAwayError:
                # They are published again by the sweep, and claimed once.
                self._log.warning("could not note that orders were confirmed", count=len(batch))

    async def _sweep(self) -> None:
        """Find what an earlier Commander, or a fault, left in the outbox.

        At the start and after a doubt that is all; otherwise what stays there, for somebody else may be at the rest.
        """
        before: AbstractSet[OutboxEntry] = frozenset()
        while True:
            takes_all = self._in_doubt.is_set()
            self._in_doubt.clear()
            found = await self._look()
            self.add_entries(entry for entry in found if takes_all or entry in before)
            before = set(found)
            await happens(self._in_doubt, within_seconds=SWEEP_SECONDS)

    async def _look(self) -> Sequence[OutboxEntry]:
        is_told = False
        while True:
            try:
                return await self._ledger.outbox(SWEEP_LIMIT)
            except LedgerAwayError:
                if not is_told:
                    self._log.warning("could not look into the outbox; it is tried until the ledger is back")
                    is_told = True
                await asyncio.sleep(RETRY_SECONDS)
