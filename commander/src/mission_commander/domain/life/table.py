"""The transition table: which phase may follow which, for which reasons, and what state each of them shows.

`moves.move` lets nothing else happen, and the diagram and the table of reasons in docs/concepts are made from it.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from mission_commander.domain.record import Mission, Phase
from mission_contracts.mission import MissionState, Reason


class Step(msgspec.Struct, frozen=True):
    """One arrow of the diagram. A record that changes without leaving its phase takes a step too."""

    before: Phase
    after: Phase
    reasons: tuple[Reason, ...]
    """What the record may say after it."""
    when: str
    """In words, for the diagram."""


STEPS: Final = (
    Step(
        Phase.WAITING,
        Phase.WAITING,
        (
            Reason.SCHEDULED,
            Reason.NO_POOL,
            Reason.LANE_BUSY,
            Reason.LANE_GAP,
            Reason.SUSPENDED,
            Reason.RETRY_BACKOFF,
            Reason.NO_HANDLER,
        ),
        "accepted, suspended or resumed; it waits for something else",
    ),
    Step(
        Phase.WAITING,
        Phase.OUT,
        (Reason.WAITING_FOR_SOLDIER,),
        "accepted or resumed; its time, pool or lane has come",
    ),
    Step(
        Phase.OUT,
        Phase.OUT,
        (
            Reason.WAITING_FOR_SOLDIER,
            Reason.POOL_SCALING_UP,
            Reason.POOL_AT_MAX,
            Reason.NO_POOL,
            Reason.SUSPENDED,
            Reason.RELEASED,
        ),
        "told what it waits for; handed out anew",
    ),
    Step(
        Phase.OUT,
        Phase.WAITING,
        (Reason.SUSPENDED, Reason.NO_HANDLER, Reason.LANE_BUSY),
        "suspended; claimed where nobody handles it; back into its lane",
    ),
    Step(Phase.OUT, Phase.CLAIMED, (Reason.RUNNING,), "claimed"),
    Step(Phase.CLAIMED, Phase.CLAIMED, (Reason.RUNNING, Reason.CANCEL_REQUESTED), "progress; asked to stop"),
    Step(
        Phase.CLAIMED,
        Phase.WAITING,
        (Reason.RETRY_BACKOFF, Reason.SUSPENDED, Reason.LANE_BUSY),
        "it is tried again later; suspended; back into its lane",
    ),
    Step(Phase.CLAIMED, Phase.OUT, (Reason.LEASE_LOST, Reason.RELEASED), "lease lost; given back"),
    Step(
        Phase.CLAIMED,
        Phase.FINAL,
        (
            Reason.COMPLETED,
            Reason.GAVE_UP,
            Reason.ATTEMPTS_EXHAUSTED,
            Reason.DEADLINE_EXCEEDED,
            Reason.CANCELLED,
        ),
        "completed; failed for good; stopped; past its deadline",
    ),
    Step(
        Phase.WAITING,
        Phase.FINAL,
        (Reason.DEADLINE_EXCEEDED, Reason.CANCELLED, Reason.DELETED, Reason.LANE_PASSED),
        "cancelled or deleted; past its deadline; its lane has passed",
    ),
    Step(
        Phase.OUT,
        Phase.FINAL,
        (Reason.DEADLINE_EXCEEDED, Reason.CANCELLED, Reason.DELETED),
        "cancelled or deleted; past its deadline",
    ),
)

ENDS: Final[Mapping[Reason, MissionState]] = {
    Reason.COMPLETED: MissionState.COMPLETED,
    Reason.GAVE_UP: MissionState.FAILED,
    Reason.ATTEMPTS_EXHAUSTED: MissionState.FAILED,
    Reason.DEADLINE_EXCEEDED: MissionState.FAILED,
    Reason.LANE_PASSED: MissionState.FAILED,
    Reason.CANCELLED: MissionState.CANCELLED,
    Reason.DELETED: MissionState.CANCELLED,
}
"""The final state that goes with each final reason."""

_STATES: Final = {
    Phase.WAITING: MissionState.QUEUED,
    Phase.OUT: MissionState.QUEUED,
    Phase.CLAIMED: MissionState.IN_PROGRESS,
}


def state_of(phase: Phase, reason: Reason) -> MissionState:
    """What everybody outside is shown of a phase."""
    return ENDS[reason] if phase is Phase.FINAL else _STATES[phase]


_ALLOWED: Final[Mapping[tuple[Phase, Phase], Mapping[Reason, MissionState]]] = {
    (step.before, step.after): {reason: state_of(step.after, reason) for reason in step.reasons} for step in STEPS
}
_NOTHING: Final[Mapping[Reason, MissionState]] = {}


def allows(before: Mission, after: Mission) -> bool:
    """Tell whether the second record may follow the first."""
    if (after.phase, after.reason) == (before.phase, before.reason):
        return after.state is before.state  # also with a reason that only a newer Commander knows
    return _ALLOWED.get((before.phase, after.phase), _NOTHING).get(after.reason) is after.state
