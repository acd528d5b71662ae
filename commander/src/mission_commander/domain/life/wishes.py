"""What people and their objects ask: cancel, suspend, resume, and the note that the object shows the end."""

import msgspec

from mission_commander.domain.life import moves
from mission_commander.domain.life.moves import Moment
from mission_commander.domain.life.placing import OPEN_FIELD, Surroundings, place
from mission_commander.domain.record import Mission, Phase
from mission_contracts.mission import MissionState, Reason


def cancel(mission: Mission, moment: Moment, *, deleted: bool = False, message: str = "") -> Mission | None:
    """Cancel: at once while nobody runs it, else as a request to its soldier."""
    if mission.is_final:
        return None
    if mission.phase is Phase.CLAIMED:
        return None if mission.cancel_requested_at is not None else _ask_to_stop(mission, moment)
    reason = Reason.DELETED if deleted else Reason.CANCELLED
    return moves.finish(mission, moment, MissionState.CANCELLED, reason, message or "cancelled before it ran")


def _ask_to_stop(mission: Mission, moment: Moment) -> Mission:
    return moves.move(
        mission,
        moment,
        cancel_requested_at=moment.now,
        reason=Reason.CANCEL_REQUESTED,
        message="told to stop; waiting for its handler",
    )


def suspend(mission: Mission, moment: Moment) -> Mission | None:
    """Keep it from starting; one that runs goes on, only its retry would wait."""
    if mission.is_final or mission.suspended:
        return None
    if mission.phase is Phase.CLAIMED:
        return moves.move(mission, moment, suspended=True)
    held = msgspec.structs.replace(mission, suspended=True)
    return place(held, moment, OPEN_FIELD, waiting_for=Reason.SUSPENDED)


def resume(mission: Mission, moment: Moment, around: Surroundings) -> Mission | None:
    """Let it go on. What waits for its start time or a retry keeps that time."""
    if mission.is_final or not mission.suspended:
        return None
    free = msgspec.structs.replace(mission, suspended=False)
    if mission.phase is Phase.CLAIMED:
        return moves.move(free, moment)
    return place(free, moment, around, waiting_for=Reason.SCHEDULED)


def acknowledge(mission: Mission, moment: Moment) -> Mission | None:
    """Note that its object shows the final state, or is gone."""
    if not mission.is_final or mission.acknowledged:
        return None
    return msgspec.structs.replace(mission, acknowledged=True, sequence=moves.next_sequence(mission, moment))
