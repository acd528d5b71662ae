"""Declares queues as the contract's values say, and looks at them, each on a channel that an error may cost."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from pamqp import commands
from pamqp.base import Frame

from mission_broker.rabbitmq.channel import CLOSED_HERE, NOT_FOUND, UNANSWERED, Channel, ChannelLostError
from mission_broker.rabbitmq.connection import Connection
from mission_contracts.topology import Exchange, Queue

MAX_CHANNELS: Final = 8
"""How many questions are asked at the same time."""


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


def _declarations(queue: Queue, *, is_guest: bool) -> Iterator[Frame]:
    if is_guest and not queue.transient:
        return  # what is shared is declared by those who may
    if not is_guest:
        yield declare_exchange(queue.bound_to)
    # A transient queue is exclusive: RabbitMQ 4 phases out other queues that do not outlive their node.
    yield commands.Queue.Declare(
        queue=queue.name, durable=not queue.transient, exclusive=queue.transient, arguments=queue.arguments()
    )
    yield commands.Queue.Bind(queue=queue.name, exchange=queue.bound_to.name, routing_key=queue.key, arguments={})


class Problem(msgspec.Struct, frozen=True):
    """A queue that could not be declared, though the broker is there."""

    queue: Queue
    error: ChannelLostError

    @property
    def is_silence(self) -> bool:
        """True when the broker did not answer, as it does for a queue that lost most of its members."""
        return self.error.code == UNANSWERED

    def __str__(self) -> str:
        if self.is_silence:
            return f"{self.queue.name} cannot be declared now: {self.error}; the others are not concerned"
        return (
            f"the broker refused to declare {self.queue.name} ({self.error}): it exists with other arguments, or "
            "another program owns it; it is used as it is; delete it when it is empty, and it is made anew"
        )


class Surveyor:
    """Declares and counts over one connection, with spare channels for the next question."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._spare: list[Channel] = []
        self._turns = asyncio.Semaphore(MAX_CHANNELS)

    async def declare_exchanges(self, exchanges: Iterable[Exchange]) -> None:
        """Raises ChannelLostError, ConnectionLostError."""
        await self._ask(*(declare_exchange(exchange) for exchange in exchanges))

    async def declare(self, queues: Iterable[Queue]) -> dict[str, Problem | None]:
        """Declare all that can be; give what is wrong with each, by name. Raises ConnectionLostError.

        Each has its own channel, so that a queue that nobody answers for delays none of the others.
        """
        wanted = with_graves(queues)
        told = await asyncio.gather(*map(self._declare, wanted.values()), return_exceptions=True)
        problems: dict[str, Problem | None] = {}
        for name, problem in zip(wanted, told, strict=True):
            if isinstance(problem, BaseException):
                raise problem
            problems[name] = problem
        return problems

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
        for channel in self._spare:
            channel.end(ChannelLostError(CLOSED_HERE, "no more questions"))

    async def _declare(self, queue: Queue) -> Problem | None:
        try:
            await self._ask(*_declarations(queue, is_guest=self.connection.is_guest))
        except ChannelLostError as error:
            return Problem(queue, error)
        return None

    async def _ask(self, *questions: Frame) -> None:
        if not questions:
            return
        async with self._channel() as channel:
            await channel.rpc(*questions)

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[Channel]:
        """Lend a channel; whatever goes wrong costs that channel and nothing else."""
        async with self._turns:
            channel = self._spare.pop() if self._spare else await self.connection.channel(Channel)
            try:
                yield channel
            except BaseException:
                channel.end(ChannelLostError(CLOSED_HERE, "something went wrong on it"))
                raise
            if channel.is_open:
                self._spare.append(channel)


def _unbind(queue: Queue) -> Frame:
    return commands.Queue.Unbind(queue=queue.name, exchange=queue.bound_to.name, routing_key=queue.key, arguments={})


def _is_unused(found: commands.Queue.DeclareOk | None) -> bool:
    return found is not None and not found.message_count and not found.consumer_count
