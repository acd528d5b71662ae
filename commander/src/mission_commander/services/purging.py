"""Forgetting final missions when their retention is over; a tombstone stays for what may still come late.

Memory forgets first. From then on the ledger alone answers for such a mission, so all Commanders answer alike, however
long each of them has been there.
"""

import asyncio
from typing import Final

import structlog

from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.retention import MAX_CLOCK_SKEW_SECONDS
from mission_commander.ports import Ledger, LedgerAwayError
from mission_contracts.clock import Clock

LEDGER_INTERVAL_SECONDS: Final = 30.0
MEMORY_INTERVAL_SECONDS: Final = 1.0
BATCH: Final = 1_000


class Purger:
    """Removes old records from memory and ledger, and lanes that have been unused for long."""

    def __init__(self, ledger: Ledger, memory: MissionMemory, clock: Clock) -> None:
        self._ledger = ledger
        self._memory = memory
        self._clock = clock
        self._log = structlog.get_logger("purger")

    async def run(self) -> None:
        """Purge until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_memory_short())
            tasks.create_task(self._keep_ledger_short())

    async def _keep_memory_short(self) -> None:
        while True:
            self._memory.forget_ended(self._clock.now())
            await asyncio.sleep(MEMORY_INTERVAL_SECONDS)

    async def _keep_ledger_short(self) -> None:
        while True:
            if max(await self._purge(), await self._purge_lanes()) < BATCH:
                await asyncio.sleep(LEDGER_INTERVAL_SECONDS)

    async def _purge(self) -> int:
        kept_seconds = self._memory.retention.seconds + MAX_CLOCK_SKEW_SECONDS
        try:
            return await self._ledger.purge(self._clock.now() - kept_seconds, BATCH)
        except LedgerAwayError:
            self._log.warning("could not purge old missions; trying again soon")
            return 0

    async def _purge_lanes(self) -> int:
        try:
            return await self._ledger.purge_lanes(self._clock.now(), BATCH)
        except LedgerAwayError:
            return 0
