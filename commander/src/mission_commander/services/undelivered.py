"""Orders that the broker gave up on by its own count: nobody ran them, so they are handed out anew, uncharged."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from mission_broker.port import Broker, Delivery
from mission_commander.domain import life
from mission_commander.domain.life import Moment
from mission_commander.domain.record import Mission
from mission_commander.ports import LedgerAwayError
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_contracts import messages, telemetry, topology
from mission_contracts.errors import UnreadableMessageError

PREFETCH: Final = 100
RETRY_SECONDS: Final = 0.2


class Undelivered:
    """Consumes `missions.dead`."""

    def __init__(self, recorder: Recorder, broker: Broker) -> None:
        self._recorder = recorder
        self._broker = broker
        self._waiting: asyncio.Queue[Delivery] = asyncio.Queue()
        self._log = structlog.get_logger("undelivered")

    async def run(self) -> None:
        """Hand out anew until cancelled."""
        async with self._broker.consume(topology.DEAD, self._take, prefetch=PREFETCH):
            while True:
                await self._settle(await self._waiting.get())

    def _take(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._waiting.put_nowait(delivery)

    async def _settle(self, delivery: Delivery) -> None:
        try:
            order = messages.decode(delivery.body, messages.Order)
        except UnreadableMessageError as error:
            self._log.error("a dead order cannot be read; dropped, its mission is looked for", why=str(error))
            delivery.ack()
            return
        self._log.warning("an order came back undelivered", **{telemetry.MISSION_ID: order.envelope.mission_id})
        while delivery.is_alive:
            try:
                await self._recorder.decide(_return(order))
            except LedgerAwayError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                delivery.ack()
                return


def _return(order: messages.Order) -> Command[None]:
    def decide(mission: Mission | None, moment: Moment) -> Decision[None]:
        return Decision(None, life.return_undelivered(mission, order.epoch, moment) if mission else None)

    return Command(order.envelope.mission_id, decide)
