"""Lanes as the in-memory ledger keeps them: compared by version, forgotten when nobody stands in them for long."""

import math

from mission_commander.domain.lane import Lane, LaneChange, LaneKey, LaneRecord, Place
from mission_contracts.mission import MissionId


class LaneShelf:
    """Each lane's record, and who stands where."""

    def __init__(self) -> None:
        self._records: dict[LaneKey, LaneRecord] = {}
        self._places: dict[LaneKey, dict[Place, MissionId]] = {}

    def read(self, key: LaneKey) -> Lane | None:
        record = self._records.get(key)
        return None if record is None else Lane(key, record, self._places[key])

    def fits(self, change: LaneChange) -> bool:
        record = self._records.get(change.key)
        return change.expected == (0 if record is None else record.version)

    def write(self, change: LaneChange) -> None:
        places = {} if change.whole else self._places.get(change.key, {})
        for place, mission_id in change.entries.items():
            if mission_id is None:
                places.pop(place, None)
            else:
                places[place] = mission_id
        self._records[change.key] = change.record
        self._places[change.key] = places

    def longest_first(self) -> list[LaneKey]:
        """Those in use, then those that are remembered longest."""
        return sorted(self._records, key=self._rank, reverse=True)

    def purge(self, now: float, limit: int) -> int:
        old = [key for key, record in self._records.items() if _end(record) < now]
        doomed = sorted(old, key=self._rank)[:limit]
        for key in doomed:
            del self._records[key], self._places[key]
        return len(doomed)

    def _rank(self, key: LaneKey) -> tuple[float, bytes]:
        return _end(self._records[key]), key.name.encode()


def _end(record: LaneRecord) -> float:
    return math.inf if record.expires_at is None else record.expires_at
