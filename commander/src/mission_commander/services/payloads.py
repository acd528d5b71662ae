"""The payloads of missions that wait, in every replica's memory: what others accepted can be restored too.

An order in the broker, or in a soldier's hands, carries its payload and outlives the ledger's data. A mission that
waits (for its time, its turn, a pool, a next attempt) is in the ledger and in memory alone; its acceptor may be gone
when the ledger is wiped. So each replica reads what it lacks, in the background and many at once, for as long as its
budget has room: what exceeds that is restored without its payload, and waits for an order or a submission to bring it.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

from mission_commander.domain.memory import MissionMemory
from mission_commander.ports import Ledger, LedgerAwayError
from mission_contracts.mission import MissionId

LOOK_SECONDS: Final = 1.0
"""Most missions wait for less: of those nothing is read."""
BATCH: Final = 100
BATCH_BYTES: Final = 4 * 1024 * 1024


class Payloads:
    """Reads the payloads that memory lacks."""

    def __init__(self, ledger: Ledger, memory: MissionMemory) -> None:
        self._ledger = ledger
        self._memory = memory

    async def run(self) -> None:
        """Look until cancelled."""
        with suppress(LedgerAwayError):
            await self.read_orders()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except LedgerAwayError:
                continue  # what it has stays there, or is lost already

    async def read_orders(self) -> None:
        """Read, at the start, what missions that are out lack too, while there is room: an order may not have arrived
        in the broker yet. Raises LedgerAwayError."""
        await self.look()
        lacking = (one.id for one in self._memory.live() if self._memory.payload(one.id) is None)
        while self._memory.has_free_room and (ids := list(islice(lacking, BATCH))):
            while ids:
                ids = ids[await self._read(ids) :]

    async def look(self) -> None:
        """Read what is lacking now. Raises LedgerAwayError."""
        while ids := self._memory.bare(BATCH):
            await self._read(ids)

    async def _read(self, ids: Sequence[MissionId]) -> int:
        """Read the first ones, as many as fit into one answer; return how many."""
        found = await self._ledger.payloads(ids, within_bytes=BATCH_BYTES)
        for mission_id, payload in zip(ids, found, strict=False):
            self._memory.keep_payload(mission_id, payload)
        return len(found)
