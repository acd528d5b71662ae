"""Publishes with all confirms in flight together: one write for many messages, one wake-up when all are answered."""

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, Never

from pamqp import commands

from mission_broker.port import Message, Outcome
from mission_broker.rabbitmq import frames
from mission_broker.rabbitmq.backoff import Backoff
from mission_broker.rabbitmq.channel import UNANSWERED, Channel, ChannelLostError
from mission_broker.rabbitmq.connection import Connection
from mission_broker.rabbitmq.link import Link
from mission_broker.rabbitmq.tap import ConnectionLostError, Tap
from mission_broker.rabbitmq.topology import declare_exchange

log = logging.getLogger(__name__)

CHUNK_MESSAGES: Final = 256
CHUNK_BYTES: Final = 256 * 1024
MAX_IN_FLIGHT: Final = 16_384
"""Messages of one process without an answer. More would only wait in the broker's memory and in ours."""
MAX_REMEMBERED_KEYS: Final = 4_096
CANNOT_ENCODE: Final = (ValueError, TypeError, struct.error)

Prepare = Callable[[Connection], Awaitable[object]]


class Chunk:
    """Messages written together, with consecutive tags, and what the broker says of them."""

    __slots__ = ("answered", "first_tag", "outcomes", "waiting")

    def __init__(self, first_tag: int, count: int, answered: asyncio.Future[None]) -> None:
        self.first_tag = first_tag
        self.outcomes: list[Outcome | None] = [None] * count
        self.waiting = count
        self.answered = answered

    def settle(self, tag: int, outcome: Outcome) -> None:
        place = tag - self.first_tag
        # A return comes before the confirm of the same message, and is the better word.
        if self.outcomes[place] is None:
            self.outcomes[place] = outcome
        self.waiting -= 1
        if not self.waiting:
            self.release()

    def returned(self, tag: int) -> None:
        self.outcomes[tag - self.first_tag] = Outcome.UNROUTABLE

    def release(self) -> None:
        """Wake the publisher; what has no outcome by now is UNKNOWN."""
        if not self.answered.done():
            self.answered.set_result(None)


class Confirms:
    """Which tags are in flight, and in whose chunk. Each answer costs its own messages and no others."""

    def __init__(self) -> None:
        self._chunks: dict[int, Chunk] = {}
        self._lowest = 1
        self.last_tag = 0

    def __len__(self) -> int:
        return len(self._chunks)

    @property
    def oldest(self) -> Chunk:
        return next(iter(self._chunks.values()))

    def expect(self, chunk: Chunk) -> None:
        last = chunk.first_tag + len(chunk.outcomes) - 1
        self._chunks.update(dict.fromkeys(range(chunk.first_tag, last + 1), chunk))
        self.last_tag = last

    def settle(self, tag: int, *, multiple: bool, outcome: Outcome) -> None:
        if not multiple:
            self._settle_one(tag, outcome)
            return
        upto = tag or self.last_tag  # 0 stands for all
        for each in range(self._lowest, upto + 1):
            self._settle_one(each, outcome)
        self._lowest = max(self._lowest, upto + 1)

    def returned(self, tag: int) -> None:
        if (chunk := self._chunks.get(tag)) is not None:
            chunk.returned(tag)

    def release_all(self) -> None:
        chunks, self._chunks = set(self._chunks.values()), {}
        for chunk in chunks:
            chunk.release()

    def _settle_one(self, tag: int, outcome: Outcome) -> None:
        if (chunk := self._chunks.pop(tag, None)) is not None:
            chunk.settle(tag, outcome)


