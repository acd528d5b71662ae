"""What both ledgers must agree on, decided once: which indexes hold a record, and which commits make no sense."""

from collections.abc import Sequence

import msgspec

from mission_commander.domain.lane import LaneChange
from mission_commander.domain.record import Mission
from mission_commander.domain.retention import purgeable_since
from mission_commander.ports import Change, EraChangedError, EventId, RolledBackError
from mission_contracts.mission import Era, MissionId

LIVE_BATCH = 500


class Indexes(msgspec.Struct, frozen=True):
    """Where a record can be found. A final mission is never live again, so each entry is written once or twice."""

    is_live: bool
    purgeable_since: float | None
    """When it finished, once nobody needs the record any more."""
    dead_since: float | None
    """When it gave up, while it is a dead letter."""


def indexes_of(mission: Mission) -> Indexes:
    """Derive a record's indexes from nothing but the record."""
    if not mission.is_final:
        return Indexes(is_live=True, purgeable_since=None, dead_since=None)
    finished_at = mission.envelope.accepted_at if mission.finished_at is None else mission.finished_at
    return Indexes(
        is_live=False,
        purgeable_since=purgeable_since(mission),
        dead_since=finished_at if mission.dead_letter else None,
    )


def check(changes: Sequence[Change]) -> None:
    """Refuse a commit that no correct caller makes: its answers could not be trusted."""
    seen: set[MissionId] = set()
    for change in changes:
        mission = change.mission
        if mission.id in seen:
            raise ValueError(f"mission {mission.id} is in one commit twice: put its second change in the next commit")
        if mission.sequence <= change.expected:
            raise ValueError(
                f"mission {mission.id} goes from sequence {change.expected} to {mission.sequence}: "
                "a change must raise it, or nobody could tell the two records apart"
            )
        seen.add(mission.id)


def other_era(in_force: object, wanted: Era) -> EraChangedError:
    """What a commit in another era than the one in force is answered with."""
    return EraChangedError(f"the ledger is in era {in_force}, not {wanted}: nothing was written; restore first")


def rolled_back(seen: EventId) -> RolledBackError:
    """What a commit by somebody who has seen more than the ledger knows is answered with."""
    return RolledBackError(f"the ledger does not know event {seen} any more: nothing was written; restore first")


def without_floor() -> RolledBackError:
    """What the first new mission in a ledger that an older version wrote is answered with."""
    return RolledBackError("the ledger does not know which numbers its purged missions showed: a new era has to begin")


def check_lanes(changes: Sequence[Change], lanes: Sequence[LaneChange]) -> None:
    """Refuse lanes that no correct caller commits: two at once, one that does not rise, one of absent missions."""
    there = {change.mission.id for change in changes}
    seen = set()
    for lane in lanes:
        if lane.key in seen:
            raise ValueError(f"lane {lane.key} is in one commit twice: make one change of the two")
        if lane.record.version <= lane.expected:
            raise ValueError(f"lane {lane.key} goes from version {lane.expected} to {lane.record.version}: raise it")
        if not there.issuperset(lane.missions):
            raise ValueError(f"lane {lane.key} stands or falls with missions that this commit does not change")
        seen.add(lane.key)
