"""How long a final mission keeps its id, and what follows from that: one id may name several missions, one at a time.

An idempotency key that is used again after its mission's retention begins a new mission under the same id: another
life. Everything that compares two records of one id asks here first whether they are of one life. Only their times
tell: the ledger, its copies and each Commander's memory may hold one life or the other.
"""

import math
from typing import Final

import msgspec

from mission_commander.domain.record import Mission
from mission_contracts.envelope import Door

MAX_CLOCK_SKEW_SECONDS: Final = 5.0
"""How far the clocks of two Commanders may differ: the ledger keeps a record for that much longer than asked."""


def needs_acknowledgement(mission: Mission) -> bool:
    """Whether a Mission object may still show an earlier state, and so needs the record."""
    return mission.envelope.door is Door.CLUSTER and not mission.acknowledged


def purgeable_since(mission: Mission) -> float | None:
    """When a mission's end was recorded, if nothing needs its record any more; None while something does.

    Not when its last attempt ended: a report may wait for longer than the retention, and until it is applied the
    mission is live for everybody. Its end would be gone before anybody could have seen it.
    """
    if not mission.is_final or needs_acknowledgement(mission):
        return None
    known = (mission.end_recorded_at, mission.finished_at, mission.envelope.accepted_at)
    return next(at for at in known if at is not None)


class Retention(msgspec.Struct, frozen=True):
    """How long records of final missions are kept. Pure: the same records give the same answer in every Commander."""

    seconds: float = math.inf

    def separates(self, ended_at: float, accepted_at: float) -> bool:
        """Whether a mission accepted then is another one than that of the same id which ended then."""
        return ended_at + self.seconds <= accepted_at

    def is_over(self, mission: Mission, at: float) -> bool:
        """Whether a mission is past its retention at a time: whatever is accepted under its id from then on is new."""
        ended_at = purgeable_since(mission)
        return ended_at is not None and self.separates(ended_at, at)

    def has_freed_id(self, mission: Mission, accepted_at: float) -> bool:
        """Whether what was accepted then under the id of a mission is another mission. An object's uid is used once."""
        return mission.is_final and mission.envelope.door is not Door.CLUSTER and self.is_over(mission, accepted_at)

    def is_earlier_life(self, other: Mission, record: Mission) -> bool:
        """Whether `other` ended, and was past its retention, before `record` of the same id was accepted."""
        return self.has_freed_id(other, record.envelope.accepted_at)


KEPT_FOR_GOOD: Final = Retention()
