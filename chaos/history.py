"""What was recorded of one round: asked, accepted, seen, done, and how all doors tell its end. Values only."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from chaos import sink
from mission_contracts.mission import MissionState


class Door(StrEnum):
    """How a mission came in."""

    REST = "rest"
    OBJECT = "object"


class Kind(StrEnum):
    """What a mission's handler does; the type that it is submitted with."""

    WORK = "work"
    FLAKY = "flaky"
    HOPELESS = "hopeless"
    POISON = "poison"


class Source(StrEnum):
    """Who showed a status."""

    LEDGER = "ledger"
    """The ledger's own event stream."""
    OBJECT = "object"
    """A watch of Mission objects."""


class Away(StrEnum):
    """Who is not there while all others are well."""

    REDIS = "redis"
    RABBITMQ = "rabbitmq"
    BLOCKED = "blocked"
    """RabbitMQ is there, and takes nothing."""


class Request(StrEnum):
    """What a client wanted of a Commander."""

    SUBMIT = "submit"
    READ = "read"


class Answered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a Commander answered."""

    request: Request
    status: int
    asked_at: float
    says_when: bool = False
    """Whether it named the time to come back (Retry-After)."""
    mission_id: str = ""


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """When somebody was not there."""

    who: Away
    began_at: float
    ended_at: float


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A mission that a client wants, under a name of its own: idempotency key, or the object's name."""

    key: str
    door: Door
    kind: Kind
    seconds: float = 0
    cancels: bool = False
    """Whether the client changes its mind."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that promised it: 202 over REST, or a created object."""

    key: str
    mission_id: str
    at: float


class Status(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a mission is shown."""

    state: MissionState
    sequence: int
    epoch: int = 0
    attempt: int = 0
    reason: str = ""
    message: str = ""


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """A status that somebody showed at a time."""

    source: Source
    mission_id: str
    status: Status
    at: float
    stream: int = 0
    """Rises where the source's own history began anew: its data were destroyed, or put back to an earlier time."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """All of one round."""

    asked: Sequence[Asked] = ()
    accepted: Sequence[Accepted] = ()
    cancelled: Sequence[str] = ()
    """Missions whose cancellation was accepted."""
    swallowed: Sequence[str] = ()
    """Bad input that was accepted all the same, as its client wrote it."""
    forgotten: Sequence[str] = ()
    """Accepted missions that a Commander denied to know (404)."""
    answers: Sequence[Answered] = ()
    """What Commanders said to submissions, and to who asked for a mission."""
    outage: Outage | None = None
    sightings: Sequence[Sighting] = ()
    """In the order of their arrival."""
    deeds: Sequence[sink.Deed] = ()
    """In their order."""
    in_ledger: Mapping[str, Status] = {}
    """The end, as REST tells it, by mission id; what it did not know is not in it."""
    earlier: Mapping[str, Status] = {}
    """How missions ended that used the same ids before the round, and were purged."""
    by_commander: Mapping[str, Mapping[str, Status]] = {}
    """The end of these ids, as each Commander by itself tells it, by mission id."""
    in_objects: Mapping[str, Status] = {}
    """The end, as Mission objects tell it, by mission id."""
