"""Declares, counts and deletes queues, each on a channel of its own, which an error may cost."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity

from mission_broker.rabbitmq.topology import with_graves
from mission_contracts.topology import Exchange, Queue

MAX_CHANNELS: Final = 8
LOST: Final = (AMQPError, OSError, TimeoutError, RuntimeError)
"""What aio-pika raises for a channel or a connection that is gone, or that does not answer."""


class Topology:
    """What one connection declares and asks."""

    def __init__(self, connection: AbstractConnection, *, is_restricted: bool, timeout_seconds: float) -> None:
        self.connection = connection
        self._is_restricted = is_restricted
        self._timeout_seconds = timeout_seconds
        self._channels = asyncio.Semaphore(MAX_CHANNELS)

    async def declare_exchanges(self, exchanges: Iterable[Exchange]) -> None:
        """Raise one of LOST when it cannot be done."""
        async with self._channel() as channel:
            for exchange in exchanges:
                await channel.declare_exchange(exchange.name, exchange.kind, durable=True)

    async def declare(self, queues: Iterable[Queue]) -> Mapping[str, Exception | None]:
        """Declare all that can be declared; return what is wrong with each, by name."""
        wanted = with_graves(queues)
        outcomes = await asyncio.gather(*(self._declare(queue) for queue in wanted.values()))
        return dict(zip(wanted, outcomes, strict=True))

    async def count(self, queue: Queue) -> tuple[int, int] | None:
        """Return how many messages wait in a queue, and how many consumers it has; None when it does not exist."""
        try:
            async with self._channel() as channel:
                found = (await channel.declare_queue(queue.name, passive=True)).declaration_result
                return int(found.message_count or 0), int(found.consumer_count or 0)
        except ChannelNotFoundEntity:
            return None

    async def delete_if_unused(self, queue: Queue) -> None:
        """Delete a queue that is empty and has no consumer.

        RabbitMQ 3.10 answers `if-empty` on a quorum queue by closing the connection. So the queue is unbound first:
        what is published after that is unroutable, and its publisher knows; what came before is counted.
        """
        if await self.count(queue) != (0, 0):
            return
        async with self._channel() as channel:
            found = await channel.get_queue(queue.name, ensure=False)
            await found.unbind(queue.bound_to.name, queue.key)
            if await self.count(queue) == (0, 0):
                await found.delete(if_unused=False, if_empty=False)
                return
        await self._declare(queue)

    async def _declare(self, queue: Queue) -> Exception | None:
        if self._is_restricted and not queue.transient:
            return None
        try:
            async with self._channel() as channel:
                if not self._is_restricted:
                    await channel.declare_exchange(queue.bound_to.name, queue.bound_to.kind, durable=True)
                declared = await channel.declare_queue(
                    queue.name, durable=not queue.transient, exclusive=queue.transient, arguments=queue.arguments()
                )
                await declared.bind(queue.bound_to.name, queue.key)
        except LOST as error:
            return error
        return None

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[AbstractChannel]:
        async with self._channels, asyncio.timeout(self._timeout_seconds):
            channel = await self.connection.channel(publisher_confirms=False)
            try:
                yield channel
            finally:
                with suppress(*LOST):
                    await channel.close()
