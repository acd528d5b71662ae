"""How a mission moves: pure functions from a record, and what happened, to its next record.

Nobody else makes a record of a mission that has one. A function that finds nothing to do gives None. Every move goes
through `moves.moved`, which raises the sequence and holds the transition table.
"""

from mission_commander.domain.life.claims import Dropped, Granted, claim
from mission_commander.domain.life.ends import (
    DEADLINE_GRACE_SECONDS,
    MAX_DEATHS,
    cancel_overdue,
    expire,
    meet_deadline,
    past_deadline,
    release,
    return_undelivered,
)
from mission_commander.domain.life.lanes import come_too_late, stand_at, take_turn, wait_for_gap
from mission_commander.domain.life.losses import find_payload, lose_payload, prove_claim
from mission_commander.domain.life.moves import EraFullError, IllegalMoveError, Moment, next_in
from mission_commander.domain.life.placing import (
    OPEN_FIELD,
    Surroundings,
    accept,
    explain,
    hand_out,
    lift,
    place,
    stand_in_lane,
    wake,
)
from mission_commander.domain.life.reports import (
    DEFAULT_LATER_SECONDS,
    MAX_LATERS,
    MIN_LATER_SECONDS,
    Refused,
    backoff_bound,
    report,
)
from mission_commander.domain.life.wishes import acknowledge, cancel, resume, retried, suspend

__all__ = [
    "DEADLINE_GRACE_SECONDS",
    "DEFAULT_LATER_SECONDS",
    "MAX_DEATHS",
    "MAX_LATERS",
    "MIN_LATER_SECONDS",
    "OPEN_FIELD",
    "Dropped",
    "EraFullError",
    "Granted",
    "IllegalMoveError",
    "Moment",
    "Refused",
    "Surroundings",
    "accept",
    "acknowledge",
    "backoff_bound",
    "cancel",
    "cancel_overdue",
    "claim",
    "come_too_late",
    "expire",
    "explain",
    "find_payload",
    "hand_out",
    "lift",
    "lose_payload",
    "meet_deadline",
    "next_in",
    "past_deadline",
    "place",
    "prove_claim",
    "release",
    "report",
    "resume",
    "retried",
    "return_undelivered",
    "stand_at",
    "stand_in_lane",
    "suspend",
    "take_turn",
    "wait_for_gap",
    "wake",
]
