"""The one way to move: whatever is decided about a mission becomes its next record here.

It raises the sequence and asks the transition table, so that no decision can let a mission go backwards.
"""

from typing import Final

import msgspec

from mission_commander.domain.life import table
from mission_commander.domain.record import Mission, Phase
from mission_contracts.mission import Epoch, Era, Instance, MissionState, Reason, Sequence, era_of, next_number


class IllegalMoveError(Exception):
    """A decision would break the transition table: a defect of ours, never of the input."""


class EraFullError(Exception):
    """No number is left in this era: the next one has to begin, or two missions' numbers could be mistaken."""


class Moment(msgspec.Struct, frozen=True):
    """When, and in which era, a decision is made."""

    now: float
    era: Era
    floor: int = 0
    """The highest number that a purged record of this era showed. A mission that is new begins above it."""


def next_in(last: int, era: Era) -> int:
    """Return the number after `last` in an era. Raises EraFullError where that would be a number of the next era."""
    number = next_number(last, era)
    if era_of(last) <= era < era_of(number):
        raise EraFullError(f"era {era} has no number left after {last}: the next era has to begin")
    return number


NO_CLAIM: Final = {"holder": Instance(""), "claimed_at": None}


def move(mission: Mission, moment: Moment, **changes: object) -> Mission:
    """Give the next record. Raises IllegalMoveError for one that must not follow."""
    # Above the epoch too: of all that a record shows, its sequence is the highest number.
    sequence = Sequence(next_in(max(mission.sequence, mission.epoch), moment.era))
    moved = msgspec.structs.replace(mission, sequence=sequence, **changes)
    if not table.allows(mission, moved):
        raise IllegalMoveError(
            f"mission {mission.id} cannot go from {_place(mission)} to {_place(moved)}: "
            "a move that shall be possible belongs into the table (mission_commander.domain.life.table)"
        )
    return moved


def _place(mission: Mission) -> str:
    return f"{mission.phase} ({mission.state}, {mission.reason})"


def wait(mission: Mission, moment: Moment, reason: Reason, message: str, *, due_at: float | None) -> Mission:
    """Let it wait here: for a time, if `due_at` names one, else for something that happens."""
    return move(
        mission,
        moment,
        phase=Phase.WAITING,
        state=MissionState.QUEUED,
        reason=reason,
        message=message,
        due_at=due_at,
        **NO_CLAIM,
    )


def finish(mission: Mission, moment: Moment, reason: Reason, message: str, **changes: object) -> Mission:
    """End it; the reason says in which state."""
    state = table.ENDS[reason]
    end = {"finished_at": moment.now, "dead_letter": state is MissionState.FAILED, **NO_CLAIM, **changes}
    return move(mission, moment, phase=Phase.FINAL, state=state, reason=reason, message=message, due_at=None, **end)


def fence(mission: Mission, moment: Moment) -> Mission:
    """Raise the epoch, so that whoever still runs it learns that its claim is dead."""
    return msgspec.structs.replace(mission, epoch=Epoch(next_in(mission.epoch, moment.era)))