class ConfirmChannel(Channel):
    """A channel in confirm mode."""

    def __init__(self, tap: Tap, number: int, *, rpc_timeout_seconds: float) -> None:
        super().__init__(tap, number, rpc_timeout_seconds=rpc_timeout_seconds)
        self._confirms = Confirms()
        self._openings: dict[tuple[str, str], bytes] = {}
        self._exchanges: set[str] = set()
        self.may_declare = True
        """False for a guest: its exchanges are declared by others."""

    async def open(self) -> None:
        await self.rpc(commands.Channel.Open(), commands.Confirm.Select())

    async def publish(self, messages: Sequence[Message], timeout_seconds: float) -> list[Outcome]:
        """Publish all; what was not answered when the time is over, or the channel gone, is UNKNOWN."""
        chunks: list[Chunk] = []
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._write_all(messages, chunks)
                for chunk in chunks:
                    await asyncio.shield(chunk.answered)
        except TimeoutError:
            log.warning("the broker left a publish of %d unanswered for %s s", len(messages), timeout_seconds)
            self._start_over_if_full()
        outcomes = [outcome or Outcome.UNKNOWN for chunk in chunks for outcome in chunk.outcomes]
        return outcomes + [Outcome.UNKNOWN] * (len(messages) - len(outcomes))

    # What the tap calls

    def method(self, index: int, data: bytes, start: int, stop: int) -> None:
        if index == frames.BASIC_ACK:
            tag, multiple = frames.read_confirm(data, start)
            self._confirms.settle(tag, multiple=multiple, outcome=Outcome.CONFIRMED)
        elif index == frames.BASIC_NACK:
            tag, multiple = frames.read_confirm(data, start)
            self._confirms.settle(tag, multiple=multiple, outcome=Outcome.REFUSED)
        elif index != frames.BASIC_RETURN:  # its content header says which message it is
            super().method(index, data, start, stop)

    def header(self, data: bytes, start: int, stop: int) -> None:
        message_id = frames.read_message_id(data[start + frames.PROPERTIES_AT : stop])
        self._confirms.returned(int(message_id))

    # Inside

    def _start_over_if_full(self) -> None:
        # Messages to a queue that lost most of its members are never answered; they must not take all the room.
        if len(self._confirms) > MAX_IN_FLIGHT:
            self.end(ChannelLostError(UNANSWERED, f"{len(self._confirms)} messages wait for their confirms"))

    async def _write_all(self, messages: Sequence[Message], chunks: list[Chunk]) -> None:
        for some in _chunked(messages):
            while len(self._confirms) > MAX_IN_FLIGHT:
                await asyncio.shield(self._confirms.oldest.answered)
            await self._tap.writable()
            if not self.is_open or self._tap.is_blocked:
                return
            chunks.extend(self._write(some))

    def _write(self, messages: Sequence[Message]) -> list[Chunk]:
        first_tag = self._confirms.last_tag + 1
        # Encoded before anything is noted, so that a message that cannot be costs its neighbours nothing.
        try:
            written = b"".join(self._frames_of(messages, first_tag))
        except CANNOT_ENCODE:
            self._openings.clear()
            self._exchanges.clear()
            return self._write_apart(messages)
        chunk = Chunk(first_tag, len(messages), self._loop.create_future())
        self._confirms.expect(chunk)
        self._tap.write(written)
        return [chunk]

    def _write_apart(self, messages: Sequence[Message]) -> list[Chunk]:
        if len(messages) > 1:
            return [chunk for message in messages for chunk in self._write([message])]
        log.error("a message for %r cannot be encoded: its key or headers do not fit the wire", messages[0].key[:64])
        refused = Chunk(0, 1, self._loop.create_future())
        refused.settle(0, Outcome.REFUSED)
        return [refused]

    def _frames_of(self, messages: Sequence[Message], tag: int) -> Iterator[bytes]:
        openings, number, frame_max = self._openings, self.number, self._tap.frame_max
        for message in messages:
            yield openings.get((message.exchange.name, message.key)) or self._opening(message)
            yield frames.content(message, number, tag, frame_max)
            tag += 1

    def _opening(self, message: Message) -> bytes:
        """Give the bytes that open a publish; an exchange not met before on this channel is declared first."""
        if len(self._openings) >= MAX_REMEMBERED_KEYS:
            self._openings.clear()
        opening = frames.publish(message, self.number)
        self._openings[message.exchange.name, message.key] = opening
        if not self.may_declare or message.exchange.name in self._exchanges:
            return opening
        # Without it, an exchange that nobody declared costs the channel, and every message in flight on it.
        self._exchanges.add(message.exchange.name)
        return frames.method(declare_exchange(message.exchange, nowait=True), self.number) + opening

    def _ended(self) -> None:
        self._confirms.release_all()


class Publisher:
    """Keeps one confirm channel open over a link."""

    def __init__(self, link: Link, prepare: Prepare, backoff: Backoff, changed: Callable[[], None]) -> None:
        self._link = link
        self._prepare = prepare
        self._backoff = backoff
        self._changed = changed
        self._channel: ConfirmChannel | None = None

    @property
    def channel(self) -> ConfirmChannel | None:
        """Where to publish, unless it is lost."""
        channel = self._channel
        return channel if channel is not None and channel.is_open else None

    async def keep(self) -> Never:
        """Open the channel, and open it again, until cancelled."""
        while True:
            connection = await self._link.connected()
            since = self._loop_time()
            try:
                await self._stay(connection)
            except ConnectionLostError:
                log.debug("publishing waits for its connection")  # the link tells why
            except ChannelLostError as error:
                log.warning("the channel for publishing is lost and opened again: %s", error)
            self._backoff.lasted(self._loop_time() - since)
            await asyncio.sleep(self._backoff.next())

    async def _stay(self, connection: Connection) -> None:
        # First the queues: after a wipe of the broker nothing may be published that would find none.
        await self._prepare(connection)
        channel = self._channel = await connection.channel(ConfirmChannel)
        channel.may_declare = not connection.is_guest
        channel.on_end = self._changed
        self._changed()
        try:
            raise await asyncio.shield(channel.ended)
        finally:
            self._channel = None

    @staticmethod
    def _loop_time() -> float:
        return asyncio.get_running_loop().time()


def _chunked(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Cut a batch where it gets too long or too large for one write."""
    begin = size = 0
    for position, message in enumerate(messages):
        size += len(message.body)
        if position + 1 - begin >= CHUNK_MESSAGES or size >= CHUNK_BYTES:
            yield messages[begin : position + 1]
            begin, size = position + 1, 0
    if begin < len(messages):
        yield messages[begin:]
