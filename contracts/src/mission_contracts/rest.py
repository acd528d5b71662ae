"""The Commander's client side over HTTP: what one submits, and what one is shown. JSON in snake_case.

    POST /missions                 Submission            → 202 MissionView     (header Idempotency-Key)
    POST /missions/batch           BatchRequest          → 200 BatchAnswer     (an answer per item)
    POST /missions/lookup          LookupRequest         → 200 LookupAnswer
    POST /missions/acknowledged    AcknowledgedRequest   → 204                 (operator)
    GET  /missions                 ?namespace&state&type&pool&limit&cursor → 200 MissionPage
    GET  /missions/{id}            ?wait=30s             → 200 MissionView     (wait: until final, or 30 s)
    PATCH /missions/{id}           MissionChange         → 200 MissionView
    POST /missions/{id}/retry                            → 202 MissionView     (of the new mission)
    GET  /missions/{id}/history                          → 200 MissionHistory
    GET  /dead-letters             ?namespace&type&pool&reason&since&limit&cursor → 200 DeadLetterPage
    POST /dead-letters/{id}/redrive                      → 202 MissionView     (of the new mission)
    POST /dead-letters/redrive     RedriveRequest        → 200 RedriveAnswer
    GET  /rejected                 ?limit                → 200 RejectedPage    (admin)
    POST /missions/{id}/cancel     CancelRequest or empty → 200 MissionView
    GET  /events                   ?namespace&door       → SSE; event `mission` with a MissionView, `reset`
    PUT  /pools/{namespace}/{name} PoolDeclaration       → 200 PoolView        (operator)
    DELETE /pools/{namespace}/{name}                     → 204                 (operator)
    GET  /pools                                          → 200 {"pools": [PoolView]}
    GET  /pools/events                                   → SSE; event `pool` with a PoolView when work comes to a pool
    GET  /status                                         → 200 StatusView
    POST /scheduler/stop, /scheduler/start               → 200 SchedulerView   (admin)
    POST /token                    TokenRequest          → 200 TokenAnswer
    POST /login                    LoginRequest          → 200 TokenAnswer     (a user)
    POST /logout                   LogoutRequest or empty → 204                (ends the login everywhere)
    POST /register                 RegisterRequest       → 201 UserView        (admin, unless everybody may)
    DELETE /delete-user            DeleteUserRequest     → 204                 (oneself, or admin)
    GET  /.well-known/jwks.json                          → 200 KeySet          (what checks access tokens)

Every refusal is a `Problem` (problem+json). Batches, lookups and acknowledgements take at most 1,000 items.
"""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from pydantic import Field

from mission_contracts import bounds
from mission_contracts.envelope import Door
from mission_contracts.errors import Problem
from mission_contracts.mission import GREATEST_NUMBER, MissionId, MissionState, Reason
from mission_contracts.names import DNS_LABEL_PATTERN, MISSION_ID_PATTERN, OBJECT_NAME_PATTERN
from mission_contracts.optional_json import OptionalJson
from mission_contracts.spec import WHOLE, MissionSpec, Model
from mission_contracts.tokens import Role

MAX_BATCH: Final = 1_000
IDEMPOTENCY_KEY_HEADER: Final = "Idempotency-Key"
REQUEST_ID_HEADER: Final = "Request-Id"
LEDGER_HEADER: Final = "Ledger"
MAX_WAIT_SECONDS: Final = 60.0


class Floor(Model):
    """What a Mission object already shows; the ledger's numbers start above it, also after a wipe."""

    state: MissionState
    epoch: Annotated[int, Field(ge=0, le=GREATEST_NUMBER), WHOLE] = 0
    sequence: Annotated[int, Field(ge=0, le=GREATEST_NUMBER), WHOLE] = 0
    attempt: Annotated[int, Field(ge=0, le=bounds.MAX_COUNT), WHOLE] = 0


class Submission(MissionSpec):
    """A mission's spec and where it belongs; its id, door and floor are the operator's alone."""

    namespace: Annotated[str, Field(pattern=DNS_LABEL_PATTERN)] | None = Field(
        default=None, description="The namespace it belongs to. Default: the installation's own."
    )
    idempotency_key: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        default=None,
        description="In a batch: as the Idempotency-Key header of a single submission. "
        "The same key by the same subject gives the same mission.",
    )
    mission_id: Annotated[str, Field(pattern=MISSION_ID_PATTERN)] | None = Field(
        default=None, description="Operator only: the Mission object's uid."
    )
    name: Annotated[str, Field(pattern=OBJECT_NAME_PATTERN)] | None = Field(
        default=None,
        description="A name for people; of a Mission object its own. Nothing is found by it. Default: none.",
    )
    door: Door = Field(default=Door.REST, description="Operator only: which door the mission came in by.")
    floor: Floor | None = Field(default=None, description="Operator only: what the object's status shows.")


