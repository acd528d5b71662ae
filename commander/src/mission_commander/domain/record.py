"""One mission as the ledger keeps it: the envelope, which never changes, and where it stands."""

from enum import StrEnum
from typing import Final

import msgspec

from mission_commander.domain.lane import Place
from mission_contracts.envelope import Envelope
from mission_contracts.mission import Epoch, Failure, Instance, MissionId, MissionState, Reason, Sequence

KEPT_ATTEMPTS: Final = 10
"""How many ended attempts a record remembers: the newest ones."""


class Phase(StrEnum):
    """Who has to act next."""

    WAITING = "waiting"  # the Commander: a time, a pool, a person, a lane
    OUT = "out"  # a soldier: the order is in the outbox or in the broker
    CLAIMED = "claimed"  # the soldier that runs it
    FINAL = "final"  # nobody


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An ended attempt."""

    number: int
    epoch: Epoch
    instance: Instance
    started_at: float
    ended_at: float
    failure: Failure | None = None
    message: str = ""


class Mission(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The record. Times are Unix seconds by the Commander's clock."""

    envelope: Envelope
    sequence: Sequence
    """Rises with every recorded change; what a commit compares."""
    phase: Phase
    state: MissionState = MissionState.QUEUED
    reason: Reason = Reason.WAITING_FOR_SOLDIER
    message: str = ""
    epoch: Epoch = Epoch(0)
    attempt: int = 0
    """The attempt that runs, or the last one that counted."""
    handed_out_at: float | None = None
    due_at: float | None = None
    """While it waits for a time: when to look again."""
    suspended: bool = False
    cancel_requested_at: float | None = None
    holder: Instance = Instance("")
    """Who has the open claim."""
    claimed_at: float | None = None
    started_at: float | None = None
    """Start of the newest attempt."""
    finished_at: float | None = None
    end_recorded_at: float | None = None
    """When its end came to be known, where that was later than `finished_at`: its retention begins then."""
    progress: float | None = None
    result: bytes | None = None
    """JSON text."""
    solo: bool = False
    """A suspect: its next attempt runs alone in a child process."""
    deaths: int = 0
    """Leases lost under it."""
    laters: int = 0
    """RetryLater answers so far."""
    attempts: tuple[Attempt, ...] = ()
    dead_letter: bool = False
    """It gave up, and nobody has redriven it yet."""
    retried_as: MissionId | None = None
    """The mission that tries the same again."""
    payload_bytes: int = 0
    """How large its payload is, or was, where it is large: beyond `owners.RETRY_PAYLOAD_BYTES`."""
    payload_lost: bool = False
    """The record was made anew without its payload: an order, a submission or a Commander's memory brings it back."""
    acknowledged: bool = False
    """Its object shows the final state, or is gone."""
    place: Place | None = None
    """Where it stands in its lane."""
    leads: bool = False
    """It has its lane's turn, and keeps it until it is final. A mission with a lane is handed out only then."""

    @property
    def id(self) -> MissionId:
        return self.envelope.mission_id

    @property
    def is_final(self) -> bool:
        return self.phase is Phase.FINAL
