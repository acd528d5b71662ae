"""What soldiers and the Commander say to each other over HTTP: registration, claims, heartbeats.

    POST /soldiers                        Registration   → Registered
    POST /soldiers/{instance}/claims      ClaimRequest   → ClaimAnswers
    POST /soldiers/{instance}/heartbeat   Heartbeat      → HeartbeatAnswer

All bodies are JSON; errors are problem+json. An instance that the Commander does not know (it never registered,
or the ledger was wiped) gets 404 with code `UnknownSoldier`, and registers again.
"""

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from mission_contracts import bounds
from mission_contracts.envelope import Envelope
from mission_contracts.mission import Epoch, Instance, MissionId, OpenWords

LEAVING_SECONDS: Final = 15
"""What a soldier may need beyond its drain: for its last claims and reports, and to say that it left."""


class TypeInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A mission type that a soldier handles."""

    name: bounds.TypeName
    schema: dict[str, Any] | None = None
    """JSON Schema of the payload, where the handler declares one."""


class Registration(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A soldier introduces itself, once per start and whenever the Commander forgot it."""

    instance: Instance
    namespace: str
    pool: str
    types: Annotated[tuple[TypeInfo, ...], msgspec.Meta(max_length=bounds.MAX_TYPES)]
    concurrency: Annotated[int, msgspec.Meta(le=bounds.MAX_CONCURRENCY)]
    version: bounds.Word = ""
    pod: bounds.Name = ""
    owner: bounds.Word = ""
    """Whose token may act for the instance, within its pool. Only the Commander writes it."""


class Registered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The times that soldier and Commander must agree on; the Commander's settings win."""

    heartbeat_seconds: bounds.PaceSeconds
    lease_seconds: bounds.PaceSeconds
    era: bounds.EraNumber
    broker_urls: tuple[str, ...] = ()
    """Where RabbitMQ is, with the user and the password of the soldier's pool. Empty: the soldier's own setting."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """May this instance run this epoch?"""

    mission_id: bounds.Id
    epoch: bounds.EpochNumber
    era: bounds.EraNumber
    accepted_at: bounds.Instant
    has_handler: bool = True
    order: bytes | None = None
    """The whole order's bytes (base64 in JSON), only when the answer to the last claim was TELL."""


class ClaimRequest(msgspec.Struct, frozen=True, kw_only=True):
    """At most 256 claims."""

    claims: tuple[Claim, ...]


class Verdict(StrEnum):
    """What to do with a claimed order."""

    RUN = "RUN"
    DROP = "DROP"  # acknowledge and forget it
    WAIT = "WAIT"  # the ledger cannot answer now: keep the delivery, ask again
    TELL = "TELL"  # the ledger does not know this mission: ask again with the order itself


class DropReason(OpenWords):
    """Why an order is of no use any more."""

    FINAL = "final"
    STALE = "stale"  # a later epoch was handed out
    SPENT = "spent"  # this epoch was claimed before
    HELD = "held"  # the mission waits: suspended, or due later
    CANCELLED = "cancelled"
    PAST_DEADLINE = "past deadline"
    NO_HANDLER = "no handler"
    PURGED = "purged"


class ClaimAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The verdict on one claim; the fields below it are set with RUN (or `wait_ms` with WAIT)."""

    verdict: Verdict
    drop: DropReason | None = None
    wait_ms: bounds.Milliseconds = 0
    secret: bounds.Word = ""
    """Authorises the reports on this epoch by this instance."""
    attempt: bounds.Count = 0
    """This execution's number, from 1."""
    timeout_seconds: bounds.Seconds = 0
    """How long it may run: the attempt's timeout, or what is left of the deadline if that is less."""
    solo: bool = False
    """A suspect of killing its process: run it alone, in a child process."""


class ClaimAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of the claims."""

    answers: tuple[ClaimAnswer, ...]


class Hold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A claim that an instance has: running, or reported and not yet known to be applied."""

    mission_id: bounds.Id
    epoch: bounds.EpochNumber
    secret: bounds.Word
    reported: bool = False
    envelope: Envelope | None = None
    """Only when the last answer listed this mission as `unknown`."""
    envelope_seal: bounds.Word = ""
    """With the envelope, as in the order: without it the envelope rebuilds no mission."""


class Unclaimed(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that waits in the soldier for its claim or for a free slot."""

    mission_id: bounds.Id
    epoch: bounds.EpochNumber


Holds = Annotated[tuple[Hold, ...], msgspec.Meta(max_length=bounds.MAX_HELD)]
Unclaimeds = Annotated[tuple[Unclaimed, ...], msgspec.Meta(max_length=bounds.MAX_HELD)]


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an instance has in its hands, every `heartbeat_seconds`; it keeps the leases of all it lists."""

    beat: bounds.Count
    """Counts this instance's beats, from 1."""
    after: bounds.Instant
    """The `now` of the last answer it saw (0 for none): this beat began after that moment."""
    era: bounds.EraNumber
    held: Holds
    unclaimed: Unclaimeds
    slots: bounds.Count
    """How many missions it can run at once."""
    taking: bool
    """False once it takes nothing more: it retires or leaves."""
    left: bool = False
    """True in its last beat: its last reports are published, whatever else it held is to be handed out again."""


Claimed = Annotated[tuple[tuple[bounds.Id, bounds.EpochNumber], ...], msgspec.Meta(max_length=bounds.MAX_HELD)]


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What Commanders keep of a heartbeat, and tell each other: its number, and what the instance had in its hands."""

    beat: bounds.Count
    after: bounds.Instant
    held: Claimed
    unclaimed: Claimed
    slots: bounds.Count
    taking: bool
    left: bool = False

    @classmethod
    def of(cls, heartbeat: Heartbeat) -> "Beat":
        """Keep what the reaper needs; secrets stay behind."""
        return cls(
            beat=heartbeat.beat,
            after=heartbeat.after,
            held=tuple((hold.mission_id, hold.epoch) for hold in heartbeat.held),
            unclaimed=tuple((one.mission_id, one.epoch) for one in heartbeat.unclaimed),
            slots=heartbeat.slots,
            taking=heartbeat.taking,
            left=heartbeat.left,
        )


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A (mission, epoch) in an answer."""

    mission_id: MissionId
    epoch: Epoch


class HeartbeatAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the Commander knows of the things in the instance's hands."""

    now: bounds.Instant
    """The Commander's clock, Unix seconds."""
    era: bounds.EraNumber
    cancels: tuple[Held, ...] = ()
    """Stop these: the mission shall be cancelled; report how it ended."""
    drops: tuple[Held, ...] = ()
    """These claims are dead (expired, final, of an older epoch): stop at once, report nothing."""
    applied: tuple[Held, ...] = ()
    """The reports on these are in the ledger: stop listing them."""
    report_again: tuple[Held, ...] = ()
    """The ledger lacks the reports on these, and perhaps lost them: publish them again; list no more what cannot be."""
    unknown: tuple[MissionId, ...] = ()
    """The ledger lacks these: list them with their envelopes in the next beat."""
    take_nothing: bool = False
    """Retire: take no more orders, finish what runs, then say idle."""
