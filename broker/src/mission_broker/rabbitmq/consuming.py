"""A subscription that outlives channels and connections: what arrives together is handed over together."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Never

from pamqp import commands

from mission_broker.port import OnDeliveries, checked_prefetch
from mission_broker.rabbitmq import frames
from mission_broker.rabbitmq.acknowledgements import Acknowledgements
from mission_broker.rabbitmq.backoff import Backoff
from mission_broker.rabbitmq.channel import CLOSED_HERE, UNANSWERED, Channel, ChannelLostError
from mission_broker.rabbitmq.connection import Connection
from mission_broker.rabbitmq.link import Link
from mission_broker.rabbitmq.tap import ConnectionLostError, Tap
from mission_broker.rabbitmq.troubles import Deed, Troubles
from mission_contracts.messages import MAX_MESSAGE_BYTES
from mission_contracts.topology import Queue

log = logging.getLogger(__name__)

SILENT_SECONDS: Final = 5.0
"""A consumer that has room and hears nothing for so long looks whether something waits in its queue."""
MAX_BODY_BYTES: Final = MAX_MESSAGE_BYTES + 1
"""What is kept of a body: enough to see that it is too large. A broker takes messages of 16 or 128 MiB."""
SILENT_LOOKS: Final = 2
"""So many such looks in a row, and it is deaf."""

Prepare = Callable[[Connection, Queue], Awaitable[object]]
Count = Callable[[Connection, Queue], Awaitable[int | None]]


class RabbitDelivery:
    """A message in a consumer's hands."""

    __slots__ = ("_channel", "_is_settled", "_properties", "_round", "body", "redelivered", "size", "tag")

    def __init__(
        self, channel: "ConsumeChannel", tag: int, redelivered: bool, properties: bytes, body: bytes, size: int
    ) -> None:
        self._channel = channel
        self._round = channel.round
        self._properties = properties
        self._is_settled = False
        self.tag = tag
        self.redelivered = redelivered
        self.body = body
        self.size = size

    @property
    def headers(self) -> Mapping[str, str]:
        return frames.read_headers(self._properties)  # read when asked for: most are not

    @property
    def is_alive(self) -> bool:
        return self._channel.is_open

    def forget_body(self) -> None:
        self.body = b""

    def ack(self) -> None:
        if self._settles():
            self._channel.words().ack(self.tag)

    def give_back(self) -> None:
        if self._settles():
            self._channel.words().give_back(self.tag)

    def dead_letter(self) -> None:
        if self._settles():
            self._channel.words().dead_letter(self.tag)

    def _settles(self) -> bool:
        if self._is_settled or not self._channel.is_open:
            return False
        self._is_settled = True
        self._channel.settled(self._round)
        return True


