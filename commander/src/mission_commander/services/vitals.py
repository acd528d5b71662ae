"""How the Commander's own parts are: asked once a second, told at /health and /readyz."""

import asyncio
from typing import Final

import structlog

from mission_broker.port import Broker
from mission_commander.ports import Durability, Ledger, LedgerAwayError
from mission_contracts.rest import Health

LOOK_SECONDS: Final = 1.0
OK: Final = "ok"


class Vitals:
    """Keeps the last known state of ledger and broker."""

    def __init__(self, ledger: Ledger, broker: Broker) -> None:
        self._ledger = ledger
        self._broker = broker
        self._ledger_state = "not asked yet"
        self._durability = Durability(is_strong=False, why_weak="not asked yet")
        self._log = structlog.get_logger("vitals")

    @property
    def ledger_is_away(self) -> bool:
        return self._ledger_state != OK

    @property
    def is_ready(self) -> bool:
        """Something can be accepted: one of the two is there."""
        return not self.ledger_is_away or self._broker.away is None

    def health(self) -> Health:
        """ok: both parts are there; degraded: one is away; down: both are."""
        away = self._broker.away
        parts = {"ledger": self._ledger_state, "broker": OK if away is None else away.value}
        missing = sum(1 for state in parts.values() if state != OK)
        return Health(
            status=("ok", "degraded", "down")[missing],
            parts=parts,
            durability="strong" if self._durability.is_strong else "weak",
            detail={} if self._durability.is_strong else {"why_weak": self._durability.why_weak},
        )

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Ask once."""
        try:
            durability = await self._ledger.durability()
        except LedgerAwayError as error:
            self._change("away", str(error))
            return
        if durability != self._durability and not durability.is_strong:
            self._log.warning("accepted missions may be lost in a crash of the ledger", why=durability.why_weak)
        self._durability = durability
        self._change(OK, "")

    def _change(self, state: str, why: str) -> None:
        if state != self._ledger_state:
            self._log.info("the ledger's state changed", state=state, why=why)
        self._ledger_state = state
