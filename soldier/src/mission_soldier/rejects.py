"""Moves what cannot be decoded to `missions.rejected`, with the reason, so that nothing vanishes unread."""

import asyncio
from collections import deque
from typing import Final

import structlog

from mission_broker.port import Broker, Delivery, Message, Outcome
from mission_contracts import topology
from mission_soldier.backoff import Backoff

REASON_HEADER: Final = "reason"
MOST_REASON_CHARACTERS: Final = 512

log = structlog.get_logger(__name__)


class Rejects:
    """Each is published until confirmed, then acknowledged."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._rejected: deque[tuple[Delivery, str]] = deque()
        self._awake = asyncio.Event()

    def add(self, delivery: Delivery, reason: str) -> None:
        log.error("an order cannot be read and goes to missions.rejected", reason=reason)
        self._rejected.append((delivery, reason[:MOST_REASON_CHARACTERS]))
        self._awake.set()

    async def run(self) -> None:
        """Move until cancelled."""
        backoff = Backoff()
        while True:
            await self._awake.wait()
            self._awake.clear()
            while self._rejected:
                if await self._move_first():
                    backoff.reset()
                else:
                    await asyncio.sleep(backoff.next())

    async def _move_first(self) -> bool:
        delivery, reason = self._rejected[0]
        if not delivery.is_alive:
            self._rejected.popleft()  # the broker delivers it again
            return True
        queue = topology.REJECTED
        message = Message(
            exchange=queue.bound_to, key=queue.key, body=bytes(delivery.body), headers={REASON_HEADER: reason}
        )
        if list(await self._broker.publish([message])) != [Outcome.CONFIRMED]:
            return False
        self._rejected.popleft()
        delivery.ack()
        return True
