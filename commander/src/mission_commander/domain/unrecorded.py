"""Missions accepted while the ledger was away: the broker has them, and the ledger will once it is back.

They are kept apart from the memory, which never leads the ledger: decisions are made on recorded missions only.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.owners import ADMITTED_BYTES, Owner, owner_of
from mission_commander.domain.record import Mission, Phase
from mission_commander.domain.records import Records
from mission_contracts.messages import Acceptance
from mission_contracts.mission import NUMBERS_PER_ERA, Epoch, MissionId, Sequence

MOST_UNRECORDED: Final = 100_000
"""Records in one Commander's memory, packed and without their payloads: some 60 MB."""

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
        payload_bytes=len(bytes(acceptance.payload)),
    )


class Unrecorded:
    """What this Commander accepted by way of the broker, until it hears of the record."""

    def __init__(self, memory: MissionMemory, *, most: int = MOST_UNRECORDED) -> None:
        self._missions = Records(unpacked=0)
        self._of: Counter[str] = Counter()
        self._bytes_of: Counter[Owner] = Counter()
        self.bytes = 0
        """What the ledger will take for all of them."""
        self._most = most
        self._retention = memory.retention
        memory.listen(self._note_record)

    def get(self, mission_id: MissionId) -> Mission | None:
        return self._missions.get(mission_id)

    def all(self) -> Iterable[Mission]:
        return tuple(self._missions.all())

    def count_of(self, subject: str) -> int:
        """How many of them are one subject's."""
        return self._of[subject]

    def bytes_of(self, owner: Owner) -> int:
        """What the ledger will take for one owner's."""
        return self._bytes_of[owner]

    def add(self, mission: Mission) -> None:
        self._leave(mission.id)
        self._missions.put(mission)
        self._count(mission, 1)

    def has_room(self, now: float) -> bool:
        """Tell whether one more may be accepted; what is past its deadline, and was never heard of, makes room."""
        if len(self._missions) >= self._most:
            for mission in self.all():
                if mission.envelope.deadline_at <= now:
                    self._leave(mission.id)
        return len(self._missions) < self._most

    def _note_record(self, mission: Mission) -> None:
        accepted = self._missions.get(mission.id)
        if accepted is not None and not self._retention.is_earlier_life(mission, accepted):
            self._leave(mission.id)

    def _leave(self, mission_id: MissionId) -> None:
        mission = self._missions.pop(mission_id)
        if mission is not None:
            self._count(mission, -1)

    def _count(self, mission: Mission, sign: int) -> None:
        subject, owner = mission.envelope.subject, owner_of(mission.envelope)
        size = sign * (ADMITTED_BYTES + mission.payload_bytes)
        self.bytes += size
        for counter, key, change in ((self._of, subject, sign), (self._bytes_of, owner, size)):
            counter[key] += change
            if not counter[key]:
                del counter[key]
