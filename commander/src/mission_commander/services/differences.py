"""Where ledger and memory part ways: a lost race, a purged mission, or a ledger that was wiped or rolled back."""

from collections.abc import Mapping, Sequence

from mission_commander.domain import life
from mission_commander.domain.life import Moment
from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.record import Mission
from mission_commander.domain.retention import Retention
from mission_commander.domain.standing import lifted, stands_against
from mission_commander.ports import Ledger
from mission_contracts import mission as m

Found = dict[m.MissionId, Mission | None]


class Differences:
    """Of one commit: what the ledger has of missions that memory knows better, or knows with a higher sequence.

    The next try is decided on the record that stands, and writes it, whatever the decision was.
    """

    def __init__(self, ledger: Ledger, memory: MissionMemory) -> None:
        self._ledger = ledger
        self._memory = memory
        self._held: Found = {}
        self._lacking: list[m.MissionId] = []

    def clear(self) -> None:
        self._held.clear()
        self._lacking.clear()

    def note(self, mission_id: m.MissionId, current: Mission | None) -> None:
        """A commit met this record instead of the one that was expected."""
        self._held.pop(mission_id, None)
        known, retention = self._memory.get(mission_id), self._memory.retention
        if known is None:
            if current is not None:
                self._memory.apply(current)
        elif current is None:
            self._held[mission_id] = None
            self._lacking.append(mission_id)
        elif stands_against(current, known, retention) and (
            current.sequence >= known.sequence or retention.is_earlier_life(known, current)
        ):
            self._memory.apply(current)
        else:
            self._held[mission_id] = current

    async def settle(self, now: float) -> None:
        """Forget what was purged while this Commander did not listen: only the rest was lost."""
        if not self._lacking:
            return
        for mission_id in await purged_of(self._ledger, self._memory, self._lacking, now):
            self._memory.forget(mission_id)
            self._held.pop(mission_id, None)
        self._lacking.clear()

    def show_loss(self, era: m.Era) -> bool:
        """Tell whether the ledger lacks what was written in this very era; older records are being restored."""
        known = (self._memory.get(mission_id) for mission_id in self._held)
        return any(one is not None and m.era_of(one.sequence) >= era for one in known)

    # For the next try.

    def actual(self, mission_id: m.MissionId, found: Mission | None) -> Mission | None:
        """What the ledger really has, where that is not what memory has."""
        return self._held.get(mission_id, found)

    def base(self, mission_id: m.MissionId, found: Mission | None, moment: Moment) -> Mission | None:
        """What decisions build on: the record that stands."""
        if mission_id not in self._held:
            return found
        known, payload = self._memory.get(mission_id), self._memory.payload(mission_id)
        return reconciled(known, self._held[mission_id], moment, self._memory.retention, payload=payload)

    def corrected(self, found: Mapping[m.MissionId, Mission | None]) -> Found:
        """`actual`, of all that was found."""
        return {i: self.actual(i, one) for i, one in found.items()} if self._held else dict(found)

    def bases(self, found: Mapping[m.MissionId, Mission | None], moment: Moment) -> Found:
        """`base`, of all that was found."""
        return {i: self.base(i, one, moment) for i, one in found.items()} if self._held else dict(found)

    def payloads(self) -> dict[m.MissionId, bytes]:
        """What the ledger may lack beside the records."""
        found = ((mission_id, self._memory.payload(mission_id)) for mission_id in self._held)
        return {mission_id: payload for mission_id, payload in found if payload}


async def purged_of(
    ledger: Ledger, memory: MissionMemory, lacking: Sequence[m.MissionId], now: float
) -> Sequence[m.MissionId]:
    """Of missions that memory has and the ledger lacks: those whose retention is over, or that have a tombstone of
    their own, and not of an earlier life. Raises LedgerAwayError."""
    tombstones = await ledger.purged(lacking)
    return [
        known.id
        for known in map(memory.get, lacking)
        if known is not None
        and (memory.retention.is_over(known, now) or _is_for(known, tombstones.get(known.id), memory.retention))
    ]


def _is_for(known: Mission, ended_at: float | None, retention: Retention) -> bool:
    return ended_at is not None and not retention.separates(ended_at, known.envelope.accepted_at)


def reconciled(
    known: Mission | None, current: Mission | None, moment: Moment, retention: Retention, *, payload: bytes | None
) -> Mission | None:
    """What the ledger must have of an id, of which memory has one record and the ledger another, or none."""
    if known is None:
        return current
    if current is None:
        return _with_payload(known, moment, payload)
    if stands_against(current, known, retention):
        return lifted(current, known, moment)
    if retention.is_earlier_life(current, known):  # and so is the payload that the ledger has
        known = _with_payload(known, moment, payload)
    return lifted(known, current, moment)


def _with_payload(known: Mission, moment: Moment, payload: bytes | None) -> Mission:
    is_lost = not payload and not known.is_final and not known.payload_lost
    return life.lose_payload(known, moment) if is_lost else known