class MissionView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A mission as it is shown at every door. Equal `sequence` means equal view."""

    mission_id: MissionId
    namespace: str
    type: str
    pool: str
    state: MissionState
    reason: str
    sequence: int
    door: Door = Door.REST
    name: str = ""
    message: str = ""
    # Made, not a default: defaults are left out, and "no attempt yet" is worth saying.
    attempt: int = msgspec.field(default_factory=lambda: 0)
    epoch: int = 0
    progress: float | None = None
    soldier: str = ""
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_seconds: float | None = None
    due_at: datetime | None = None
    """When it is looked at again, while it waits for a time."""
    result: OptionalJson = None
    trace_id: str = ""
    retry_of: MissionId | None = None
    retried_as: MissionId | None = None
    """The mission that tries the same again, once somebody asked for it."""
    dead_letter: bool = False
    ordering_key: str | None = None
    sequence_number: int | None = None


class BatchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """At most 1,000 missions, each a `Submission` in JSON: read one by one, so that a bad one refuses only itself."""

    missions: tuple[msgspec.Raw, ...]


class BatchItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one item: its mission, or why it was refused."""

    status: int
    mission: MissionView | None = None
    problem: Problem | None = None


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of the request."""

    results: tuple[BatchItem, ...]


class LookupRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Ids to look up."""

    ids: tuple[MissionId, ...]


class LookupAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of the request; null where nothing is known."""

    missions: tuple[MissionView | None, ...]


class AcknowledgedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Missions whose objects show the final state, or are gone: their records may be purged."""

    ids: tuple[MissionId, ...]


class MissionChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What may change in a living mission."""

    suspend: bool | None = None


class CancelRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Why it is cancelled."""

    deleted: bool = False
    """The Mission object is gone."""
    message: Annotated[str, msgspec.Meta(max_length=256)] = ""


class MissionPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Newest first; `cursor` asks for the next page, absent on the last."""

    missions: tuple[MissionView, ...]
    cursor: str | None = None


class AttemptView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An attempt that has ended."""

    number: int
    epoch: int
    soldier: str
    started_at: datetime | None = None
    ended_at: datetime | None = None
    failure: str | None = None
    """What ended it; absent where it completed, or was given back."""
    message: str = ""


class Timings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a mission's time went; what has not happened is left out."""

    accepted_at: datetime | None = None
    handed_out_at: datetime | None = None
    """When its newest order was made."""
    claimed_at: datetime | None = None
    """When a soldier took it, at last."""
    finished_at: datetime | None = None
    # Made, not defaults: zero seconds are worth saying.
    waiting_seconds: float = msgspec.field(default_factory=float)
    """All that was not running, from its acceptance until now, or until its end."""
    running_seconds: float = msgspec.field(default_factory=float)
    """In the attempts that are kept, and in the one that runs."""


class MissionHistory(msgspec.Struct, frozen=True, kw_only=True):
    """A mission and its ended attempts, oldest first; of very many the newest are kept."""

    mission: MissionView
    attempts: tuple[AttemptView, ...]
    timings: Timings


class DeadLetterPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Missions that gave up, newest end first; `cursor` asks for the next page, absent on the last."""

    dead_letters: tuple[MissionHistory, ...]
    cursor: str | None = None


class RejectedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message that somebody met and could not use. Whoever publishes there himself may leave any of it out."""

    rejected_at: datetime | None
    queue: str
    """Where it came from."""
    defect: str
    """The kind of what is wrong with it."""
    reason: str
    """One sentence, which never quotes the message."""
    bytes: int
    """How long its body was."""
    body: str
    """Its first 1,024 bytes; what is not UTF-8 is escaped."""


class RejectedPage(msgspec.Struct, frozen=True, kw_only=True):
    """What lies in `missions.rejected`, newest first. It stays there."""

    count: int
    """How many there are."""
    read: int
    """How many of them were looked at: the first 1,000 of the queue at most. With more, the newest are not shown."""
    rejected: tuple[RejectedMessage, ...]


class RedriveRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which dead letters to try again; what is left out is no condition."""

    namespace: str | None = None
    type: str | None = None
    pool: str | None = None
    reason: Reason | None = None
    since: datetime | None = None
    """Only those that ended at this moment or later."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_BATCH)] = 100
    cursor: str | None = None
    """Where the last answer stopped."""


class RedriveAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was redriven; `more` says that others remain, and `cursor` where to go on."""

    redriven: int
    more: bool
    missions: tuple[MissionView, ...] = ()
    """The new missions."""
    refused: tuple[Problem, ...] = ()
    """Why some cannot be tried again."""
    cursor: str | None = None


class PoolDeclaration(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the operator says of a pool; its queues exist when the answer arrives."""

    paused: bool = False
    replicas: int | None = None
    """How many soldiers are wanted now."""
    max_replicas: int | None = None
    retire: tuple[str, ...] = ()
    """Pods whose soldiers shall take nothing more."""


