"""What a mission can be, and how it may move: one enumeration, one transition table, for every part."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NewType, Self

MissionId = NewType("MissionId", str)
"""A UUID in text: the uid of a Mission object, or derived from subject and idempotency key at the REST door."""

Instance = NewType("Instance", str)
"""One soldier process while it lives; a restart is another instance."""

Epoch = NewType("Epoch", int)
"""The fencing number of one hand-out: era · 10⁶ + n, so that it never repeats, not even after a wipe."""

Sequence = NewType("Sequence", int)
"""Counts the recorded changes of one mission, on the same scale as epochs; it never falls."""

Era = NewType("Era", int)
"""The ledger's lifetime, in Unix minutes at its creation."""

NUMBERS_PER_ERA: Final = 1_000_000

GREATEST_ERA: Final = Era(9_000_000_000)
"""Beyond it numbers are no longer exact in every reader of JSON; who speaks of such an era is mistaken."""

GREATEST_NUMBER: Final = GREATEST_ERA * NUMBERS_PER_ERA + NUMBERS_PER_ERA - 1
"""Of epochs and sequences."""


def era_of(number: int) -> Era:
    """Give the era that a number was handed out in."""
    return Era(number // NUMBERS_PER_ERA)


def next_number(last: int, era: Era) -> int:
    """Give the number after `last` that is also beyond every number of earlier eras."""
    return max(last, era * NUMBERS_PER_ERA) + 1


class MissionState(StrEnum):
    """Where a mission stands. The REST spelling; `camel` gives the one of the custom resource."""

    QUEUED = "QUEUED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def camel(self) -> str:
        """The state as `.status.state` spells it."""
        return self.value.title().replace("_", "")

    @property
    def is_final(self) -> bool:
        return not TRANSITIONS[self]

    @classmethod
    def from_camel(cls, text: str) -> "MissionState":
        """Read the custom resource's spelling; ValueError for any other text."""
        return _BY_CAMEL[text] if text in _BY_CAMEL else cls(text)


TRANSITIONS: Final[Mapping[MissionState, frozenset[MissionState]]] = {
    MissionState.QUEUED: frozenset({MissionState.IN_PROGRESS, MissionState.FAILED, MissionState.CANCELLED}),
    # Queued again: a retry waits, a lease ended, or its soldier gave it back.
    MissionState.IN_PROGRESS: frozenset(
        {MissionState.COMPLETED, MissionState.FAILED, MissionState.QUEUED, MissionState.CANCELLED}
    ),
    MissionState.COMPLETED: frozenset(),
    MissionState.FAILED: frozenset(),
    MissionState.CANCELLED: frozenset(),
}

_BY_CAMEL: Final = {state.camel: state for state in MissionState}


class Priority(StrEnum):
    """High missions travel in a queue of their own and overtake Normal ones."""

    NORMAL = "Normal"
    HIGH = "High"


class RunPolicy(StrEnum):
    """Whether a new object of the same name runs again (`PerObject`) or not (`Once`)."""

    PER_OBJECT = "PerObject"
    ONCE = "Once"


_WORD: Final = re.compile(r"[A-Za-z][A-Za-z ]{0,63}", re.ASCII)


class OpenWords(StrEnum):
    """Words that may become more: what a newer part says is kept word for word by an older one, and passed on.

    During an upgrade both are at work on the same records. An unknown word is a member of its own that equals no known
    one; `is_known` tells them apart, and whoever does not know why something is so leaves it alone.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str) or not _WORD.fullmatch(value):
            return None
        unknown = str.__new__(cls, value)
        unknown._name_ = unknown._value_ = value
        return unknown

    @property
    def is_known(self) -> bool:
        return self._name_ in type(self).__members__


class Reason(OpenWords):
    """Why a mission is where it is: stable words for conditions, columns, metrics and filters."""

    # While it waits.
    WAITING_FOR_SOLDIER = "WaitingForSoldier"
    NO_POOL = "NoPool"
    NO_HANDLER = "NoHandler"
    POOL_SCALING_UP = "PoolScalingUp"
    POOL_AT_MAX = "PoolAtMax"
    RETRY_BACKOFF = "RetryBackoff"
    SCHEDULED = "Scheduled"
    LANE_BUSY = "LaneBusy"
    LANE_GAP = "LaneGap"
    SUSPENDED = "Suspended"
    LEASE_LOST = "LeaseLost"
    RELEASED = "Released"
    COMMANDER_UNREACHABLE = "CommanderUnreachable"
    ADMISSION_PENDING = "AdmissionPending"
    # While it runs.
    RUNNING = "Running"
    CANCEL_REQUESTED = "CancelRequested"
    # When it is final.
    COMPLETED = "Completed"
    GAVE_UP = "GaveUp"
    ATTEMPTS_EXHAUSTED = "AttemptsExhausted"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    LANE_PASSED = "LanePassed"
    REFUSED = "Refused"
    STATUS_REFUSED = "StatusRefused"
    CANCELLED = "Cancelled"
    DELETED = "Deleted"
    # Accepted=True.
    ACCEPTED = "Accepted"


class Failure(OpenWords):
    """What ended an attempt; the mission's history and the retry decision speak of these."""

    ERROR = "Error"  # the handler raised something it did not announce
    TIMED_OUT = "TimedOut"  # the attempt outlived timeoutSeconds
    RETRY_LATER = "RetryLater"  # the handler asked for time; costs no attempt, up to a bound
    GIVE_UP = "GiveUp"  # the handler said never again
    BAD_PAYLOAD = "BadPayload"  # the payload does not fit the handler's type; never again
    PROCESS_DIED = "ProcessDied"  # the whole process went away
    CANCELLED = "Cancelled"  # the handler stopped because it was told to
