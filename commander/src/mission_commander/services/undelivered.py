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
from mission_commander.services import rebuilding
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_commander.services.rejecting import Rejects
from mission_commander.services.tombstones import Tombstones
from mission_contracts import messages, telemetry, topology
from mission_contracts.errors import UnreadableMessageError

PREFETCH: Final = 100
RETRY_SECONDS: Final = 0.2


class Undelivered:
    """Consumes `missions.dead`."""

    def __init__(self, recorder: Recorder, broker: Broker, tombstones: Tombstones, rejects: Rejects) -> None:
        self._recorder = recorder
        self._broker = broker
        self._tombstones = tombstones
        self._rejects = rejects
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
            await self._rejects.keep(delivery, topology.DEAD, str(error))
            return
        self._log.warning("an order came back undelivered", **{telemetry.MISSION_ID: order.envelope.mission_id})
        while delivery.is_alive:
            try:
                [defect] = await self._recorder.decide_each([_return(order, is_lost=await self._is_lost(order))])
            except LedgerAwayError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await self._let_go(delivery, defect)
                return

    async def _is_lost(self, order: messages.Order) -> bool:
        """Tell whether the mission would have to run if the ledger did not know it."""
        envelope = order.envelope
        return not await self._tombstones.was_purged(envelope.mission_id, envelope.accepted_at)

    async def _let_go(self, delivery: Delivery, defect: BaseException | None) -> None:
        if defect is None:
            delivery.ack()
        else:
            await self._rejects.keep(delivery, topology.DEAD, f"it cannot be handed out anew: {defect!r}")


def _return(order: messages.Order, *, is_lost: bool) -> Command[None]:
    def decide(mission: Mission | None, moment: Moment) -> Decision[None]:
        if mission is not None:
            return Decision(None, life.return_undelivered(mission, order.epoch, moment))
        if not is_lost:
            return Decision(None)
        # The ledger was wiped: this order is the only copy of its mission.
        rebuilt = rebuilding.from_order(order, moment)
        return Decision(None, life.return_undelivered(rebuilt, order.epoch, moment), bytes(order.payload))

    return Command(order.envelope.mission_id, decide)
