"""May this instance run this epoch? The first claim spends it."""

from collections.abc import Sequence as SequenceOf
from typing import Final

import msgspec

from mission_commander.domain.life import moves
from mission_commander.domain.life.ends import past_deadline
from mission_commander.domain.life.losses import as_handed_out
from mission_commander.domain.life.moves import Moment
from mission_commander.domain.life.wishes import cancel
from mission_commander.domain.record import Mission, Phase
from mission_contracts.mission import Epoch, Instance, MissionState, Reason
from mission_contracts.soldiering import DropReason

NO_HANDLER_DELAY_SECONDS: Final = 1.0
NAMED_TYPES: Final = 10
"""How many of a pool's types the NoHandler message names."""


class Granted(msgspec.Struct, frozen=True):
    """RUN. `mission` is None when this repeats an answer that was lost."""

    mission: Mission | None
    attempt: int
    timeout_seconds: float
    solo: bool


class Dropped(msgspec.Struct, frozen=True):
    """DROP; `mission` is the next record where the claim itself changed something."""

    reason: DropReason
    mission: Mission | None = None


def claim(
    mission: Mission,
    epoch: Epoch,
    instance: Instance,
    moment: Moment,
    *,
    has_handler: bool,
    known_types: SequenceOf[str] = (),
) -> Granted | Dropped:
    """Decide whether an instance may run an epoch. `known_types` are what the pool's soldiers handle."""
    if useless := _why_useless(mission, epoch, instance):
        return Dropped(useless)
    if mission.phase is Phase.CLAIMED and epoch == mission.epoch:
        return Granted(None, mission.attempt, _attempt_seconds(mission, moment), mission.solo)
    if epoch > mission.epoch:
        mission = as_handed_out(mission, epoch)
    if mission.cancel_requested_at is not None:
        return Dropped(DropReason.CANCELLED, cancel(mission, moment))
    if moment.now >= mission.envelope.deadline_at:
        return Dropped(DropReason.PAST_DEADLINE, past_deadline(mission, moment))
    if not has_handler:
        return Dropped(DropReason.NO_HANDLER, _without_handler(mission, moment, known_types))
    claimed = moves.move(
        mission,
        moment,
        phase=Phase.CLAIMED,
        state=MissionState.IN_PROGRESS,
        reason=Reason.RUNNING,
        message="",
        attempt=mission.attempt + 1,
        holder=instance,
        claimed_at=moment.now,
        started_at=moment.now,
        progress=None,
        due_at=None,
    )
    return Granted(claimed, claimed.attempt, _attempt_seconds(claimed, moment), claimed.solo)


def _why_useless(mission: Mission, epoch: Epoch, instance: Instance) -> DropReason | None:
    if mission.is_final:
        return DropReason.CANCELLED if mission.state is MissionState.CANCELLED else DropReason.FINAL
    if epoch < mission.epoch:
        return DropReason.STALE
    if epoch > mission.epoch:
        return None
    if mission.phase is Phase.CLAIMED:
        return None if mission.holder == instance else DropReason.SPENT
    return DropReason.HELD if mission.phase is Phase.WAITING else None


def _without_handler(mission: Mission, moment: Moment, known_types: SequenceOf[str]) -> Mission:
    envelope = mission.envelope
    known = ", ".join(known_types[:NAMED_TYPES]) + (", …" if len(known_types) > NAMED_TYPES else "")
    message = (
        f'no soldier of pool "{envelope.pool}" handles type "{envelope.type}"; it handles {known or "nothing yet"}: '
        "correct the type, or deploy soldiers with a handler for it"
    )
    return moves.wait(mission, moment, Reason.NO_HANDLER, message, due_at=moment.now + NO_HANDLER_DELAY_SECONDS)


def _attempt_seconds(mission: Mission, moment: Moment) -> float:
    return max(0.001, min(mission.envelope.timeout_seconds, mission.envelope.deadline_at - moment.now))
