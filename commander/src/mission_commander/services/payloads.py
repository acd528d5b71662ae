"""The payloads of missions that wait, in every replica's memory: what others accepted can be restored too.

An order in the broker, or in a soldier's hands, carries its payload and outlives the ledger's data. A mission that
waits (for its time, its turn, a pool, a next attempt) is in the ledger and in memory alone; its acceptor may be gone
when the ledger is wiped. So each replica reads what it lacks, in the background and many at once.
"""

import asyncio
from typing import Final

from mission_commander.domain.memory import MissionMemory
from mission_commander.ports import Ledger, LedgerAwayError

LOOK_SECONDS: Final = 1.0
"""Most missions wait for less: of those nothing is read."""
BATCH: Final = 100
"""At most 25 MiB in one answer, as a payload has at most 256 KiB."""


class Payloads:
    """Reads the payloads that memory lacks."""

    def __init__(self, ledger: Ledger, memory: MissionMemory) -> None:
        self._ledger = ledger
        self._memory = memory

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except LedgerAwayError:
                continue  # what it has stays there, or is lost already

    async def look(self) -> None:
        """Read what is lacking now. Raises LedgerAwayError."""
        while ids := self._memory.bare(BATCH):
            for mission_id, payload in zip(ids, await self._ledger.payloads(ids), strict=True):
                self._memory.keep_payload(mission_id, payload)
