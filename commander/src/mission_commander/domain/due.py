"""The due index: when each mission has to be looked at next. Delays live here, never in the broker."""

import heapq
from typing import Final

from mission_commander.domain.life import DEADLINE_GRACE_SECONDS
from mission_commander.domain.record import Mission, Phase
from mission_contracts.mission import MissionId, Reason

SLACK: Final = 1_024
"""Stale heap entries that are tolerated beside as many as there are live ones."""


def look_at(mission: Mission, cancel_deadline_seconds: float) -> float | None:
    """The next moment at which time alone may move a mission; None when it never does."""
    if mission.is_final:
        return None
    deadline = mission.envelope.deadline_at
    if mission.phase is Phase.CLAIMED:
        end = deadline + DEADLINE_GRACE_SECONDS
        asked = mission.cancel_requested_at
        return end if asked is None else min(end, asked + cancel_deadline_seconds)
    # One that was suspended while it ran still says why its attempt failed, until its backoff is over.
    is_held = mission.reason is Reason.SUSPENDED
    return deadline if mission.due_at is None or is_held else min(mission.due_at, deadline)


class DueIndex:
    """A heap of moments in which a mission's newest moment is the one that counts."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, MissionId]] = []
        self._armed: dict[MissionId, float] = {}

    def arm(self, mission_id: MissionId, at: float | None) -> None:
        """Set the moment of a mission, or clear it."""
        if at is None:
            self._armed.pop(mission_id, None)
        elif self._armed.get(mission_id) != at:
            self._armed[mission_id] = at
            heapq.heappush(self._heap, (at, mission_id))
        self._compact()

    def is_armed(self, mission_id: MissionId) -> bool:
        return mission_id in self._armed

    def next_time(self) -> float | None:
        self._drop_stale()
        return self._heap[0][0] if self._heap else None

    def pop(self, now: float, *, limit: int | None = None) -> list[MissionId]:
        """Take out the missions whose moment has come, earliest first: all, or the first ones."""
        due: list[MissionId] = []
        self._drop_stale()
        while self._heap and self._heap[0][0] <= now and len(due) != limit:
            _, mission_id = heapq.heappop(self._heap)
            del self._armed[mission_id]
            due.append(mission_id)
            self._drop_stale()
        return due

    def until(self, moment: float) -> list[MissionId]:
        """The missions whose moment comes by then, in no order. Costs no more than there are of them."""
        found: list[MissionId] = []
        unseen = [0] if self._heap else []
        while unseen:
            place = unseen.pop()
            at, mission_id = self._heap[place]
            if at > moment:
                continue  # and so are all below it
            if self._armed.get(mission_id) == at:
                found.append(mission_id)
            unseen.extend(below for below in (2 * place + 1, 2 * place + 2) if below < len(self._heap))
        return found

    def count(self, now: float) -> int:
        """How many have their moment behind them."""
        return sum(1 for at in self._armed.values() if at <= now)

    def __len__(self) -> int:
        return len(self._armed)

    def _drop_stale(self) -> None:
        while self._heap and self._armed.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)

    def _compact(self) -> None:
        """Missions end long before their deadlines: without this, a day's deadlines would pile up."""
        if len(self._heap) > 2 * len(self._armed) + SLACK:
            self._heap = [(at, mission_id) for mission_id, at in self._armed.items()]
            heapq.heapify(self._heap)
