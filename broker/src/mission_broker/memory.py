"""The broker without a broker: for `missionctl dev`, where Commander and Soldiers share a process, and for tests.

It passes the conformance suite that RabbitMQ passes. What only a test wants is a method with a blunt name:
`cut`, `mend`, `block`, `unblock`, `lose_confirms`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType

from mission_broker.memory_server import HeldQueue, MemoryServer, Stored
from mission_broker.port import (
    Away,
    BrokerAwayError,
    Consumer,
    Delivery,
    Message,
    OnDeliveries,
    Outcome,
    checked_prefetch,
)
from mission_contracts.topology import Queue

log = logging.getLogger(__name__)


class MemoryDelivery:
    """A message in a consumer's hands."""

    __slots__ = ("_channel", "_returns", "_stored")

    def __init__(self, channel: "_Channel", stored: Stored) -> None:
        self._channel = channel
        self._stored = stored
        self._returns = stored.returns

    @property
    def body(self) -> bytes:
        return self._stored.body

    @property
    def size(self) -> int:
        return len(self._stored.body)

    @property
    def headers(self) -> Mapping[str, str]:
        if not self._returns:
            return MappingProxyType(self._stored.headers)
        return {**self._stored.headers, "x-delivery-count": str(self._returns)}

    @property
    def redelivered(self) -> bool:
        return self._returns > 0

    @property
    def is_alive(self) -> bool:
        return self._channel.is_open

    def forget_body(self) -> None:
        """It is the server's, which keeps it until it is settled."""

    def ack(self) -> None:
        self._channel.settle(self._stored)

    def give_back(self) -> None:
        if self._channel.settle(self._stored):
            self._channel.held.take_back([self._stored])

    def dead_letter(self) -> None:
        if self._channel.settle(self._stored):
            self._channel.held.reject(self._stored)


class _Channel:
    """What one subscription to one queue holds; its end gives all of it back."""

    def __init__(self, consumer: "MemoryConsumer", held: HeldQueue) -> None:
        self.held = held
        self.is_open = True
        self.is_taking = True
        self._consumer = consumer
        self._unsettled: dict[int, Stored] = {}

    @property
    def has_room(self) -> bool:
        return len(self._unsettled) < self._consumer.prefetch

    def take(self, stored: Stored) -> None:
        self._unsettled[id(stored)] = stored
        self._consumer.arrived(MemoryDelivery(self, stored))

    def settle(self, stored: Stored) -> bool:
        """Let go of a message; False when this was said before, or the channel has ended."""
        if self._unsettled.pop(id(stored), None) is None:
            return False
        self.held.serve()
        return True

    def stop_taking(self) -> None:
        self.is_taking = False
        self.held.detach(self)

    def end(self) -> None:
        self.is_open = False
        returned, self._unsettled = tuple(self._unsettled.values()), {}
        self.stop_taking()
        self.held.take_back(returned)

    def queue_is_gone(self) -> None:
        self.is_open = self.is_taking = False
        self._unsettled.clear()
        self._consumer.queue_is_gone()


class MemoryConsumer:
    """One subscription; it outlives cuts and deleted queues."""

    def __init__(self, server: MemoryServer, queue: Queue, on_deliveries: OnDeliveries, prefetch: int) -> None:
        self.prefetch = checked_prefetch(prefetch)
        self._server = server
        self.queue = queue
        self._on_deliveries = on_deliveries
        self._is_wanted = False
        self._is_paused = False
        self._channel: _Channel | None = None
        self._inbox: list[MemoryDelivery] = []
        self._loop = asyncio.get_running_loop()

    @property
    def is_consuming(self) -> bool:
        return self._channel is not None and self._channel.is_taking

    def set_prefetch(self, count: int) -> None:
        self.prefetch = max(0, count)
        if self._channel is not None:
            self._channel.held.serve()

    async def hold(self, count: int) -> None:
        self.set_prefetch(count)

    async def pause(self) -> None:
        self._is_paused = True
        if self._channel is not None:
            self._channel.stop_taking()
            self._flush()

    def open(self) -> None:
        self._is_wanted = True
        if self._channel is not None or self._is_paused:
            return
        held = self._server.declare(self.queue)
        self._channel = _Channel(self, held)
        held.attach(self._channel)

    def close(self) -> None:
        self._is_wanted = False
        self._inbox.clear()
        if self._channel is not None:
            channel, self._channel = self._channel, None
            channel.end()

    def queue_is_gone(self) -> None:
        self._inbox.clear()
        self._channel = None
        self._loop.call_soon(self._reopen)

    def arrived(self, delivery: MemoryDelivery) -> None:
        if not self._inbox:
            self._loop.call_soon(self._flush)
        self._inbox.append(delivery)

    def _reopen(self) -> None:
        if self._is_wanted:
            self.open()

    def _flush(self) -> None:
        batch: Sequence[Delivery]
        batch, self._inbox = self._inbox, []
        if not batch:
            return
        try:
            self._on_deliveries(batch)
        except Exception:
            log.exception("a consumer of %s raised: its batch of %d goes back", self.queue.name, len(batch))
            for delivery in batch:
                delivery.give_back()


