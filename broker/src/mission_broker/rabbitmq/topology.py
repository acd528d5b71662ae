"""Declares queues as the contract's values say, and looks at them, each on a channel that an error may cost."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Final

from pamqp import commands
from pamqp.base import Frame

from mission_broker.port import TopologyRefusedError
from mission_broker.rabbitmq.channel import CLOSED_HERE, NOT_FOUND, UNANSWERED, Channel, ChannelLostError
from mission_broker.rabbitmq.connection import Connection
from mission_contracts.topology import Exchange, Queue

_OURS: Final = (CLOSED_HERE, UNANSWERED)
"""Codes of channels that ended for reasons other than the broker's refusal."""


def with_graves(queues: Iterable[Queue]) -> dict[str, Queue]:
    """Give the queues by name, each after the one that its dead letters go to."""
    found: dict[str, Queue] = {}
    for queue in queues:
        if queue.dead_letters_to is not None:
            found |= with_graves([queue.dead_letters_to])
        found[queue.name] = queue
    return found


def declare_exchange(exchange: Exchange, *, nowait: bool = False) -> Frame:
    return commands.Exchange.Declare(
        exchange=exchange.name, exchange_type=exchange.kind, durable=True, nowait=nowait, arguments={}
    )


def _declarations(queue: Queue) -> Iterator[Frame]:
    yield declare_exchange(queue.bound_to)
    # A transient queue is exclusive: RabbitMQ 4 phases out other queues that do not outlive their node.
    yield commands.Queue.Declare(
        queue=queue.name, durable=not queue.transient, exclusive=queue.transient, arguments=queue.arguments()
    )
    yield commands.Queue.Bind(queue=queue.name, exchange=queue.bound_to.name, routing_key=queue.key, arguments={})


async def declare_on(channel: Channel, queue: Queue) -> None:
    """Make one queue, its exchange and binding exist. Raises ChannelLostError; the channel is then gone."""
    await channel.rpc(*_declarations(queue))


class Surveyor:
    """Declares and counts over one connection, with a spare channel for the next question."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._spare: Channel | None = None

    async def declare(self, queues: Iterable[Queue]) -> list[TopologyRefusedError]:
        """Declare all that can be; say what the broker refused. Raises ChannelLostError when it is lost meanwhile."""
        refused = []
        for queue in with_graves(queues).values():
            try:
                await self._declare(queue)
            except ChannelLostError as error:
                if error.code in _OURS:
                    raise
                refused.append(_refusal(queue, error))
        return refused

    async def count(self, queue: Queue) -> commands.Queue.DeclareOk | None:
        """Ask how much waits in a queue and who consumes; None when there is no such queue."""
        try:
            async with self._channel() as channel:
                answer: commands.Queue.DeclareOk = await channel.rpc(
                    commands.Queue.Declare(queue=queue.name, passive=True, arguments={})
                )
                return answer
        except ChannelLostError as error:
            if error.code == NOT_FOUND:
                return None
            raise

    async def remove_if_unused(self, queue: Queue) -> None:
        """Delete a queue that is empty and that nobody consumes.

        `if-empty` and `if-unused` would be the broker's own words for it, but for a quorum queue 3.10 answers them by
        closing the whole connection (541). So the queue is unbound first: what is published after that is unroutable
        and its publisher knows, and what came before is counted.
        """
        if not _is_unused(await self.count(queue)):
            return
        await self._ask(_unbind(queue))
        if _is_unused(await self.count(queue)):
            await self._ask(commands.Queue.Delete(queue=queue.name))
        else:
            await self._declare(queue)

    def close(self) -> None:
        if self._spare is not None:
            self._spare.end(ChannelLostError(CLOSED_HERE, "no more questions"))

    async def _declare(self, queue: Queue) -> None:
        async with self._channel() as channel:
            await declare_on(channel, queue)

    async def _ask(self, command: Frame) -> None:
        async with self._channel() as channel:
            await channel.rpc(command)

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[Channel]:
        """Lend a channel; whatever goes wrong costs that channel and nothing else."""
        channel, self._spare = self._spare, None
        if channel is None or not channel.is_open:
            channel = await self.connection.channel(Channel)
        try:
            yield channel
        except BaseException:
            channel.end(ChannelLostError(CLOSED_HERE, "something went wrong on it"))
            raise
        if self._spare is None:
            self._spare = channel
        else:
            channel.end(ChannelLostError(CLOSED_HERE, "one spare channel is enough"))


def _unbind(queue: Queue) -> Frame:
    return commands.Queue.Unbind(queue=queue.name, exchange=queue.bound_to.name, routing_key=queue.key, arguments={})


def _is_unused(found: commands.Queue.DeclareOk | None) -> bool:
    return found is not None and not found.message_count and not found.consumer_count


def _refusal(queue: Queue, error: ChannelLostError) -> TopologyRefusedError:
    return TopologyRefusedError(
        f"the broker refused to declare {queue.name} ({error}): it exists with other arguments, or another program "
        "owns it; delete it when it is empty, or point this installation at a virtual host of its own"
    )
