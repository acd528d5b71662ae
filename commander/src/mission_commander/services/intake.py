"""What a consumer holds and has not settled yet, bounded in bytes: the broker counts messages alone.

What exceeds the bound goes back to its queue at once, and so does all that follows it, so that the order stays. Then
nothing more is taken until half of what is held is settled, and as many messages as fit at the size of the largest
recent one.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from mission_broker.port import Consumer, Delivery

MAX_BYTES: Final = 32 * 1024 * 1024
MAX_BATCH: Final = 100
"""Messages, not reports, that are applied in one commit."""
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
"""Of one batch, unless a single message has more: decoded, they take some times as much."""
RECENT: Final = 200


class Intake:
    """Between a subscription and whoever settles its deliveries in batches."""

    def __init__(self, prefetch: int, *, max_bytes: int = MAX_BYTES) -> None:
        self._max_prefetch = self.prefetch = prefetch
        self._max_bytes = max_bytes
        self._waiting: deque[Delivery] = deque()
        self._sizes: deque[int] = deque(maxlen=RECENT)
        self._wanted = asyncio.Event()
        self._is_shedding = False
        self.held_bytes = 0
        """Of all messages that are not settled yet."""

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Keep what arrived, or give it back where too much is here."""
        for delivery in deliveries:
            size = len(delivery.body)
            self._sizes.append(size)
            self._is_shedding |= bool(self.held_bytes) and self.held_bytes + size > self._max_bytes
            if self._is_shedding:
                delivery.give_back()
            else:
                self._waiting.append(delivery)
                self.held_bytes += size
        self._wanted.set()

    async def next_batch(self, consumer: Consumer) -> Sequence[Delivery]:
        """Wait for the next messages to settle; `settled` is called with them."""
        await self._wanted.wait()
        if self._is_shedding:
            await consumer.hold(0)
        batch: list[Delivery] = []
        room = MAX_BATCH_BYTES
        while self._waiting and len(batch) < MAX_BATCH and (not batch or len(self._waiting[0].body) <= room):
            batch.append(self._waiting.popleft())
            room -= len(batch[-1].body)
        if not self._waiting:
            self._wanted.clear()
        return batch

    def settled(self, consumer: Consumer, batch_bytes: int) -> None:
        """Make room, and take more again once there is enough of it."""
        self.held_bytes -= batch_bytes
        fitting = self._fitting()
        if self._is_shedding:
            if self.held_bytes > self._max_bytes // 2:
                return
            self._is_shedding = False
        elif fitting != self._max_prefetch or fitting == self.prefetch:
            return
        self.prefetch = fitting
        consumer.set_prefetch(fitting)

    def clear(self) -> None:
        """The subscription ended, and the broker delivers again what was here."""
        self._waiting.clear()
        self._wanted.clear()
        self._is_shedding = False
        self.held_bytes = 0

    def _fitting(self) -> int:
        """How many messages may be held if each is as large as the largest of the recent ones."""
        largest = max(self._sizes, default=0)
        return max(1, min(self._max_prefetch, self._max_bytes // max(1, largest)))


def size_of(deliveries: Iterable[Delivery]) -> int:
    """Return how many bytes the messages have together."""
    return sum(len(delivery.body) for delivery in deliveries)
