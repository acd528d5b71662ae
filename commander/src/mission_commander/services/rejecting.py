"""Messages that cannot be used are kept in `missions.rejected`, with the reason, where a person can find them."""

import asyncio
from typing import Final

import structlog

from mission_broker.port import Broker, Delivery, Message, Outcome
from mission_commander.services.counts import Counts
from mission_contracts import metrics
from mission_contracts.metrics import Rejected
from mission_contracts.topology import REJECTED, Queue

RETRY_SECONDS: Final = 0.2
LONGEST_REASON: Final = 200


class Rejects:
    """Moves a delivery there; it stays in its own queue until that is confirmed."""

    def __init__(self, broker: Broker, counts: Counts) -> None:
        self._broker = broker
        self._counts = counts
        self._log = structlog.get_logger("rejects")

    async def keep(self, delivery: Delivery, came_by: Queue, why: str, *, cause: Rejected = Rejected.MALFORMED) -> None:
        """Publish it again, then acknowledge it; another Commander does so if its channel ends meanwhile."""
        self._log.error("a message cannot be used; it is kept in missions.rejected", queue=came_by.name, why=why)
        # Header values travel as short strings: no line breaks, no endless text.
        reason = " ".join(why.split())[:LONGEST_REASON]
        message = Message(
            exchange=REJECTED.bound_to,
            key=REJECTED.key,
            body=delivery.body,
            headers={"reason": reason, "queue": came_by.name},
        )
        while delivery.is_alive:
            if (await self._broker.publish([message]))[0] is Outcome.CONFIRMED:
                delivery.ack()
                self._counts.add(metrics.REJECTED, came_by.name, cause.value)
                return
            await asyncio.sleep(RETRY_SECONDS)
