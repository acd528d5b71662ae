"""What becomes of an attempt that has ended: an entry in the mission's history, charged or not."""

import msgspec

from mission_commander.domain.life.moves import Moment
from mission_commander.domain.record import KEPT_ATTEMPTS, Attempt, Mission, Phase
from mission_contracts.mission import Failure, MissionState
from mission_contracts.rest import Floor


def close(mission: Mission, ended_at: float, failure: Failure | None, message: str) -> Mission:
    """Note how the open attempt ended."""
    attempt = Attempt(
        number=mission.attempt,
        epoch=mission.epoch,
        instance=mission.holder,
        started_at=mission.started_at or ended_at,
        ended_at=ended_at,
        failure=failure,
        message=message,
    )
    return msgspec.structs.replace(
        mission,
        attempts=(*mission.attempts, attempt)[-KEPT_ATTEMPTS:],
        # Whoever may have killed its process runs alone next, and again when it killed its child.
        solo=failure is Failure.PROCESS_DIED,
    )


def ended_at(mission: Mission, ran_seconds: float, moment: Moment) -> float:
    """The end as the soldier measured it, so that a report that waited in its queue tells no longer duration."""
    if mission.started_at is None:
        return moment.now
    return max(mission.started_at, min(moment.now, mission.started_at + ran_seconds))


def uncharge(mission: Mission) -> Mission:
    """Take back the open attempt: its end was no fault of the mission's."""
    return msgspec.structs.replace(mission, attempt=max(0, mission.attempt - 1))


def charged(mission: Mission) -> int:
    """How many attempts counted so far; one that still runs does not yet."""
    return max(0, mission.attempt - 1) if mission.phase is Phase.CLAIMED else mission.attempt


def charged_by(floor: Floor) -> int:
    """How many attempts counted by what an object shows."""
    return max(0, floor.attempt - 1) if floor.state is MissionState.IN_PROGRESS else floor.attempt
