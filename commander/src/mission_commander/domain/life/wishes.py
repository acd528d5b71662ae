"""What people and their objects ask: cancel, suspend, resume, and the note that the object shows the end."""

import msgspec

from mission_commander.domain.life import moves
from mission_commander.domain.life.moves import Moment
from mission_commander.domain.life.placing import OPEN_FIELD, Surroundings, place
from mission_commander.domain.record import Mission, Phase
from mission_contracts.mission import MissionId, Reason


def cancel(mission: Mission, moment: Moment, *, deleted: bool = False, message: str = "") -> Mission | None:
    """Cancel: at once while nobody runs it, else as a request to its soldier."""
    if mission.is_final:
        return None
    if mission.phase is Phase.CLAIMED:
        return None if mission.cancel_requested_at is not None else _ask_to_stop(mission, moment)
    reason = Reason.DELETED if deleted else Reason.CANCELLED
    return moves.finish(mission, moment, reason, message or "cancelled before it ran")


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
    # Who waited a second for a handler has no time of its own to keep.
    due_at = None if mission.reason is Reason.NO_HANDLER else mission.due_at
    held = msgspec.structs.replace(mission, suspended=True, due_at=due_at)
    return place(held, moment, OPEN_FIELD, waiting_for=Reason.SUSPENDED)


def resume(mission: Mission, moment: Moment, around: Surroundings) -> Mission | None:
    """Let it go on. What waits for its start time or a retry keeps that time."""
    if mission.is_final or not mission.suspended:
        return None
    free = msgspec.structs.replace(mission, suspended=False)
    if mission.phase is Phase.CLAIMED:
        return moves.move(free, moment)
    failed = _last_failure(mission)
    reason = Reason.SCHEDULED if failed is None else Reason.RETRY_BACKOFF
    return place(free, moment, around, waiting_for=reason, message=failed or "")


def _last_failure(mission: Mission) -> str | None:
    """Why its last attempt failed; None when there was none, so that a time it waits for is its start time."""
    last = mission.attempts[-1] if mission.attempts else None
    return f"attempt {last.number} failed: {last.message}" if last and last.failure else None


def retried(mission: Mission, retry: MissionId, moment: Moment) -> Mission | None:
    """Note which mission tries the same again; a dead letter is one no longer."""
    if not mission.is_final or mission.retried_as == retry:
        return None
    return moves.move(mission, moment, retried_as=retry, dead_letter=False)


def acknowledge(mission: Mission, moment: Moment) -> Mission | None:
    """Note that its object shows the final state, or is gone."""
    if not mission.is_final or mission.acknowledged:
        return None
    return moves.move(mission, moment, acknowledged=True)
