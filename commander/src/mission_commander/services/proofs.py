"""What soldiers return of an order is accepted only with the seal that a Commander put on it; the rest is counted."""

from enum import StrEnum
from typing import Final

import structlog

from mission_commander.services.counts import Counts
from mission_contracts import messages, metrics, telemetry
from mission_contracts.clock import Clock
from mission_contracts.envelope import Envelope
from mission_contracts.order_seals import OrderSeals

LOG_INTERVAL_SECONDS: Final = 60.0


class Way(StrEnum):
    """How content without a valid seal came in."""

    CLAIM = "claim"
    REPORT = "report"
    HEARTBEAT = "heartbeat"
    DEAD_LETTER = "dead_letter"


class Proofs:
    """Checks seals where the ledger has no record of its own to compare with."""

    def __init__(self, seals: OrderSeals, clock: Clock, counts: Counts) -> None:
        self._seals = seals
        self._clock = clock
        self._counts = counts
        self._logged_at = -LOG_INTERVAL_SECONDS
        self._log = structlog.get_logger("proofs")

    def is_sealed(self, order: messages.Order) -> bool:
        """The same as `accept_order`, for an order that is not refused if it is not."""
        return self._seals.prove(order)

    def accept_order(self, order: messages.Order, way: Way) -> bool:
        """Whether a Commander of this installation published this order, as it is."""
        return self._seals.prove(order) or self._refuse(order.envelope, way)

    def accept_envelope(self, envelope: Envelope, seal: str, way: Way) -> bool:
        """Whether a Commander of this installation accepted this mission, as its envelope says."""
        return self._seals.prove_envelope(envelope, seal) or self._refuse(envelope, way)

    def _refuse(self, envelope: Envelope, way: Way) -> bool:
        self._counts.add(metrics.UNPROVEN, way.value)
        now = self._clock.monotonic()
        if now - self._logged_at >= LOG_INTERVAL_SECONDS:
            self._logged_at = now
            fields = {telemetry.MISSION_ID: envelope.mission_id, "way": way.value}
            self._log.warning("ignoring a mission that the ledger lacks and whose seal is missing or wrong", **fields)
        return False
