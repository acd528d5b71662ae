"""Publishes with all confirms in flight together, on one confirm channel that is opened again when it is lost."""

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Never

import aio_pika
import aiormq
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import DeliveryError

from mission_broker.aiopika.link import Link
from mission_broker.aiopika.topology import LOST
from mission_broker.port import Message, Outcome
from mission_broker.rabbitmq.backoff import Backoff

log = logging.getLogger(__name__)

MAX_IN_FLIGHT: Final = 1_000
"""Messages of one publish without an answer: each is a task in aio-pika."""
CANNOT_ENCODE: Final = (ValueError, TypeError, struct.error)

Prepare = Callable[[AbstractConnection], Awaitable[None]]


class Publisher:
    """Keeps the channel, and knows which exchanges it has declared."""

    def __init__(self, link: Link, prepare: Prepare, backoff: Backoff, on_change: Callable[[], None]) -> None:
        self._link = link
        self._prepare = prepare
        self._backoff = backoff
        self._on_change = on_change
        self._channel: AbstractChannel | None = None
        self._exchanges: dict[str, AbstractExchange] = {}

    @property
    def is_ready(self) -> bool:
        return self._channel is not None and not self._channel.is_closed

    async def keep(self) -> Never:
        """Open the channel, and open it again, until cancelled."""
        while True:
            connection = await self._link.connected()
            try:
                await self._prepare(connection)
                self._exchanges = {}
                self._channel = await connection.channel(publisher_confirms=True, on_return_raises=False)
                self._on_change()
                await self._channel.closed()
            except LOST as error:
                log.warning("lost the channel for publishing; opening it again error=%r", error)
            self._channel = None
            await asyncio.sleep(self._backoff.next())

    async def publish(self, messages: Sequence[Message], timeout_seconds: float) -> Sequence[Outcome]:
        """Return one outcome for each message, in order."""
        channel = self._channel
        if channel is None or channel.is_closed or self._link.is_blocked:
            await asyncio.sleep(0)  # a caller that tries at once again must not starve what reconnects
            return [Outcome.UNKNOWN] * len(messages)
        try:
            await self._declare_exchanges(channel, messages)
        except LOST:
            return [Outcome.UNKNOWN] * len(messages)
        outcomes: list[Outcome] = []
        for start in range(0, len(messages), MAX_IN_FLIGHT):
            some = messages[start : start + MAX_IN_FLIGHT]
            outcomes += await asyncio.gather(*(self._publish(one, timeout_seconds) for one in some))
        return outcomes

    async def _declare_exchanges(self, channel: AbstractChannel, messages: Sequence[Message]) -> None:
        """Without it, an exchange that was never declared costs the channel, and every message in flight on it."""
        for exchange in {one.exchange.name: one.exchange for one in messages}.values():
            if exchange.name in self._exchanges:
                continue
            if self._link.is_restricted:
                found = await channel.get_exchange(exchange.name, ensure=False)
            else:
                found = await channel.declare_exchange(exchange.name, exchange.kind, durable=True)
            self._exchanges[exchange.name] = found

    async def _publish(self, message: Message, timeout_seconds: float) -> Outcome:
        wired = aio_pika.Message(
            message.body, headers=dict(message.headers), delivery_mode=aio_pika.DeliveryMode.PERSISTENT
        )
        exchange = self._exchanges[message.exchange.name]
        try:
            confirmation = await exchange.publish(wired, message.key, mandatory=True, timeout=timeout_seconds)
        except DeliveryError:
            return Outcome.REFUSED
        except CANNOT_ENCODE:
            log.error("cannot encode a message: its key or headers do not fit the wire key=%r", message.key[:64])  # noqa: TRY400 - the traceback says no more
            return Outcome.REFUSED
        except LOST:
            return Outcome.UNKNOWN
        return Outcome.UNROUTABLE if isinstance(confirmation, aiormq.abc.DeliveredMessage) else Outcome.CONFIRMED
