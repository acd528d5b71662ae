"""Takes orders from both queues of the pool: reads them, settles redeliveries, lines up the rest."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial

from mission_broker.port import Broker, Consumer, Delivery
from mission_broker.rejecting import Rejects
from mission_contracts import messages
from mission_contracts.errors import UnreadableMessageError
from mission_contracts.messages import Order
from mission_contracts.topology import Queue
from mission_soldier.book import Key
from mission_soldier.prefetch import Plan
from mission_soldier.waiting import Received, Waiting


class Intake:
    """The subscriptions, and what happens to a delivery before its claim."""

    def __init__(
        self,
        *,
        broker: Broker,
        queues: tuple[Queue, Queue],
        waiting: Waiting,
        rejects: Rejects,
        is_known: Callable[[Key], bool],
        on_arrival: Callable[[], None],
        plan: Plan,
    ) -> None:
        self._broker = broker
        self._queues = queues
        self._waiting = waiting
        self._rejects = rejects
        self._is_known = is_known
        self._on_arrival = on_arrival
        self._plan = plan
        self._consumers: list[Consumer] = []
        self._stack = AsyncExitStack()

    @property
    def is_consuming(self) -> bool:
        return bool(self._consumers) and all(consumer.is_consuming for consumer in self._consumers)

    @property
    def is_open(self) -> bool:
        return bool(self._consumers)

    async def open(self) -> None:
        """Subscribe to both queues."""
        self._waiting.open()
        for queue, prefetch in zip(self._queues, self._plan, strict=True):
            subscription = self._broker.consume(queue, partial(self._arrived, queue), prefetch=max(1, prefetch))
            consumer = await self._stack.enter_async_context(subscription)
            consumer.set_prefetch(prefetch)
            self._consumers.append(consumer)

    async def pause(self, most_seconds: float) -> None:
        """Take nothing more and give back what waits; what runs can still be acknowledged."""
        consumers, self._consumers = self._consumers, []
        with suppress(TimeoutError):
            async with asyncio.timeout(most_seconds):
                await asyncio.gather(*(consumer.pause() for consumer in consumers))
        self._waiting.close()

    async def close(self) -> None:
        """End the subscriptions. Deliveries that are still held go back to their queues."""
        self._consumers = []
        await self._stack.aclose()

    def adapt(self, plan: Plan) -> None:
        """Hold as many orders as the plan says."""
        for consumer, new, old in zip(self._consumers, plan, self._plan, strict=False):
            if new != old:
                consumer.set_prefetch(new)
        self._plan = plan

    def adapt_first(self, plan: Plan) -> None:
        """The same, for the queue whose turn it is; the other one follows."""
        is_normal = self._waiting.owes_normal
        self.adapt(Plan(self._plan.high, plan.normal) if is_normal else Plan(plan.high, self._plan.normal))

    async def yield_waiting(self, plan: Plan) -> int:
        """Hold no more than the plan says, and return what waits here to its queue; gives how many."""
        self._plan = plan
        # First this, or the broker would give the same orders back to us.
        await asyncio.gather(*(consumer.hold(most) for consumer, most in zip(self._consumers, plan, strict=False)))
        return self._waiting.give_back_lines()

    def _arrived(self, queue: Queue, deliveries: Sequence[Delivery]) -> None:
        batch: dict[Key, Received] = {}
        for delivery in deliveries:
            received = self._read(queue, delivery)
            if received is not None and not self._is_repeated(received, batch):
                batch[received.key] = received
        if batch:
            self._waiting.add(list(batch.values()))
            self._on_arrival()

    def _read(self, queue: Queue, delivery: Delivery) -> Received | None:
        try:
            return Received(messages.decode(delivery.body, Order), delivery)
        except UnreadableMessageError as error:
            self._rejects.keep(delivery, queue, error.defect, str(error))
            return None

    def _is_repeated(self, received: Received, batch: dict[Key, Received]) -> bool:
        """Settle a delivery whose order is in hand already."""
        key, delivery = received.key, received.delivery
        if self._is_known(key):
            # The claim is durable and its report is on the way: this delivery has nothing left to guard.
            delivery.ack()
            return True
        earlier = self._waiting.find(key) or batch.get(key)
        if earlier is None:
            return False
        if earlier.delivery.is_alive:
            delivery.ack()
        else:
            earlier.delivery = delivery
        return True
