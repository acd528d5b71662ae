"""The transition table: which phase may follow which, for which reasons, and what state each of them shows.

`moves.move` lets nothing else happen, and docs/reference/states.md, with its diagram, is generated from it.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from mission_commander.domain.record import Mission, Phase
from mission_contracts.mission import MissionState, Reason


class PhaseTransition(msgspec.Struct, frozen=True):
    """One arrow of the diagram. A record that changes without leaving its phase follows an arrow too."""

    before: Phase
    after: Phase
    reasons: tuple[Reason, ...]
    """What the record may say after it."""
    when: str
    """What the diagram says on the arrow."""


PHASE_TRANSITIONS: Final = (
    PhaseTransition(
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
        "accepted, suspended or resumed, or it waits for something else",
    ),
    PhaseTransition(
        Phase.WAITING,
        Phase.OUT,
        (Reason.WAITING_FOR_SOLDIER,),
        "its time, pool or lane has come, or it was resumed",
    ),
    PhaseTransition(
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
        "its wait reason changed, or it was handed out again",
    ),
    PhaseTransition(
        Phase.OUT,
        Phase.WAITING,
        (Reason.SUSPENDED, Reason.NO_HANDLER, Reason.LANE_BUSY),
        "suspended, claimed where no handler exists, or returned to its lane",
    ),
    PhaseTransition(Phase.OUT, Phase.CLAIMED, (Reason.RUNNING,), "claimed"),
    PhaseTransition(
        Phase.CLAIMED, Phase.CLAIMED, (Reason.RUNNING, Reason.CANCEL_REQUESTED), "progress, or a request to stop"
    ),
    PhaseTransition(
        Phase.CLAIMED,
        Phase.WAITING,
        (Reason.RETRY_BACKOFF, Reason.SUSPENDED, Reason.LANE_BUSY),
        "the attempt failed and is retried, suspended, or returned to its lane",
    ),
    PhaseTransition(
        Phase.CLAIMED, Phase.OUT, (Reason.LEASE_LOST, Reason.RELEASED), "lease lost, or released by its soldier"
    ),
    PhaseTransition(
        Phase.CLAIMED,
        Phase.FINAL,
        (
            Reason.COMPLETED,
            Reason.GAVE_UP,
            Reason.ATTEMPTS_EXHAUSTED,
            Reason.DEADLINE_EXCEEDED,
            Reason.CANCELLED,
        ),
        "completed, failed for good, stopped, or past its deadline",
    ),
    PhaseTransition(
        Phase.WAITING,
        Phase.FINAL,
        (Reason.DEADLINE_EXCEEDED, Reason.CANCELLED, Reason.DELETED, Reason.LANE_PASSED),
        "cancelled, deleted, past its deadline, or passed by its lane",
    ),
    PhaseTransition(
        Phase.OUT,
        Phase.FINAL,
        (Reason.DEADLINE_EXCEEDED, Reason.CANCELLED, Reason.DELETED),
        "cancelled, deleted, or past its deadline",
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
    (step.before, step.after): {reason: state_of(step.after, reason) for reason in step.reasons}
    for step in PHASE_TRANSITIONS
}
_NOTHING: Final[Mapping[Reason, MissionState]] = {}


def allows(before: Mission, after: Mission) -> bool:
    """Tell whether the second record may follow the first."""
    if (after.phase, after.reason) == (before.phase, before.reason):
        return after.state is before.state  # also with a reason that only a newer Commander knows
    return _ALLOWED.get((before.phase, after.phase), _NOTHING).get(after.reason) is after.state
