"""What the Commander's services ask of the ledger. Redis and the in-memory twin pass one conformance suite.

Decisions are pure and made in the Commander (domain/); the ledger only compares and writes. A commit carries the
sequence that each decision was based on, and changes nothing of a mission that has moved since. So one generic
script serves every transition, and several Commanders may decide at once: the loser decides anew.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from mission_commander.domain.lane import Lane, LaneChange, LaneKey
from mission_commander.domain.owners import Owner, Usage
from mission_commander.domain.record import Mission
from mission_contracts import mission as m
from mission_contracts.soldiering import Beat, Registration


class LedgerAwayError(Exception):
    """The ledger cannot be reached now, or did not answer in time; the write may or may not have happened."""


class LedgerFullError(Exception):
    """The ledger has no memory left for new missions. Nothing was written; what it holds already goes on."""


class EraChangedError(Exception):
    """The ledger's era is not the one this Commander works in: it was wiped or rolled back. Nothing was written."""


class RolledBackError(EraChangedError):
    """The era is the same, but the ledger lacks an event that this Commander saw. Nothing was written."""


class Stored(msgspec.Struct, frozen=True):
    """A mission and its payload, JSON text, as it was submitted."""

    mission: Mission
    payload: bytes


class Change(msgspec.Struct, frozen=True):
    """One mission's next record.

    `expected` is the sequence of the record that the decision was made on, 0 where there was none. The first payload
    that a mission is given is kept for good; one rebuilt from a report has none. `hands_out` puts (id, epoch) into
    the outbox in the same step.

    `is_new`: it was accepted just now, so its numbers must lie above the purge floor. (A record that was lost, and is
    written again, has its numbers already.) `replaces`: the record that is expected is of an earlier life of this id;
    it goes, with its payload and its place in every index.
    """

    mission: Mission
    expected: m.Sequence
    payload: bytes | None = None
    hands_out: bool = False
    is_new: bool = False
    replaces: bool = False


EventId = str
"""`<milliseconds>-<n>`, growing: a Redis stream id."""

NO_EVENT: Final[EventId] = "0-0"
"""Before the first event."""

_EVENT_ID: Final = re.compile(r"[0-9]{1,19}-[0-9]{1,19}", re.ASCII)


def order_of(event: EventId) -> tuple[int, int]:
    """Give what event ids are ordered by; ValueError for a text that is none."""
    if not _EVENT_ID.fullmatch(event):
        raise ValueError(f"{event[:50]!r} is no event id: take one from an event, or {NO_EVENT} for the beginning")
    milliseconds, _, number = event.partition("-")
    return int(milliseconds), int(number)


class Committed(msgspec.Struct, frozen=True):
    """The change is durable, and was announced under this event id."""

    event: EventId


class Conflict(msgspec.Struct, frozen=True):
    """Nothing was written: the ledger holds this record (None: it has none) instead of the expected one, or its purge
    floor is higher than the one that a new mission was decided with."""

    current: Mission | None
    floor: int = 0
    """The purge floor, where that is what it met."""


class OutboxEntry(msgspec.Struct, frozen=True):
    """A hand-out that no broker has confirmed yet."""

    mission_id: m.MissionId
    epoch: m.Epoch


class Kept(msgspec.Struct, frozen=True):
    """A mission as the ledger and its indexes have it."""

    mission: Mission | None
    is_listed: bool
    """It is in the index of live missions."""
    is_unconfirmed: bool
    """Its newest hand-out is in the outbox."""


class Listing(msgspec.Struct, frozen=True):
    """Whether a mission belongs into the index of live ones, by the record of this sequence (0: there is none)."""

    mission_id: m.MissionId
    sequence: m.Sequence
    is_live: bool


class Event(msgspec.Struct, frozen=True):
    """A committed change, as every Commander hears of it."""

    id: EventId
    mission: Mission
    lane: LaneChange | None = None
    """What changed in its lane in the same step; a step's last event says it."""


class PoolRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A declared pool."""

    namespace: str
    name: str
    paused: bool = False
    replicas: int | None = None
    max_replicas: int | None = None
    retire: tuple[str, ...] = ()


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """How much the ledger holds."""

    live: int
    outbox: int
    oldest: OutboxEntry | None
    """The hand-out that has been in the outbox longest."""
    dead_letters: int


class StoreMemory(msgspec.Struct, frozen=True):
    """How many bytes the store has in use, and how many it may use; None where it has no bound or does not say."""

    used: int
    limit: int | None = None


class Durability(msgspec.Struct, frozen=True):
    """Whether every accepted write is on disk first; `why_weak` is one sentence when it is not."""

    is_strong: bool
    why_weak: str = ""


class Ledger(Protocol):
    """Every method raises LedgerAwayError when the store cannot be reached; writes raise EraChangedError too."""

    async def durability(self) -> Durability: ...

    async def touch(self) -> None:
        """Write something of no meaning: LedgerAwayError when the store can be read, perhaps, but takes no change.

        A store that is merely out of memory takes it: it is full, and not away.
        """
        ...

    async def memory(self) -> StoreMemory:
        """Return how full the store is."""
        ...

    async def usage(self, owners: Sequence[Owner]) -> tuple[Usage, Sequence[Usage]]:
        """Return what all missions take together, and what those of each of these owners take, in order.

        Counted in the step that writes or purges a record, so that it is what the records come to at each moment.
        """
        ...

    async def trim_events(self) -> None:
        """Drop the oldest events where the stream has more bytes than it is meant to keep, and shows how many."""
        ...

    async def era(self) -> m.Era | None:
        """The era in force; None when the ledger is empty, as at its first start or after a wipe."""
        ...

    async def begin_era(self, era: m.Era, *, replaces: m.Era | None = None) -> m.Era:
        """Start an era if `replaces` (None: none at all) is still in force, and give the one in force then.

        Of several Commanders that find the same loss one wins; the others are given its era, and join it.
        """
        ...

    async def commit(
        self,
        era: m.Era,
        changes: Sequence[Change],
        *,
        seen: EventId = NO_EVENT,
        lanes: Sequence[LaneChange] = (),
        floor: int = 0,
        admits: bool = False,
    ) -> Sequence[Committed | Conflict]:
        """Apply each change if its expectation holds; one answer each, in order; one script, one fsync for all.

        `admits` says that there is new work in it, which a store without memory refuses with LedgerFullError, and
        writes nothing. Everything else (ends, claims, cancellations, what was accepted before) is written beyond that.

        A mission appears at most once in a commit. Each applied change is announced in the event stream; a final
        one leaves the live set. A lane's change and those of its missions are applied together or not at all: where
        one of them does not fit, all are conflicts. Raises EraChangedError, and writes nothing at all, when the era
        differs, and RolledBackError when the stream does not know the event `seen` (one that it has dropped by its age
        passes); ValueError for a mission that is there twice, or whose sequence does not rise.

        `floor` is the purge floor that the numbers of new missions were decided with: where the ledger's is higher,
        these are conflicts that say which it is. A record that is created takes the tombstone of its id away.
        """
        ...

    async def lanes(self, keys: Sequence[LaneKey]) -> Sequence[Lane | None]:
        """Read lanes, in order; None where the ledger has none."""
        ...

    def all_lanes(self) -> AsyncIterator[Sequence[Lane]]:
        """Lanes in batches of at most 500: first those in use, then those that are remembered longest."""
        ...

    async def save_lanes(self, era: m.Era, lanes: Sequence[LaneChange]) -> Sequence[bool]:
        """Write lanes without any mission; tell for each whether its expectation held. Raises EraChangedError."""
        ...

    async def purge_lanes(self, now: float, limit: int) -> int:
        """Forget unused lanes whose time has come; give how many."""
        ...

    async def records(self, ids: Sequence[m.MissionId]) -> Sequence[Mission | None]:
        """Read missions without their payloads, in order; None where the ledger has none."""
        ...

    async def fetch(self, ids: Sequence[m.MissionId]) -> Sequence[Stored | None]:
        """Read missions and payloads, in order: of few at a time, as each may have 256 KiB."""
        ...

    async def payloads(self, ids: Sequence[m.MissionId], *, within_bytes: int | None = None) -> Sequence[bytes | None]:
        """Read payloads only, in order: all, or those of the first ones, at least of one, that exceed so many bytes by
        one payload at most."""
        ...

    def live(self) -> AsyncIterator[Sequence[Mission]]:
        """All missions that are not final, without their payloads, in batches of at most 500."""
        ...

    async def live_ids(self, after: m.MissionId | None, limit: int) -> Sequence[m.MissionId]:
        """The index of live missions as it is, in the order of ids, strictly after `after`."""
        ...

    async def kept(self, ids: Sequence[m.MissionId]) -> Sequence[Kept]:
        """Tell what records and indexes say of missions, in order; each is read by itself, not all in one step."""
        ...

    async def relist(self, era: m.Era, listings: Sequence[Listing]) -> None:
        """Mend the index of live missions; one whose record has another sequence by now is left as it is.

        Raises EraChangedError, and writes nothing, when the era differs.
        """
        ...

    async def list_ids(
        self, namespace: str, *, before: tuple[float, m.MissionId] | None, limit: int
    ) -> Sequence[m.MissionId]:
        """Missions of a namespace, newest acceptance first (ties by id, descending), strictly after `before`."""
        ...

    async def outbox(self, limit: int) -> Sequence[OutboxEntry]:
        """Hand-outs that are not confirmed, oldest first."""
        ...

    async def confirmed(self, entries: Sequence[OutboxEntry]) -> None:
        """Take these out of the outbox."""
        ...

    async def unconfirmed(self, entries: Sequence[OutboxEntry]) -> Sequence[bool]:
        """Tell of each whether it is in the outbox, in order."""
        ...

    async def put_back(self, era: m.Era, entries: Sequence[OutboxEntry]) -> None:
        """Put these into the outbox once more, behind all others; what is there keeps its place.

        Raises EraChangedError, and writes nothing, when the era differs.
        """
        ...

    async def last_event(self) -> EventId:
        """The newest event's id; `0-0` when there is none."""
        ...

    async def events(self, after: EventId, *, wait_seconds: float, limit: int = 1000) -> Sequence[Event] | None:
        """What was announced after an id: at once if there is some, else wait; empty when the time is over.

        None when `after` is older than what the stream still holds, or no event of this stream (it was wiped or
        rolled back): the reader must start anew from `live()`. ValueError when `after` is no event id at all.
        """
        ...

    async def earlier(self, before: EventId, limit: int) -> Sequence[Event]:
        """What was announced before an id, newest first, as far back as the stream reaches."""
        ...

    async def purge(self, before: float, limit: int) -> int:
        """Remove records of final missions that finished before a time and need no acknowledgement or have it;
        leave a tombstone; give how many. The purge floor rises to the highest number that one of them showed."""
        ...

    async def purged(self, ids: Sequence[m.MissionId]) -> Mapping[m.MissionId, float]:
        """Return those for which a tombstone stands, and when the mission that it stands for had ended.

        A mission of the same id that was accepted after that end, and its retention, is another one.
        """
        ...

    async def dead_letters(
        self, limit: int, *, before: tuple[float, m.MissionId] | None = None
    ) -> Sequence[m.MissionId]:
        """Missions that gave up and were not redriven, newest end first (ties by id, descending), after `before`."""
        ...

    async def totals(self) -> Totals: ...

    async def scheduler_stopped(self) -> bool | None:
        """Tell whether the outbox relay was stopped; None when nobody ever said so, or the ledger was wiped."""
        ...

    async def save_scheduler(self, *, stopped: bool) -> None:
        """Keep the switch of the outbox relay."""
        ...

    async def save_pool(self, pool: PoolRecord) -> None: ...

    async def delete_pool(self, namespace: str, name: str) -> None: ...

    async def pools(self) -> Sequence[PoolRecord]: ...

    async def save_soldier(self, registration: Registration) -> None: ...

    async def save_beat(self, instance: m.Instance, beat: Beat) -> bool:
        """Keep an instance's newest beat; False when the instance is not registered."""
        ...

    async def soldier(self, instance: m.Instance) -> tuple[Registration, Beat | None] | None:
        """One registered instance with its newest beat."""
        ...

    async def soldiers(self) -> Mapping[m.Instance, tuple[Registration, Beat | None]]:
        """All registered instances with their newest beats."""
        ...

    async def remove_soldier(self, instance: m.Instance) -> None: ...
