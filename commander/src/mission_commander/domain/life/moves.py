"""The one way to move: whatever is decided about a mission becomes its next record here.

It raises the sequence and holds the transition table, so that no decision can let a mission go backwards.
"""

from typing import Final

import msgspec

from mission_commander.domain.record import Mission, Phase
from mission_contracts.mission import (
    TRANSITIONS,
    Epoch,
    Era,
    Instance,
    MissionState,
    Reason,
    Sequence,
    next_number,
)


class IllegalMoveError(Exception):
    """A decision would break the transition table: a defect of ours, never of the input."""


class Moment(msgspec.Struct, frozen=True):
    """When, and in which era, a decision is made."""

    now: float
    era: Era


NO_CLAIM: Final = {"holder": Instance(""), "claimed_at": None}


def move(mission: Mission, moment: Moment, **changes: object) -> Mission:
    moved = msgspec.structs.replace(mission, sequence=next_sequence(mission, moment), **changes)
    if moved.state is not mission.state and moved.state not in TRANSITIONS[mission.state]:
        raise IllegalMoveError(f"mission {mission.id} cannot go from {mission.state} to {moved.state}")
    return moved


def next_sequence(mission: Mission, moment: Moment) -> Sequence:
    return Sequence(next_number(mission.sequence, moment.era))


def wait(mission: Mission, moment: Moment, reason: Reason, message: str, *, due_at: float | None = None) -> Mission:
    return move(
        mission,
        moment,
        phase=Phase.WAITING,
        state=MissionState.QUEUED,
        reason=reason,
        message=message,
        due_at=due_at if due_at is not None else mission.due_at,
        **NO_CLAIM,
    )


def finish(
    mission: Mission, moment: Moment, state: MissionState, reason: Reason, message: str, **changes: object
) -> Mission:
    end = {"finished_at": moment.now, **NO_CLAIM, **changes}
    return move(mission, moment, phase=Phase.FINAL, state=state, reason=reason, message=message, due_at=None, **end)


def give_up(mission: Mission, moment: Moment, reason: Reason, message: str) -> Mission:
    return finish(mission, moment, MissionState.FAILED, reason, message, dead_letter=True)


def fence(mission: Mission, moment: Moment) -> Mission:
    """Raise the epoch, so that whoever still runs it learns that its claim is dead."""
    return msgspec.structs.replace(mission, epoch=Epoch(next_number(mission.epoch, moment.era)))
