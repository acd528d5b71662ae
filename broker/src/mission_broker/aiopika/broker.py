"""The broker's port on plain aio-pika: two supervised connections, one to publish and one to consume.

A broker that is short of memory stops reading from connections that publish; acknowledgements must get through then.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Never

from aio_pika.abc import AbstractConnection

from mission_broker.aiopika.consuming import Subscription
from mission_broker.aiopika.link import Link
from mission_broker.aiopika.publishing import Publisher
from mission_broker.aiopika.topology import LOST, Topology
from mission_broker.port import Away, BrokerAwayError, Consumer, Message, OnDeliveries, Outcome
from mission_broker.rabbitmq.backoff import Backoff
from mission_broker.rabbitmq.settings import RabbitMQSettings
from mission_broker.rabbitmq.topology import with_graves
from mission_broker.rabbitmq.troubles import Deed, Troubles
from mission_contracts.topology import Queue

log = logging.getLogger(__name__)


@asynccontextmanager
async def connect(settings: RabbitMQSettings) -> AsyncIterator["AioPikaBroker"]:
    """Begin to connect, and stay connected while the context is open. It does not wait: see `wait_connected`."""
    broker = AioPikaBroker(settings)
    async with AsyncExitStack() as stack:
        for keep in broker.keepers():
            await stack.enter_async_context(_running(keep))
        yield broker


class AioPikaBroker:
    """One process's way to RabbitMQ; made by `connect`."""

    def __init__(self, settings: RabbitMQSettings) -> None:
        self._settings = settings
        self._changed = asyncio.Condition()
        self._notifying: set[asyncio.Task[None]] = set()
        self._publishing = Link(settings, "publish", self._on_change)
        self._consuming = Link(settings, "consume", self._on_change)
        self._publisher = Publisher(self._publishing, self._prepare_to_publish, self._backoff(), self._on_change)
        self._declared: dict[str, Queue] = {}
        self._topology: Topology | None = None
        self._ready: AbstractConnection | None = None
        """The connection on which everything is declared."""
        self._troubles = Troubles()

    @property
    def away(self) -> Away | None:
        consuming = self._consuming.connection
        if self._publishing.connection is None or consuming is None:
            return Away.DISCONNECTED
        if not self._publisher.is_ready or self._ready is not consuming:
            return Away.DISCONNECTED
        return Away.BLOCKED if self._publishing.is_blocked else None

    @property
    def troubles(self) -> Mapping[str, str]:
        why = self._publishing.why_down or self._consuming.why_down
        return {"": why, **self._troubles.told()} if why else self._troubles.told()

    async def wait_connected(self, timeout_seconds: float) -> bool:
        try:
            async with asyncio.timeout(timeout_seconds), self._changed:
                await self._changed.wait_for(lambda: self.away is None)
        except TimeoutError:
            return False
        return True

    async def declare(self, queues: Sequence[Queue]) -> None:
        self._declared |= with_graves(queues)
        with _away_if_lost("declare queues"):
            problems = await self._topology_now("declare queues").declare(queues)
        self._note(problems)
        if silent := [name for name, problem in problems.items() if isinstance(problem, TimeoutError)]:
            raise BrokerAwayError(f"RabbitMQ does not answer for {', '.join(silent)}: try again later")

    async def forget(self, queues: Sequence[Queue]) -> None:
        for queue in queues:
            self._declared.pop(queue.name, None)
            self._troubles.forget(queue.name)
        try:
            for queue in queues:
                await self._topology_now("delete queues").delete_if_unused(queue)
        except (BrokerAwayError, *LOST) as error:
            log.warning("queues that are not needed any more stay where they are error=%r", error)

    async def publish(self, messages: Sequence[Message], timeout_seconds: float = 10) -> Sequence[Outcome]:
        return await self._publisher.publish(messages, timeout_seconds)

    @asynccontextmanager
    async def consume(self, queue: Queue, on_deliveries: OnDeliveries, *, prefetch: int) -> AsyncIterator[Consumer]:
        subscription = Subscription(
            self._consuming,
            self._prepare_to_consume,
            self._backoff(),
            self._troubles,
            queue=queue,
            on_deliveries=on_deliveries,
            prefetch=prefetch,
        )
        try:
            async with _running(subscription.keep):
                yield subscription
        finally:
            await subscription.close()
            self._troubles.over(queue.name, Deed.CONSUME)

    async def ready_count(self, queue: Queue) -> int | None:
        purpose = f"count what waits in {queue.name}"
        with _away_if_lost(purpose):
            found = await self._topology_now(purpose).count(queue)
        return None if found is None else found[0]

    def keepers(self) -> tuple[Callable[[], Awaitable[Never]], ...]:
        """What has to run while the broker is used."""
        return self._publishing.keep, self._consuming.keep, self._publisher.keep, self._keep_topology

    async def _keep_topology(self) -> Never:
        backoff = self._backoff()
        while True:
            connection = await self._consuming.connected()
            try:
                topology = self._topology_on(connection)
                await topology.declare_exchanges(self._settings.exchanges)
                self._note(await topology.declare(tuple(self._declared.values())))
            except LOST as error:
                log.warning("cannot declare queues; trying again error=%r", error)
                await asyncio.sleep(backoff.next())
                continue
            self._ready = connection
            self._on_change()
            await self._until_replaced(connection)

    async def _until_replaced(self, connection: AbstractConnection) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._consuming.connection is not connection)

    async def _prepare_to_publish(self, connection: AbstractConnection) -> None:
        # A transient queue belongs to the connection that declares it, and that is the consumers'.
        durable = [queue for queue in self._declared.values() if not queue.transient]
        await self._new_topology(connection).declare(durable)

    async def _prepare_to_consume(self, connection: AbstractConnection, queue: Queue) -> None:
        problems = await self._topology_on(connection).declare([queue])
        self._note(problems)
        problem = problems[queue.name]
        if self._consuming.is_restricted and problem is not None:
            raise problem  # it waits for an exchange that others declare: unbound, it would receive nothing for ever

    def _topology_now(self, purpose: str) -> Topology:
        connection = self._consuming.connection
        if connection is None:
            raise BrokerAwayError(f"cannot {purpose}: RabbitMQ is not connected; it is being tried again")
        return self._topology_on(connection)

    def _topology_on(self, connection: AbstractConnection) -> Topology:
        if self._topology is None or self._topology.connection is not connection:
            self._topology = self._new_topology(connection)
        return self._topology

    def _new_topology(self, connection: AbstractConnection) -> Topology:
        return Topology(
            connection,
            is_restricted=self._consuming.is_restricted,
            timeout_seconds=self._settings.rpc_timeout_seconds,
        )

    def _note(self, problems: Mapping[str, Exception | None]) -> None:
        for name, problem in problems.items():
            if problem is None:
                self._troubles.over(name, Deed.DECLARE)
            else:
                self._troubles.tell(name, Deed.DECLARE, f"cannot declare {name}: {problem!r}; it is used as it is")

    def _backoff(self) -> Backoff:
        return Backoff(self._settings.backoff_min_seconds, self._settings.backoff_max_seconds)

    def _on_change(self) -> None:
        task = asyncio.get_running_loop().create_task(self._notify())
        self._notifying.add(task)
        task.add_done_callback(self._notifying.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@contextmanager
def _away_if_lost(purpose: str) -> Iterator[None]:
    try:
        yield
    except LOST as error:
        raise BrokerAwayError(f"cannot {purpose}: RabbitMQ was lost meanwhile ({error!r}); try again") from error


@asynccontextmanager
async def _running(keep: Callable[[], Awaitable[Never]]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(keep())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