class ConsumeChannel(Channel):
    """A channel on which one queue is consumed.

    To take more there is one consumer more, with the difference as its prefetch; to take less, all of them end and a
    new round begins. What was delivered in earlier rounds is in nobody's prefetch any more, and is counted here.
    """

    def __init__(self, tap: Tap, number: int, *, rpc_timeout_seconds: float) -> None:
        super().__init__(tap, number, rpc_timeout_seconds=rpc_timeout_seconds)
        self.on_deliveries: OnDeliveries = _nobody
        self.on_room: Callable[[], None] = _do_nothing
        """Called when something of an earlier round is settled."""
        self.is_consuming = False
        """The broker does what is wanted of it."""
        self.credit = 0
        """The prefetch of this round's consumers together, as the broker confirmed it."""
        self.round = 0
        self.arrived = 0
        """Deliveries so far."""
        self.unsettled = 0
        """Deliveries that nobody said a word on yet."""
        self._earlier = 0
        """Those of them that came in earlier rounds."""
        self._tags: list[str] = []
        self._consumers = 0
        self._tag = 0
        self._redelivered = False
        self._properties = b""
        self._missing = 0
        self._size = 0
        self._room = 0
        self._parts: list[bytes] = []
        self._arrived: list[RabbitDelivery] = []
        self._words = Acknowledgements(number)
        self._words_are_due = False

    @property
    def most(self) -> int:
        """How many deliveries can be held by and by."""
        return self.credit + self._earlier

    @property
    def has_room(self) -> bool:
        """More could be delivered now."""
        return self.unsettled < self.most

    async def consume(self, queue: Queue, more: int) -> None:
        # A new tag each time: under its old one a consumer of a quorum queue keeps its old prefetch.
        self._consumers += 1
        tag = f"{self.number}.{self._consumers}"
        self._tags.append(tag)
        await self.rpc(
            commands.Basic.Qos(prefetch_count=more),
            commands.Basic.Consume(queue=queue.name, consumer_tag=tag, arguments={}),
        )
        self.credit += more

    async def cancel(self) -> None:
        """Take no more; what was delivered before can still be settled."""
        self.credit, tags, self._tags = 0, self._tags, []
        await self.rpc(*(commands.Basic.Cancel(consumer_tag=tag) for tag in tags))
        self.round += 1
        self._earlier = self.unsettled
        self._hand_over()

    def settled(self, delivered_in: int) -> None:
        """A word was said on a delivery."""
        self.unsettled -= 1
        if delivered_in != self.round:
            self._earlier -= 1
            self.on_room()

    def words(self) -> Acknowledgements:
        """Where to note a word on a delivery; all of one turn of the event loop leave together."""
        if not self._words_are_due:
            self._words_are_due = True
            self._loop.call_soon(self._speak)
        return self._words

    # What the tap calls

    def method(self, index: int, data: bytes, start: int, stop: int) -> None:
        if index == frames.BASIC_DELIVER:
            self._tag, self._redelivered = frames.read_deliver(data, start)
        elif index == frames.BASIC_CANCEL:
            # Whatever the reason (the queue is deleted, a consumer timeout): what was held here goes back or is gone.
            self.end(ChannelLostError(CLOSED_HERE, "the broker cancelled the consumer"))
        else:
            super().method(index, data, start, stop)

    def header(self, data: bytes, start: int, stop: int) -> None:
        self._properties = data[start + frames.PROPERTIES_AT : stop]
        self._missing = self._size = frames.read_body_size(data, start)
        self._room = MAX_BODY_BYTES
        if not self._missing:
            self._complete(b"")

    def body(self, data: bytes, start: int, stop: int) -> None:
        self._missing -= stop - start
        part = data[start : min(stop, start + self._room)]
        self._room -= len(part)
        if self._missing:
            self._parts.append(part)
        elif self._parts:
            parts, self._parts = [*self._parts, part], []
            self._complete(b"".join(parts))
        else:
            self._complete(part)

    # Inside

    def _complete(self, body: bytes) -> None:
        if self.reason is not None:
            return
        self.arrived += 1
        self.unsettled += 1
        if not self._arrived:
            self._loop.call_soon(self._hand_over)
        self._arrived.append(RabbitDelivery(self, self._tag, self._redelivered, self._properties, body, self._size))

    def _hand_over(self) -> None:
        arrived, self._arrived = self._arrived, []
        if not arrived or not self.is_open:
            return
        try:
            self.on_deliveries(arrived)
        except Exception:
            log.exception("a consumer raised: its batch of %d goes back", len(arrived))
            for delivery in arrived:
                delivery.give_back()

    def _speak(self) -> None:
        self._words_are_due = False
        if self.is_open:
            self._last_words()

    def _last_words(self) -> None:
        self._tap.write(self._words.drain())

    def _ended(self) -> None:
        self.is_consuming = False
        self.credit = 0
        self._arrived.clear()
        self._parts.clear()


