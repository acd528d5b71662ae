"""The mission as it was accepted, without its payload: all that a ledger needs to know it again after a wipe."""

from enum import StrEnum

import msgspec

from mission_contracts import bounds
from mission_contracts.mission import Priority
from mission_contracts.spec import DAY_SECONDS


class Door(StrEnum):
    """Where a mission came in."""

    CLUSTER = "cluster"
    REST = "rest"


class Retry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A retry policy in the form that travels; bounds are checked at the doors (`spec.RetryPolicy`)."""

    max_attempts: bounds.Count = 3
    initial_delay_seconds: bounds.DelaySeconds = 1
    multiplier: bounds.Factor = 2
    max_delay_seconds: bounds.DelaySeconds = 300


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What does not change while a mission lives. Times are Unix seconds by the Commander's clock."""

    mission_id: bounds.Id
    namespace: bounds.Label
    pool: bounds.Label
    type: bounds.TypeName
    accepted_at: bounds.Instant
    door: Door = Door.REST
    name: bounds.Name = ""
    """The Mission object's name; empty for the REST door."""
    subject: bounds.Subject = ""
    """Who asked, as the token says; only they (and operators) see a REST mission."""
    digest: bounds.Word = ""
    """Of the submission's body, to tell a repeated submission from another one with the same key."""
    start_after: bounds.Instant | None = None
    timeout_seconds: bounds.Seconds = 3600
    deadline_seconds: bounds.Seconds = DAY_SECONDS
    retry: Retry = Retry()
    priority: Priority = Priority.NORMAL
    ordering_key: bounds.Name | None = None
    sequence_number: bounds.LaneNumber | None = None
    callback_url: bounds.Address | None = None
    trace_id: bounds.Word = ""
    retry_of: bounds.Id | None = None

    @property
    def deadline_at(self) -> float:
        """When the mission fails if it is not final by then."""
        return self.accepted_at + self.deadline_seconds