class MemoryBroker:
    """One client's way to a `MemoryServer`; without one given it makes its own."""

    def __init__(self, server: MemoryServer | None = None) -> None:
        self.server = server or MemoryServer()
        self._away: Away | None = None
        self._usable = asyncio.Event()
        self._usable.set()
        self._declared: dict[str, Queue] = {}
        self._consumers: set[MemoryConsumer] = set()
        self._confirms_to_lose = 0
        self._lost_arrive = True

    @property
    def away(self) -> Away | None:
        return self._away

    @property
    def troubles(self) -> Mapping[str, str]:
        return {}

    async def wait_connected(self, timeout_seconds: float) -> bool:
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._usable.wait()
        except TimeoutError:
            return False
        return True

    async def declare(self, queues: Sequence[Queue]) -> None:
        self._declared |= {queue.name: queue for queue in queues}
        self._require_connection()
        for queue in queues:
            self._declare(queue)

    async def forget(self, queues: Sequence[Queue]) -> None:
        for queue in queues:
            self._declared.pop(queue.name, None)
            held = self.server.find(queue.name)
            if self._away is not Away.DISCONNECTED and held is not None and held.is_unused:
                self.server.delete(queue.name)

    async def publish(self, messages: Sequence[Message], timeout_seconds: float = 10) -> Sequence[Outcome]:  # noqa: ARG002 - the port's
        # As over a network, nothing is known before the event loop had its turn.
        await asyncio.sleep(0)
        return [self._publish(message) for message in messages]

    @asynccontextmanager
    async def consume(self, queue: Queue, on_deliveries: OnDeliveries, *, prefetch: int) -> AsyncIterator[Consumer]:
        consumer = MemoryConsumer(self.server, queue, on_deliveries, prefetch)
        self._consumers.add(consumer)
        if self._away is not Away.DISCONNECTED:
            consumer.open()
        try:
            yield consumer
        finally:
            self._consumers.discard(consumer)
            consumer.close()

    async def ready_count(self, queue: Queue) -> int | None:
        self._require_connection()
        held = self.server.find(queue.name)
        return held.ready if held is not None else None

    def cut(self) -> None:
        """Lose the connection: deliveries die and go back to their queues, publishes are UNKNOWN."""
        self._away = Away.DISCONNECTED
        self._usable.clear()
        for consumer in self._consumers:
            consumer.close()
        for queue in (*self._declared.values(), *(consumer.queue for consumer in self._consumers)):
            if queue.transient:  # one process's own: it ends with the connection
                self.server.delete(queue.name)

    def mend(self) -> None:
        """Connect again: the topology is declared anew and consumers resume."""
        self._away = None
        self._usable.set()
        for queue in self._declared.values():
            self._declare(queue)
        for consumer in self._consumers:
            consumer.open()

    def block(self) -> None:
        """Be short of memory: connected, but nothing can be published."""
        if self._away is None:
            self._away = Away.BLOCKED
            self._usable.clear()

    def unblock(self) -> None:
        """Take messages again."""
        if self._away is Away.BLOCKED:
            self._away = None
            self._usable.set()

    def lose_confirms(self, count: int = 1, *, arrived: bool = True) -> None:
        """Let the next messages be UNKNOWN to their publisher, whether they arrived or not."""
        self._confirms_to_lose = count
        self._lost_arrive = arrived

    def _publish(self, message: Message) -> Outcome:
        if self._away is not None or self.server.is_silent(message.exchange, message.key):
            return Outcome.UNKNOWN
        if self._confirms_to_lose:
            self._confirms_to_lose -= 1
            if self._lost_arrive:
                self._route(message)
            return Outcome.UNKNOWN
        return Outcome.CONFIRMED if self._route(message) else Outcome.UNROUTABLE

    def _route(self, message: Message) -> bool:
        return self.server.publish(message.exchange, message.key, message.body, message.headers)

    def _declare(self, queue: Queue) -> None:
        if queue.dead_letters_to is not None:
            self.server.declare(queue.dead_letters_to)
        self.server.declare(queue)

    def _require_connection(self) -> None:
        if self._away is Away.DISCONNECTED:
            raise BrokerAwayError("the broker was cut off: nothing can be declared or counted until it is mended")
