"""The mission as it was accepted, without its payload: all that a ledger needs to know it again after a wipe."""

from enum import StrEnum

import msgspec

from mission_contracts.mission import MissionId, Priority
from mission_contracts.spec import DAY_SECONDS


class Door(StrEnum):
    """Where a mission came in."""

    CLUSTER = "cluster"
    REST = "rest"


class Retry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A retry policy in the form that travels; bounds are checked at the doors (`spec.RetryPolicy`)."""

    max_attempts: int = 3
    initial_delay_seconds: float = 1
    multiplier: float = 2
    max_delay_seconds: float = 300


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What does not change while a mission lives. Times are Unix seconds by the Commander's clock."""

    mission_id: MissionId
    namespace: str
    pool: str
    type: str
    accepted_at: float
    door: Door = Door.REST
    name: str = ""
    """The Mission object's name; empty for the REST door."""
    subject: str = ""
    """Who asked, as the token says; only they (and operators) see a REST mission."""
    digest: str = ""
    """Of the submission's body, to tell a repeated submission from another one with the same key."""
    start_after: float | None = None
    timeout_seconds: float = 3600
    deadline_seconds: float = DAY_SECONDS
    retry: Retry = Retry()
    priority: Priority = Priority.NORMAL
    ordering_key: str | None = None
    sequence_number: int | None = None
    callback_url: str | None = None
    trace_id: str = ""
    retry_of: MissionId | None = None

    @property
    def deadline_at(self) -> float:
        """When the mission fails if it is not final by then."""
        return self.accepted_at + self.deadline_seconds