class SoldierView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One living soldier."""

    instance: str
    pod: str = ""
    slots: int
    busy: int
    """Missions in its hands: by the ledger, or by its newest beat, whichever says more."""
    taking: bool
    """False once it was told to take nothing and has stopped, until it was told otherwise and has begun again."""
    unclaimed: int = 0
    """Orders that wait in it for their claim."""
    beat: int = 0
    """The number of its newest beat, which `taking` and `unclaimed` are from; 0 before the first."""


class PoolView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A pool's numbers, from the ledger."""

    namespace: str
    name: str
    paused: bool
    queued: int
    """Missions that could run now and wait for a soldier."""
    waiting: int
    """Missions that wait for a time or for something else."""
    in_flight: int
    soldiers: tuple[SoldierView, ...] = ()
    types: tuple[str, ...] = ()
    oldest_queued_seconds: float | None = None
    due_within_minute: int = 0
    """Missions whose time comes within a minute, or has come; not those that are suspended."""
    in_broker: int | None = None
    """Orders that wait in the pool's queues by the broker's own count; None while it cannot be asked."""
    is_current: bool = True
    """False while the ledger is away: these are the numbers from before, and nothing may be concluded from them."""


class Pools(msgspec.Struct, frozen=True, kw_only=True):
    """All pools of the installation."""

    pools: tuple[PoolView, ...]


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How to get a token, as JSON: `grant_type` says by which means, and so which of the other fields count."""

    grant_type: str = "client_credentials"
    client_id: str | None = None
    client_secret: str | None = None
    refresh_token: str | None = None
    assertion: str | None = None
    """A token that somebody else gave, such as a ServiceAccount's."""
    session: Annotated[str, msgspec.Meta(min_length=16, max_length=128)] | None = None
    """A soldier's with a client secret: a random text that it makes at its start and shows to no other.

    Instances that it registers with such a token are its own: other soldiers with the same secret cannot act for them.
    """


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A short-lived access token; for a user also the refresh token that gets the next pair, once."""

    access_token: str
    expires_in: float
    token_type: str = "Bearer"  # noqa: S105
    refresh_token: str | None = None
    refresh_expires_in: float | None = None


class LoginRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A user's name and password."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"LoginRequest({self.username!r}, …)"


class RegisterRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A new user. Another role than `user` is for an admin to give."""

    username: str
    password: str
    role: Role = Role.USER
    rights: str = ""
    """The name of a set of rights; empty: the default one. For an admin to give."""

    def __repr__(self) -> str:
        return f"RegisterRequest({self.username!r}, …)"


class UserView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user, without secrets."""

    username: str
    role: Role
    rights: str = ""
    """The name of the set of rights; empty: the default one."""


class UserChange(msgspec.Struct, frozen=True, kw_only=True):
    """What an admin changes of a user; tokens that were given before keep the old rights until they end."""

    rights: str


class DeleteUserRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to go. Oneself: with the password; an admin may delete anybody without."""

    username: str
    password: str | None = None

    def __repr__(self) -> str:
        return f"DeleteUserRequest({self.username!r}, …)"


class LogoutRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The refresh token of the login to end; without it the login of the access token that the request carries."""

    refresh_token: str | None = None

    def __repr__(self) -> str:
        return "LogoutRequest(…)"


class OutboxView(msgspec.Struct, frozen=True, kw_only=True):
    """Hand-outs that no broker has confirmed yet."""

    depth: int
    oldest_seconds: float | None
    """How long the oldest one waits; null where there is none, or nobody knows."""
    stopped: bool
    """`POST /scheduler/stop` was said: nothing is published until `POST /scheduler/start`."""


class SchedulerView(msgspec.Struct, frozen=True, kw_only=True):
    """The outbox relay after it was stopped or started."""

    stopped: bool
    outbox: int
    """Hand-outs that wait in it, as far as this Commander knows."""


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is of everything. What cannot be asked now is null."""

    era: int
    live: int
    states: dict[str, int]
    """Live missions by their state."""
    waiting: int
    """Queued missions that wait for a time or for something else than a soldier."""
    due: int
    """Those whose time has come, and which are moved next."""
    outbox: OutboxView
    dead_letters: int | None
    rejected: int | None
    """Messages in `missions.rejected`: somebody has to look at them."""
    reaper: bool
    """This Commander applies reports and ends leases; with several, one of them does."""
    ledger: str
    broker: str
    durability: str
    counts: dict[str, int]
    """What this Commander did since its start."""


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """ok and degraded answer 200, down answers 503."""

    status: str
    parts: dict[str, str]
    durability: str
    """`strong` when every accepted write is on disk first, `weak` otherwise."""
    detail: dict[str, Any] = {}
