"""Forgetting final missions when their retention is over; a tombstone stays for what may still come late."""

import asyncio
from typing import Final

import structlog

from mission_commander.ports import Ledger, LedgerAwayError
from mission_contracts.clock import Clock

LOOK_SECONDS: Final = 30.0
BATCH: Final = 1_000


class Purger:
    """Removes old records from the ledger, and lanes that nobody has used for long."""

    def __init__(self, ledger: Ledger, clock: Clock, *, retention_seconds: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._retention_seconds = retention_seconds
        self._log = structlog.get_logger("purger")

    async def run(self) -> None:
        """Purge until cancelled."""
        while True:
            if max(await self._purge(), await self._purge_lanes()) < BATCH:
                await asyncio.sleep(LOOK_SECONDS)

    async def _purge(self) -> int:
        try:
            return await self._ledger.purge(self._clock.now() - self._retention_seconds, BATCH)
        except LedgerAwayError:
            self._log.warning("could not purge old missions; trying again soon")
            return 0

    async def _purge_lanes(self) -> int:
        try:
            return await self._ledger.purge_lanes(self._clock.now(), BATCH)
        except LedgerAwayError:
            return 0
