"""Why the ledger lacks a mission: it was purged, and its work is done, or it was lost, and has to run."""

from collections.abc import Mapping

from mission_commander.domain.retention import Retention
from mission_commander.ports import Ledger
from mission_contracts.clock import Clock
from mission_contracts.mission import MissionId


class Tombstones:
    """Looks at what purging left behind."""

    def __init__(self, ledger: Ledger, clock: Clock, retention: Retention) -> None:
        self._ledger = ledger
        self._clock = clock
        self._retention = retention

    async def was_purged(self, mission_id: MissionId, accepted_at: float) -> bool:
        """Tell about a mission that the ledger lacks. Raises LedgerAwayError."""
        return mission_id in await self.purged({mission_id: accepted_at})

    async def purged(self, lacking: Mapping[MissionId, float]) -> frozenset[MissionId]:
        """Return those of the missions that the ledger lacks, by when each was accepted. Raises LedgerAwayError.

        A tombstone is that of the last mission of its id that was purged: one that was accepted later was lost.
        """
        horizon = self._clock.now() - self._retention.seconds
        old = frozenset(mission_id for mission_id, accepted_at in lacking.items() if accepted_at < horizon)
        return old | await self.marked({one: accepted_at for one, accepted_at in lacking.items() if one not in old})

    async def marked(self, lacking: Mapping[MissionId, float]) -> frozenset[MissionId]:
        """Return those for which a tombstone of their own stands, however old they are. Raises LedgerAwayError."""
        tombstones = await self._ledger.purged(list(lacking))
        return frozenset(
            one for one, ended_at in tombstones.items() if not self._retention.separates(ended_at, lacking[one])
        )