class Subscription:
    """One consumer of one queue, kept alive over a link."""

    def __init__(
        self,
        link: Link,
        prepare: Prepare,
        count: Count,
        backoff: Backoff,
        troubles: Troubles,
        *,
        queue: Queue,
        on_deliveries: OnDeliveries,
        prefetch: int,
    ) -> None:
        self._link = link
        self._prepare = prepare
        self._count = count
        self._backoff = backoff
        self._troubles = troubles
        self._queue = queue
        self._on_deliveries = on_deliveries
        self._prefetch: int | None = checked_prefetch(prefetch)
        self._channel: ConsumeChannel | None = None
        self._changed = asyncio.Event()
        self._adjusting = asyncio.Lock()

    @property
    def is_consuming(self) -> bool:
        return self._channel is not None and self._channel.is_consuming

    def set_prefetch(self, count: int) -> None:
        if self._prefetch is not None:
            self._prefetch = max(0, count)
        self._changed.set()

    async def hold(self, count: int) -> None:
        self.set_prefetch(count)
        if self.is_consuming:  # else it is still to begin, with this
            await self._adjust_now()

    async def pause(self) -> None:
        self._prefetch = None
        await self._adjust_now()

    async def _adjust_now(self) -> None:
        if self._channel is None:
            return
        try:
            await self._adjust(self._channel)
        except (ChannelLostError, ConnectionLostError) as error:
            log.debug("%s was lost while it was adjusted: %s", self._queue.name, error)

    async def keep(self) -> Never:
        """Consume, and consume again, until cancelled."""
        while True:
            connection = await self._link.connected()
            since = asyncio.get_running_loop().time()
            try:
                await self._stay(connection)
            except ConnectionLostError:
                log.debug("the subscription to %s waits for its connection", self._queue.name)  # the link tells why
            except ChannelLostError as error:
                self._troubles.tell(self._queue.name, Deed.CONSUME, _what_is_wrong(self._queue, error))
            self._backoff.lasted(asyncio.get_running_loop().time() - since)
            await asyncio.sleep(self._backoff.next())

    async def close(self) -> None:
        """End it: what it holds goes back."""
        channel, self._on_deliveries = self._channel, _nobody
        if channel is None or not channel.is_open:
            return
        channel.on_deliveries = _nobody
        # Closing the channel would end the consumer too, but some time later: a queue would still look used.
        try:
            await self.pause()
        finally:
            channel.end(ChannelLostError(CLOSED_HERE, "closed by its user"))
        await channel.close()

    async def _stay(self, connection: Connection) -> None:
        channel = self._channel = await connection.channel(ConsumeChannel)
        channel.on_deliveries = self._on_deliveries
        channel.on_end = channel.on_room = self._changed.set
        try:
            await self._prepare(connection, self._queue)
            while channel.is_open:
                self._changed.clear()
                await self._adjust(channel)
                await self._hear(connection, channel)
        except Exception:
            channel.end(ChannelLostError(CLOSED_HERE, "the subscription starts anew"))
            raise
        raise channel.reason or AssertionError("a channel ends for a reason")

    async def _hear(self, connection: Connection, channel: ConsumeChannel) -> None:
        """Wait until something changes. Raises ChannelLostError when the consumer has gone deaf.

        RabbitMQ leaves one behind where a quorum queue is deleted and declared again within some 30 ms: it moves the
        consumer to the new queue instead of cancelling it, and then drops all that it should deliver.
        """
        silent_looks = 0
        while silent_looks < SILENT_LOOKS:
            arrived = channel.arrived
            if await self._changes():
                return
            is_silent = channel.arrived == arrived and await self._misses_something(connection, channel)
            silent_looks = silent_looks + 1 if is_silent else 0
        raise ChannelLostError(CLOSED_HERE, "messages wait in the queue, and none of them comes")

    async def _changes(self) -> bool:
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                return await self._changed.wait()
        except TimeoutError:
            return False

    async def _misses_something(self, connection: Connection, channel: ConsumeChannel) -> bool:
        # Those that stand by for a single active consumer hear nothing, and rightly so.
        if self._queue.single_active_consumer or not channel.credit or not channel.has_room:
            return False
        try:
            return bool(await self._count(connection, self._queue))
        except ChannelLostError:
            return False  # nobody answers for the queue now

    async def _adjust(self, channel: ConsumeChannel) -> None:
        """Make what the broker does for us what we want."""
        async with self._adjusting:
            wanted = self._prefetch
            channel.is_consuming = channel.is_consuming and wanted is not None
            if channel.credit and self._must_begin_anew(channel, wanted):
                await channel.cancel()
            if wanted is not None and (lacking := wanted - channel.most) > 0:
                await channel.consume(self._queue, lacking)
            if wanted is not None and channel.is_open and not channel.is_consuming:
                channel.is_consuming = True
                self._troubles.over(self._queue.name, Deed.CONSUME)

    def _must_begin_anew(self, channel: ConsumeChannel, wanted: int | None) -> bool:
        if wanted is None or channel.most > wanted:
            return True
        # Of several consumers of a queue with a single active one, only one would get anything.
        return self._queue.single_active_consumer and channel.most < wanted


def _what_is_wrong(queue: Queue, error: ChannelLostError) -> str:
    if error.code != UNANSWERED:
        return f"the subscription to {queue.name} is lost and made again: {error}"
    return (
        f"RabbitMQ does not answer for {queue.name} ({error.text}), so nothing comes out of it; it is tried again. If "
        "all nodes of RabbitMQ are up, a crash right after its declaration lost it: delete it, and it is made anew"
    )


def _do_nothing() -> None:
    """What happens on room before anybody wants it."""


def _nobody(_: object) -> None:
    """Take deliveries before anybody is there: none come before basic.consume."""
