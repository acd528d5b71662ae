"""Orders that the broker gave up on by its own count: nobody ran them, so they are handed out anew, uncharged."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import structlog

from mission_broker.port import Broker, Delivery
from mission_broker.rejecting import Rejects
from mission_commander.domain import life
from mission_commander.domain.life import Moment
from mission_commander.domain.record import Mission
from mission_commander.ports import LedgerAwayError
from mission_commander.services import rebuilding
from mission_commander.services.counts import Counts
from mission_commander.services.eras import Eras
from mission_commander.services.proofs import Proofs, Way
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_commander.services.tombstones import Tombstones
from mission_contracts import messages, metrics, telemetry, topology
from mission_contracts import mission as m
from mission_contracts.errors import Defect, UnreadableMessageError

PREFETCH: Final = 100
RETRY_SECONDS: Final = 0.2
GIVE_WAY_SECONDS: Final = 2.0
"""How long this Commander keeps an order that it cannot hand out: another one may have the ledger all the while."""


class Undelivered:
    """Consumes `missions.dead`."""

    def __init__(
        self,
        recorder: Recorder,
        broker: Broker,
        tombstones: Tombstones,
        eras: Eras,
        rejects: Rejects,
        proofs: Proofs,
        counts: Counts,
    ) -> None:
        self._recorder = recorder
        self._eras = eras
        self._broker = broker
        self._tombstones = tombstones
        self._rejects = rejects
        self._proofs = proofs
        self._counts = counts
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
            self._rejects.keep(delivery, topology.DEAD, error.defect, str(error))
            return
        if not self._can_be(order):
            why = f"it names an era that cannot be ({order.era}, epoch {order.epoch}): no Commander sent it"
            self._rejects.keep(delivery, topology.DEAD, Defect.UNUSABLE, why)
            return
        self._eras.saw(order.era, by=topology.DEAD.name)
        self._counts.add(metrics.UNDELIVERED)
        self._log.warning("an order came back undelivered", **{telemetry.MISSION_ID: order.envelope.mission_id})
        gives_way_at = time.monotonic() + GIVE_WAY_SECONDS
        while delivery.is_alive:
            try:
                why = await self._hand_out_anew(order)
            except LedgerAwayError:
                if time.monotonic() > gives_way_at:
                    delivery.give_back()
                    return
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._let_go(delivery, why)
                return

    def _can_be(self, order: messages.Order) -> bool:
        return self._eras.believes(max(order.era, m.era_of(order.epoch)))

    async def _hand_out_anew(self, order: messages.Order) -> str:
        """Hand it out again, or return why that cannot be. Raises LedgerAwayError while that cannot be known."""
        [known] = await self._recorder.decide_each([self._return(order)])
        if known is not False:
            return _cannot(known)
        envelope = order.envelope
        if await self._tombstones.was_purged(envelope.mission_id, envelope.accepted_at):
            return ""
        if not self._proofs.accept_order(order, Way.DEAD_LETTER):
            return "the ledger lacks its mission, and it bears no valid seal of this installation"
        self._wait_for_holders(order)
        [defect] = await self._recorder.decide_each([_rebuild(order)])
        return _cannot(defect)

    def _wait_for_holders(self, order: messages.Order) -> None:
        """The ledger lacks it: whoever may be running a later hand-out has a lease to say so."""
        era = self._recorder.era
        if m.era_of(order.epoch) >= era:
            self._eras.suspect(era, by=topology.DEAD.name)
        elif self._eras.is_settled:
            return
        raise LedgerAwayError("the ledger has lost this mission, and its holder may still tell of it")

    def _let_go(self, delivery: Delivery, why: str) -> None:
        if why:
            self._rejects.keep(delivery, topology.DEAD, Defect.UNUSABLE, why)
        else:
            delivery.ack()

    def _return(self, order: messages.Order) -> Command[bool]:
        """Answers whether the ledger knows the mission."""
        envelope = order.envelope
        known = self._recorder.known(envelope.mission_id)
        is_proven = self._proofs.is_sealed(order)

        def decide(mission: Mission | None, moment: Moment) -> Decision[bool]:
            if mission is None:
                return Decision(False)
            is_ahead = is_proven and order.epoch > mission.epoch and not mission.is_final
            moved = life.return_undelivered(mission, order.epoch, moment)
            return Decision(True, moved, shows_loss=is_ahead and m.era_of(order.epoch) >= moment.era)

        is_ahead = known is not None and known.epoch < order.epoch
        return Command(envelope.mission_id, decide, fresh=is_ahead, accepted_at=envelope.accepted_at)


def _cannot(defect: object) -> str:
    return f"it cannot be handed out again: {defect!r}" if isinstance(defect, BaseException) else ""


def _rebuild(order: messages.Order) -> Command[None]:
    """The order is the only copy of its mission."""

    def decide(mission: Mission | None, moment: Moment) -> Decision[None]:
        if mission is not None:
            return Decision(None)
        rebuilt = rebuilding.from_order(order, moment)
        moved = life.return_undelivered(rebuilt, order.epoch, moment)
        return Decision(None, moved, bytes(order.payload), rebuilds=True)

    envelope = order.envelope
    return Command(envelope.mission_id, decide, weight=len(bytes(order.payload)), accepted_at=envelope.accepted_at)
