"""A subscription that outlives channels and connections, with a prefetch that counts everything it holds.

A quorum queue fixes the prefetch of a consumer when it subscribes. To take more, another consumer subscribes on the
same channel with the difference; to take less, all of them are cancelled and a new round begins
(docs/decisions/0018).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final, Never

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue

from mission_broker.aiopika.link import Link
from mission_broker.aiopika.topology import LOST
from mission_broker.port import OnDeliveries, checked_prefetch
from mission_broker.rabbitmq.backoff import Backoff
from mission_broker.rabbitmq.troubles import Deed, Troubles
from mission_contracts.topology import Queue

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_SECONDS: Final = 3.0

Prepare = Callable[[AbstractConnection, Queue], Awaitable[None]]


class AioPikaDelivery:
    """A message that a consumer holds."""

    __slots__ = ("_is_settled", "_message", "_round", "_session", "body", "size")

    def __init__(self, session: "Session", message: AbstractIncomingMessage) -> None:
        self._session = session
        self._message = message
        self._round = session.round
        self._is_settled = False
        self.body = message.body
        self.size = len(message.body)

    @property
    def headers(self) -> Mapping[str, str]:
        return {name: text for name, value in self._message.headers.items() if (text := _as_text(value)) is not None}

    @property
    def redelivered(self) -> bool:
        return bool(self._message.redelivered)

    @property
    def is_alive(self) -> bool:
        return self._session.is_open

    def forget_body(self) -> None:
        self.body = self._message.body = b""  # type: ignore[misc]  # its abstract class does not name the slot

    def ack(self) -> None:
        self._settle(self._message.ack)

    def give_back(self) -> None:
        self._settle(lambda: self._message.nack(requeue=True))

    def dead_letter(self) -> None:
        self._settle(lambda: self._message.reject(requeue=False))

    def _settle(self, how: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if not self._is_settled and self._session.is_open:
            self._is_settled = True
            self._session.settle(self._round, how)


class Session:
    """One channel of a subscription: its consumers, and what they hold."""

    def __init__(self, channel: AbstractChannel, queue: AbstractQueue, on_deliveries: OnDeliveries) -> None:
        self._channel = channel
        self._queue = queue
        self._on_deliveries = on_deliveries
        self._tags: list[str] = []
        self._arrived: list[AioPikaDelivery] = []
        self._settling: set[asyncio.Task[None]] = set()
        self._unsettled = 0
        self._earlier = 0
        """Unsettled deliveries of earlier rounds: no consumer's prefetch counts them."""
        self.round = 0
        self.credit = 0
        """The prefetch of this round's consumers together."""
        self.is_open = True
        self.has_changed = asyncio.Event()
        """The channel ended, or there is room for more."""

    @property
    def most(self) -> int:
        """How many deliveries it may come to hold."""
        return self.credit + self._earlier

    async def add_consumer(self, prefetch: int) -> None:
        await self._channel.set_qos(prefetch_count=prefetch)
        self._tags.append(await self._queue.consume(self._on_message))
        self.credit += prefetch

    async def begin_round(self) -> None:
        """Cancel all consumers. What they delivered stays, and can still be settled."""
        tags, self._tags = self._tags, []
        for tag in tags:
            await self._queue.cancel(tag)
        self.round += 1
        self.credit, self._earlier = 0, self._unsettled

    def settle(self, in_round: int, how: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._unsettled -= 1
        if in_round != self.round:
            self._earlier -= 1
            self.has_changed.set()
        task = asyncio.create_task(_quietly(how))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    def end(self) -> None:
        self.is_open = False
        self.has_changed.set()

    async def close(self) -> None:
        if self._settling:
            await asyncio.wait(tuple(self._settling), timeout=CLOSE_TIMEOUT_SECONDS)
        self.end()
        with suppress(*LOST):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._channel.close()

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        """Collect what arrives in one turn of the event loop: it is passed on together."""
        if not self._arrived:
            asyncio.get_running_loop().call_soon(self._pass_on)
        self._unsettled += 1
        self._arrived.append(AioPikaDelivery(self, message))

    def _pass_on(self) -> None:
        deliveries, self._arrived = self._arrived, []
        try:
            self._on_deliveries(deliveries)
        except Exception:
            log.exception("a consumer failed; its messages are delivered again")
            self.end()


class Subscription:
    """Keeps consuming one queue."""

    def __init__(
        self,
        link: Link,
        prepare: Prepare,
        backoff: Backoff,
        troubles: Troubles,
        *,
        queue: Queue,
        on_deliveries: OnDeliveries,
        prefetch: int,
    ) -> None:
        self._link = link
        self._prepare = prepare
        self._backoff = backoff
        self._troubles = troubles
        self._queue = queue
        self._on_deliveries = on_deliveries
        self._wanted: int | None = checked_prefetch(prefetch)
        """None while paused."""
        self._session: Session | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._is_adjusted = False

    @property
    def is_consuming(self) -> bool:
        return self._is_adjusted and self._session is not None and self._session.is_open

    def set_prefetch(self, count: int) -> None:
        if self._wanted is not None and count != self._wanted:
            self._wanted = count
            self._wake()

    async def hold(self, count: int) -> None:
        self.set_prefetch(count)
        await self._applied()

    async def pause(self) -> None:
        self._wanted = None
        self._is_adjusted = False
        self._wake()
        await self._applied()

    async def keep(self) -> Never:
        """Consume until cancelled."""
        while True:
            connection = await self._link.connected()
            since = asyncio.get_running_loop().time()
            try:
                await self._stay(connection)
            except LOST as error:
                self._troubles.tell(
                    self._queue.name, Deed.CONSUME, f"lost the subscription to {self._queue.name}: {error!r}"
                )
            self._backoff.lasted(asyncio.get_running_loop().time() - since)
            await asyncio.sleep(self._backoff.next())

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _stay(self, connection: AbstractConnection) -> None:
        await self._prepare(connection, self._queue)
        channel = await connection.channel(publisher_confirms=False)
        queue = await channel.get_queue(self._queue.name, ensure=False)
        session = self._session = Session(channel, queue, self._on_deliveries)
        channel.close_callbacks.add(lambda *_: session.end())
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(lambda *_: session.end())
        try:
            while session.is_open:
                session.has_changed.clear()
                await self._adjust(session)
                if session.is_open:
                    await session.has_changed.wait()
        finally:
            # Not its `close`: a task that is cancelled cannot await it, and the subscription's own `close` follows.
            session.end()
            self._is_adjusted = False
            self._release()
        await session.close()

    async def _adjust(self, session: Session) -> None:
        """Have the consumers that bring what may be held to what is wanted."""
        wanted = self._wanted
        if session.credit and (wanted is None or self._must_begin_again(session, wanted)):
            await session.begin_round()
        if wanted is not None and (lacking := wanted - session.most) > 0:
            await session.add_consumer(lacking)
        if wanted == self._wanted:
            self._is_adjusted = wanted is not None
            self._troubles.over(self._queue.name, Deed.CONSUME)
            self._release()
        else:
            session.has_changed.set()

    def _must_begin_again(self, session: Session, wanted: int) -> bool:
        # Of several consumers of a queue with a single active one, only one would receive anything.
        return session.most > wanted or (self._queue.single_active_consumer and session.most < wanted)

    async def _applied(self) -> None:
        """Wait until the consumers are as wanted, or there is no channel to adjust."""
        if self._session is None or not self._session.is_open:
            return
        applied: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(applied)
        self._wake()
        await applied

    def _wake(self) -> None:
        if self._session is not None:
            self._session.has_changed.set()

    def _release(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)


async def _quietly(settle: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A settlement that dies with its channel is no error: the broker delivers the message again."""
    with suppress(*LOST):
        await settle()


def _as_text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value) if isinstance(value, int | float) else None
