"""What becomes of a mission when the ledger has lost something of it: its payload, a hand-out, or a claim."""

import msgspec

from mission_commander.domain.life import attempts, moves
from mission_commander.domain.life.moves import Moment
from mission_commander.domain.record import Mission, Phase
from mission_contracts.mission import Epoch, Instance, MissionState, Reason


def lose_payload(mission: Mission, moment: Moment) -> Mission:
    """Note that nobody here has its payload: it cannot be handed out until somebody brings it."""
    return moves.move(mission, moment, payload_lost=True)


def find_payload(mission: Mission, moment: Moment) -> Mission:
    """Somebody brought its payload back."""
    return moves.move(mission, moment, payload_lost=False)


def as_handed_out(mission: Mission, epoch: Epoch) -> Mission:
    """The record with the hand-out that somebody proves: the ledger was rolled back and has lost it."""
    return msgspec.structs.replace(
        mission,
        phase=Phase.OUT,
        state=MissionState.QUEUED,
        epoch=epoch,
        attempt=attempts.charged(mission),
        due_at=None,
        **moves.NO_CLAIM,
    )


def as_claimed(mission: Mission, epoch: Epoch, instance: Instance, *, since: float, attempt: int) -> Mission:
    """The record with the claim that its holder proves. Who was asked to stop still is."""
    asked = mission.cancel_requested_at is not None
    return msgspec.structs.replace(
        mission,
        phase=Phase.CLAIMED,
        state=MissionState.IN_PROGRESS,
        reason=Reason.CANCEL_REQUESTED if asked else Reason.RUNNING,
        message=mission.message if asked else "",
        epoch=epoch,
        attempt=attempt,
        holder=instance,
        claimed_at=since,
        started_at=since,
        progress=None,
        due_at=None,
    )


def prove_claim(mission: Mission, epoch: Epoch, instance: Instance, moment: Moment) -> Mission | None:
    """Take in a claim that its holder proves by its secret, and that the ledger has lost."""
    is_lost = epoch > mission.epoch or (epoch == mission.epoch and mission.phase is Phase.OUT)
    if mission.is_final or not is_lost:
        return None
    attempt = attempts.charged(mission) + 1
    return moves.move(as_claimed(mission, epoch, instance, since=moment.now, attempt=attempt), moment)
