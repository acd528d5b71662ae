"""How the Commander's own parts are: asked once a second, told at /health and /readyz."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from mission_broker.port import Broker
from mission_commander.ports import Durability, Ledger, LedgerAwayError
from mission_commander.services.admission import full_sentence
from mission_commander.services.headroom import Room
from mission_contracts.clock import Clock
from mission_contracts.rest import Health

LOOK_SECONDS: Final = 1.0
NEWLY_BACK_SECONDS: Final = 5.0
"""How long after its return the ledger may lack what was accepted without it."""
OK: Final = "ok"
AWAY: Final = "away"
FULL: Final = "full"
"""It takes no new missions; whatever it has goes on."""
TROUBLED: Final = "troubled"
"""It is there, and something of it is not as it should be: `detail` says what."""


class Vitals:
    """Keeps the last known state of ledger and broker."""

    def __init__(
        self,
        ledger: Ledger,
        broker: Broker,
        clock: Clock,
        silent_queues: Callable[[], Sequence[str]],
        room: Callable[[], Room],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._back_since: float | None = None
        self._broker = broker
        self._silent_queues = silent_queues
        self._room = room
        self._ledger_state = "not asked yet"
        self._why_away = ""
        self._durability = Durability(is_strong=False, why_weak="not asked yet")
        self._log = structlog.get_logger("vitals")

    @property
    def ledger_is_away(self) -> bool:
        return self._ledger_state != OK

    @property
    def ledger_is_newly_back(self) -> bool:
        back = self._back_since
        return back is not None and self._clock.monotonic() - back < NEWLY_BACK_SECONDS

    @property
    def is_ready(self) -> bool:
        """Something can be accepted: one of the two is there."""
        return not self.ledger_is_away or self._broker.away is None

    def health(self) -> Health:
        """ok: both parts are well; down: both are away; degraded: anything between."""
        away = self._broker.away
        troubles = self._troubles_of_broker()
        broker = away.value if away is not None else (TROUBLED if troubles else OK)
        room = self._room()
        is_full = room.is_full and not self.ledger_is_away
        parts = {"ledger": FULL if is_full else self._ledger_state, "broker": broker}
        is_down = self.ledger_is_away and away is not None
        detail = {} if self._durability.is_strong else {"why_weak": self._durability.why_weak}
        if self._why_away:
            detail["ledger"] = self._why_away
        elif is_full:
            detail["ledger"] = full_sentence(room)
        if troubles:
            detail["broker"] = "; ".join(troubles)
        return Health(
            status="down" if is_down else "ok" if set(parts.values()) == {OK} else "degraded",
            parts=parts,
            durability="strong" if self._durability.is_strong else "weak",
            detail=detail,
        )

    def _troubles_of_broker(self) -> list[str]:
        silent = [
            f"RabbitMQ takes no orders for {queue}: they wait. One that never took an order is made anew; any "
            "other is left to you, for it comes back with its nodes: if they are lost, delete it, and its orders are "
            "published again"
            for queue in self._silent_queues()
        ]
        return [*self._broker.troubles.values(), *silent]

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Ask once. A ledger that can be read, and takes no change, is away too."""
        try:
            durability = await self._ledger.durability()
            await self._ledger.touch()
        except LedgerAwayError as error:
            self._change(AWAY, str(error))
            return
        if durability != self._durability and not durability.is_strong:
            self._log.warning("accepted missions may be lost in a crash of the ledger", why=durability.why_weak)
        self._durability = durability
        self._change(OK, "")

    def _change(self, state: str, why: str) -> None:
        if state != self._ledger_state:
            self._log.info("the ledger's state changed", state=state, why=why)
            self._why_away = why
            if self._ledger_state == AWAY:
                self._back_since = self._clock.monotonic()
        self._ledger_state = state
