"""What Mission Control asks of a broker. RabbitMQ and the in-memory twin pass one conformance suite.

Everything is batched and nothing waits one message at a time: a publish is a list, a consumer gets what arrived
together, an acknowledgement is a note that travels with its neighbours.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol

import msgspec

from mission_contracts.topology import Exchange, Queue


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message to publish: always persistent, always mandatory."""

    exchange: Exchange
    key: str
    body: bytes
    headers: Mapping[str, str] = {}


class Outcome(StrEnum):
    """What became of one published message."""

    CONFIRMED = "confirmed"  # on disk at the broker, in at least one queue
    UNROUTABLE = "unroutable"  # no queue is bound to the key
    REFUSED = "refused"  # the broker said no (a queue is full, or is down), or the message fits no frame
    UNKNOWN = "unknown"  # the connection ended first: it may be there or not; publish it again


class Away(StrEnum):
    """Why the broker takes nothing now."""

    DISCONNECTED = "disconnected"
    BLOCKED = "blocked"  # connected, but the broker is short of memory or disk


class BrokerAwayError(Exception):
    """The broker cannot be reached, or takes nothing, now; it is being tried again."""


class Delivery(Protocol):
    """One message in a consumer's hands. It ends in exactly one of the three; a second word is ignored.

    A delivery's tag dies with its channel: the words are then dropped silently, and the broker delivers again.
    """

    @property
    def body(self) -> bytes: ...
    @property
    def size(self) -> int:
        """Bytes of the body as it was published; `body` has fewer where it is longer than any message may be."""
        ...

    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def redelivered(self) -> bool: ...
    @property
    def is_alive(self) -> bool:
        """False once its channel is gone: the broker will deliver it again, to somebody."""
        ...

    def forget_body(self) -> None:
        """Free what it says; it can still be settled."""

    def ack(self) -> None:
        """Done with it, for good."""

    def give_back(self) -> None:
        """Return it to the queue unharmed (basic.nack with requeue)."""

    def dead_letter(self) -> None:
        """Send it to where the queue's dead letters go (basic.reject without requeue)."""


OnDeliveries = Callable[[Sequence[Delivery]], None]
"""Called in the event loop with what arrived together; it must not block and must not raise."""


def checked_prefetch(count: int) -> int:
    """Give the count that a consumer begins with; ValueError for one that would mean "no bound" to a broker."""
    if count < 1:
        raise ValueError(f"prefetch {count} would mean no bound at all: give 1 or more, or pause the consumer")
    return count


class Consumer(Protocol):
    """A subscription that survives reconnects, cancellation by the broker, and closed channels."""

    def set_prefetch(self, count: int) -> None:
        """Change how many unacknowledged deliveries it may hold, those that it holds already included; takes effect
        soon, without losing any. With 0 it takes nothing until told otherwise, and counts as consuming."""

    async def hold(self, count: int) -> None:
        """The same, and return once the broker does so, or cannot be asked."""

    @property
    def is_consuming(self) -> bool:
        """True while the broker confirmed this subscription and has not ended it."""
        ...

    async def pause(self) -> None:
        """Take no more; deliveries already here stay here and can still be acknowledged."""


class Broker(Protocol):
    """One process's way to the broker."""

    @property
    def away(self) -> Away | None:
        """None while it is connected and takes messages."""
        ...

    @property
    def troubles(self) -> Mapping[str, str]:
        """What is wrong and tried again for ever: a sentence by queue, and by "" where it is not about one queue."""
        ...

    async def wait_connected(self, timeout_seconds: float) -> bool:
        """Wait until the broker can be used; False when the time is over."""
        ...

    async def declare(self, queues: Sequence[Queue]) -> None:
        """Make exchanges, queues and bindings exist, now and after each reconnect (idempotent).

        Raises BrokerAwayError when it is away; the queues are then declared at the reconnect. A queue that exists
        with other arguments stays as it is, and the log says so.
        """

    async def forget(self, queues: Sequence[Queue]) -> None:
        """Declare these no more; delete those that are empty and unused. When it is away they stay where they are."""

    async def publish(self, messages: Sequence[Message], timeout_seconds: float = 10) -> Sequence[Outcome]:
        """Publish all with their confirms in flight together; one outcome each, in order. Never raises for one
        message's sake; when the broker is away every outcome is UNKNOWN, at once."""
        ...

    def consume(
        self, queue: Queue, on_deliveries: OnDeliveries, *, prefetch: int
    ) -> AbstractAsyncContextManager[Consumer]:
        """Subscribe while the context is open. It need not be connected yet."""
        ...

    async def ready_count(self, queue: Queue) -> int | None:
        """How many messages wait in it (passive declare, on a channel of its own); None when it does not exist.

        Raises BrokerAwayError.
        """
        ...
