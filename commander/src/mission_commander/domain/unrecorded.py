"""Missions accepted while the ledger was away: the broker has them, and the ledger will once it is back.

They are kept apart from the memory, which never leads the ledger: decisions are made on recorded missions only.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.record import Mission, Phase
from mission_contracts.messages import Acceptance
from mission_contracts.mission import NUMBERS_PER_ERA, Epoch, MissionId, Sequence

MOST_UNRECORDED: Final = 100_000
"""Records in one Commander's memory, without their payloads: some 200 MB."""

_MESSAGE: Final = "accepted while the ledger is away: it is handed out once the ledger is back"


def as_accepted(acceptance: Acceptance) -> Mission:
    """Show a mission that has no record yet; its sequence lies below that of its first record."""
    floor = acceptance.floor
    return Mission(
        envelope=acceptance.envelope,
        sequence=Sequence(max(acceptance.era * NUMBERS_PER_ERA, floor.sequence if floor else 0)),
        epoch=Epoch(floor.epoch if floor else 0),
        attempt=floor.attempt if floor else 0,
        phase=Phase.WAITING,
        message=_MESSAGE,
    )


class Unrecorded:
    """What this Commander accepted by way of the broker, until it hears of the record."""

    def __init__(self, memory: MissionMemory, *, most: int = MOST_UNRECORDED) -> None:
        self._missions: dict[MissionId, Mission] = {}
        self._of: Counter[str] = Counter()
        self._most = most
        self._retention = memory.retention
        memory.listen(self._note_record)

    def get(self, mission_id: MissionId) -> Mission | None:
        return self._missions.get(mission_id)

    def all(self) -> Iterable[Mission]:
        return tuple(self._missions.values())

    def count_of(self, subject: str) -> int:
        """How many of them are one subject's."""
        return self._of[subject]

    def add(self, mission: Mission) -> None:
        if mission.id not in self._missions:
            self._of[mission.envelope.subject] += 1
        self._missions[mission.id] = mission

    def has_room(self, now: float) -> bool:
        """Tell whether one more may be accepted; what is past its deadline, and was never heard of, makes room."""
        if len(self._missions) >= self._most:
            self._missions = {i: one for i, one in self._missions.items() if one.envelope.deadline_at > now}
            self._of = Counter(one.envelope.subject for one in self._missions.values())
        return len(self._missions) < self._most

    def _note_record(self, mission: Mission) -> None:
        accepted = self._missions.get(mission.id)
        if accepted is not None and not self._retention.is_earlier_life(mission, accepted):
            del self._missions[mission.id]
            self._of[mission.envelope.subject] -= 1
