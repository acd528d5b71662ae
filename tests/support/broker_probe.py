"""What broker tests share: a consumer that remembers, and bounded waits that say what was missing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from mission_broker.port import Broker, Consumer, Delivery, Message
from mission_contracts.topology import Exchange, Queue

EXCHANGE = Exchange("probe")
PATIENCE_SECONDS = 15.0


def a_queue(
    name: str = "work",
    *,
    delivery_limit: int = 50,
    dead_letters_to: Queue | None = None,
    single_active_consumer: bool = False,
) -> Queue:
    return Queue(
        name=f"probe.{name}",
        bound_to=EXCHANGE,
        key=f"probe.{name}",
        delivery_limit=delivery_limit,
        dead_letters_to=dead_letters_to,
        single_active_consumer=single_active_consumer,
    )


def to(queue: Queue, body: str | bytes, **headers: str) -> Message:
    content = body.encode() if isinstance(body, str) else body
    return Message(exchange=queue.bound_to, key=queue.key, body=content, headers=headers)


def several(queue: Queue, count: int) -> list[Message]:
    return [to(queue, f"{number}") for number in range(count)]


async def eventually(condition: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until the condition holds; fail with what was waited for."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - any condition, also one that nothing signals
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {what}") from None


async def ready_becomes(broker: Broker, queue: Queue, expected: int | None, seconds: float = PATIENCE_SECONDS) -> None:
    seen: int | None = None
    try:
        async with asyncio.timeout(seconds):
            while (seen := await broker.ready_count(queue)) != expected:  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{queue.name} holds {seen} ready messages, expected {expected}") from None


class Inbox:
    """A consumer's callback that keeps what arrives, in order."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.batches = 0

    def __call__(self, deliveries: Sequence[Delivery]) -> None:
        self.batches += 1
        self.deliveries.extend(deliveries)

    @property
    def bodies(self) -> list[str]:
        return [delivery.body.decode() for delivery in self.deliveries]

    async def holds(self, count: int) -> list[Delivery]:
        await eventually(lambda: len(self.deliveries) >= count, f"{count} deliveries, {len(self.deliveries)} came")
        return self.deliveries

    async def one(self) -> Delivery:
        return (await self.holds(1))[0]

    def forget(self) -> list[Delivery]:
        """Start anew; gives what was there."""
        deliveries, self.deliveries = self.deliveries, []
        return deliveries


class AckingInbox(Inbox):
    """Keeps what arrives, and acknowledges it at once."""

    def __call__(self, deliveries: Sequence[Delivery]) -> None:
        super().__call__(deliveries)
        for delivery in deliveries:
            delivery.ack()


@asynccontextmanager
async def consuming(
    broker: Broker, queue: Queue, inbox: Inbox | None = None, *, prefetch: int = 100
) -> AsyncIterator[tuple[Inbox, Consumer]]:
    """Subscribe and wait until the broker confirmed it."""
    inbox = inbox or Inbox()
    async with broker.consume(queue, inbox, prefetch=prefetch) as consumer:
        await eventually(lambda: consumer.is_consuming, f"the subscription to {queue.name} is confirmed")
        yield inbox, consumer
