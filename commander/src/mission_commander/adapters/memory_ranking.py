"""Ids in the order of a number: the in-memory twin of a sorted set."""

from bisect import bisect_left, insort
from collections.abc import Sequence

from mission_contracts.mission import MissionId

Place = tuple[float, MissionId]


class Ranking:
    """Ids by score, ties by id. Most arrive in order, so an insertion is an append."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._scores: dict[MissionId, float] = {}

    def __len__(self) -> int:
        return len(self._scores)

    def put(self, mission_id: MissionId, score: float) -> None:
        self.drop(mission_id)
        self._scores[mission_id] = score
        insort(self._places, (score, mission_id))

    def drop(self, mission_id: MissionId) -> None:
        score = self._scores.pop(mission_id, None)
        if score is not None:
            del self._places[bisect_left(self._places, (score, mission_id))]

    def newest(self, limit: int, *, before: Place | None = None) -> Sequence[MissionId]:
        """Highest first, strictly below a place."""
        end = len(self._places) if before is None else bisect_left(self._places, before)
        return [mission_id for _, mission_id in reversed(self._places[max(0, end - limit) : end])]

    def below(self, score: float, limit: int) -> Sequence[MissionId]:
        """Lowest first, strictly below a score."""
        end = bisect_left(self._places, (score, MissionId("")))
        return [mission_id for _, mission_id in self._places[: min(end, limit)]]
