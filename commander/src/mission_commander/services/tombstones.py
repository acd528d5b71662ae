"""Why the ledger lacks a mission: it was purged, and its work is done, or it was lost, and has to run."""

from collections.abc import Mapping

from mission_commander.ports import Ledger
from mission_contracts.clock import Clock
from mission_contracts.mission import MissionId


class Tombstones:
    """Looks at what purging left behind."""

    def __init__(self, ledger: Ledger, clock: Clock, *, retention_seconds: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._retention_seconds = retention_seconds

    async def was_purged(self, mission_id: MissionId, accepted_at: float) -> bool:
        """Tell about a mission that the ledger lacks. Raises LedgerAwayError."""
        return mission_id in await self.purged({mission_id: accepted_at})

    async def purged(self, lacking: Mapping[MissionId, float]) -> frozenset[MissionId]:
        """Give those of the missions that the ledger lacks, by when each was accepted. Raises LedgerAwayError."""
        horizon = self._clock.now() - self._retention_seconds
        old = frozenset(mission_id for mission_id, accepted_at in lacking.items() if accepted_at < horizon)
        return old | await self._ledger.purged([mission_id for mission_id in lacking if mission_id not in old])
