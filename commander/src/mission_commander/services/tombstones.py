"""Why the ledger lacks a mission: it was purged, and its work is done, or it was lost, and has to run."""

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
        is_old = accepted_at < self._clock.now() - self._retention_seconds
        return is_old or await self._ledger.is_purged(mission_id)
