"""The broker's port over RabbitMQ: two supervised connections, and what lives on them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Never

from mission_broker.port import Away, BrokerAwayError, Consumer, Message, OnDeliveries, Outcome
from mission_broker.rabbitmq.backoff import Backoff
from mission_broker.rabbitmq.channel import ChannelLostError
from mission_broker.rabbitmq.connection import Connection
from mission_broker.rabbitmq.consuming import Subscription
from mission_broker.rabbitmq.link import Link
from mission_broker.rabbitmq.publishing import Publisher
from mission_broker.rabbitmq.settings import RabbitMQSettings
from mission_broker.rabbitmq.tap import ConnectionLostError
from mission_broker.rabbitmq.topology import Problem, Surveyor, with_graves
from mission_broker.rabbitmq.troubles import Deed, Troubles
from mission_contracts.topology import Queue

log = logging.getLogger(__name__)

AFTER_A_BUG_SECONDS: Final = 1


@asynccontextmanager
async def connect(settings: RabbitMQSettings) -> AsyncIterator["RabbitMQBroker"]:
    """Begin to connect, and stay connected while the context is open. It does not wait: see `wait_connected`."""
    broker = RabbitMQBroker(settings)
    tasks = [asyncio.create_task(_for_ever(keep)) for keep in broker.keepers()]
    try:
        yield broker
    finally:
        await _end(tasks)


class RabbitMQBroker:
    """One process's way to RabbitMQ; made by `connect`.

    What is published and what is consumed travel on connections of their own: a broker short of memory stops reading
    from those that publish, and acknowledgements must get through then.
    """

    def __init__(self, settings: RabbitMQSettings) -> None:
        self._settings = settings
        self._waiting: set[asyncio.Future[None]] = set()
        self._publishing = Link(settings, "publish", self._changed)
        self._consuming = Link(settings, "consume", self._changed)
        self._publisher = Publisher(self._publishing, self._prepare_to_publish, self._backoff(), self._changed)
        self._declared: dict[str, Queue] = {}
        self._surveyor: Surveyor | None = None
        self._surveyed: Connection | None = None
        self._troubles = Troubles()

    @property
    def away(self) -> Away | None:
        publishing, consuming = self._publishing.connection, self._consuming.connection
        if publishing is None or consuming is None:
            return Away.DISCONNECTED
        if self._publisher.channel is None or self._surveyed is not consuming:
            return Away.DISCONNECTED  # not yet ready for use
        return Away.BLOCKED if publishing.is_blocked else None

    @property
    def troubles(self) -> Mapping[str, str]:
        why = self._publishing.why_not or self._consuming.why_not
        return {"": why, **self._troubles.told()} if why else self._troubles.told()

    async def wait_connected(self, timeout_seconds: float) -> bool:
        try:
            async with asyncio.timeout(timeout_seconds):
                while self.away is not None:
                    await self._next_change()
        except TimeoutError:
            return False
        return True

    async def declare(self, queues: Sequence[Queue]) -> None:
        self._declared |= with_graves(queues)
        connection = self._connection("declare queues")
        with _away_if_lost():
            problems = await self._surveyor_on(connection).declare(queues)
        self._note(problems)
        if silent := [name for name, problem in problems.items() if problem is not None and problem.is_silence]:
            raise BrokerAwayError(f"RabbitMQ does not answer for {', '.join(silent)}: try again later")

    async def forget(self, queues: Sequence[Queue]) -> None:
        for queue in queues:
            self._declared.pop(queue.name, None)
            self._troubles.forget(queue.name)
        try:
            surveyor = self._surveyor_on(self._connection("delete queues"))
            for queue in queues:
                await surveyor.remove_if_unused(queue)
        except (BrokerAwayError, ChannelLostError, ConnectionLostError) as error:
            log.warning("queues that are forgotten stay where they are: %s", error)

    async def publish(self, messages: Sequence[Message], timeout_seconds: float = 10) -> Sequence[Outcome]:
        channel = self._publisher.channel
        if channel is None or self._is_blocked:
            await asyncio.sleep(0)  # a caller that tries at once again must not starve what reconnects
            return [Outcome.UNKNOWN] * len(messages)
        return await channel.publish(messages, timeout_seconds)

    @asynccontextmanager
    async def consume(self, queue: Queue, on_deliveries: OnDeliveries, *, prefetch: int) -> AsyncIterator[Consumer]:
        subscription = Subscription(
            self._consuming,
            self._prepare_to_consume,
            self._count,
            self._backoff(),
            self._troubles,
            queue=queue,
            on_deliveries=on_deliveries,
            prefetch=prefetch,
        )
        task = asyncio.create_task(_for_ever(subscription.keep))
        try:
            yield subscription
        finally:
            await _end([task])  # first, for it would make anew what is closed
            await subscription.close()
            self._troubles.over(queue.name, Deed.CONSUME)

    async def ready_count(self, queue: Queue) -> int | None:
        connection = self._connection(f"count what waits in {queue.name}")
        with _away_if_lost():
            return await self._count(connection, queue)

    def keepers(self) -> tuple[Callable[[], Awaitable[Never]], ...]:
        """What has to run as long as the broker is used."""
        return self._publishing.keep, self._consuming.keep, self._publisher.keep, self._keep_topology

    # Inside

    @property
    def _is_blocked(self) -> bool:
        connection = self._publishing.connection
        return connection is not None and connection.is_blocked

    def _connection(self, purpose: str) -> Connection:
        connection = self._consuming.connection
        if connection is None:
            raise BrokerAwayError(f"cannot {purpose}: RabbitMQ is not connected; it is being tried again")
        return connection

    def _surveyor_on(self, connection: Connection) -> Surveyor:
        if self._surveyor is None or self._surveyor.connection is not connection:
            self._surveyor = Surveyor(connection)
        return self._surveyor

    async def _keep_topology(self) -> Never:
        backoff = self._backoff()
        while True:
            connection = await self._consuming.connected()
            try:
                surveyor = self._surveyor_on(connection)
                await surveyor.declare_exchanges(self._settings.exchanges)
                self._note(await surveyor.declare(tuple(self._declared.values())))
            except (ChannelLostError, ConnectionLostError) as error:
                log.warning("queues could not be declared and are tried again: %s", error)
                await asyncio.sleep(backoff.next())
                continue
            self._surveyed = connection
            self._changed()
            await asyncio.shield(connection.lost)

    async def _prepare_to_publish(self, connection: Connection) -> None:
        surveyor = Surveyor(connection)
        # A transient queue belongs to the connection that declares it, and that is the consumers'.
        await surveyor.declare([queue for queue in self._declared.values() if not queue.transient])
        surveyor.close()

    async def _prepare_to_consume(self, connection: Connection, queue: Queue) -> None:
        problems = await self._surveyor_on(connection).declare([queue])
        self._note(problems)
        problem = problems[queue.name]
        if connection.is_guest and problem is not None:
            raise problem.error  # it waits for an exchange that others declare: unbound, it would hear nothing for ever

    def _note(self, problems: Mapping[str, Problem | None]) -> None:
        for name, problem in problems.items():
            if problem is None:
                self._troubles.over(name, Deed.DECLARE)
            else:
                self._troubles.tell(name, Deed.DECLARE, str(problem))

    async def _count(self, connection: Connection, queue: Queue) -> int | None:
        found = await self._surveyor_on(connection).count(queue)
        return None if found is None else int(found.message_count or 0)

    def _backoff(self) -> Backoff:
        return Backoff(self._settings.backoff_min_seconds, self._settings.backoff_max_seconds)

    def _changed(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def _next_change(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)


class _away_if_lost:  # noqa: N801 - reads as a statement
    """Tell a loss in the port's words."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, ChannelLostError | ConnectionLostError):
            raise BrokerAwayError(f"RabbitMQ was lost meanwhile ({error}); it is being tried again") from error


async def _for_ever(keep: Callable[[], Awaitable[Never]]) -> None:
    """Run a keeper; a bug in it is logged and costs a second, not the connection for good."""
    while True:
        try:
            await keep()
        except Exception:
            log.exception("an unexpected error in what keeps RabbitMQ connected; it starts again")
            await asyncio.sleep(AFTER_A_BUG_SECONDS)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
