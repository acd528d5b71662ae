"""The ledger for tests and `missionctl dev`: dictionaries that keep every promise of the port but durability."""

import asyncio
import copy
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import accumulate, islice

import msgspec

from mission_commander.adapters.ledger_rules import (
    LIVE_BATCH,
    check,
    check_lanes,
    indexes_of,
    other_era,
    rolled_back,
)
from mission_commander.adapters.memory_lanes import LaneShelf
from mission_commander.adapters.memory_ranking import Ranking
from mission_commander.adapters.memory_stream import EventStream
from mission_commander.domain.lane import Lane, LaneChange, LaneKey
from mission_commander.domain.owners import MISSION_BYTES, Owner, Usage, drops_payload, owner_of
from mission_commander.domain.record import Mission
from mission_commander.ports import (
    NO_EVENT,
    Change,
    Committed,
    Conflict,
    Durability,
    Event,
    EventId,
    Kept,
    LedgerAwayError,
    LedgerFullError,
    Listing,
    OutboxEntry,
    PoolRecord,
    Stored,
    StoreMemory,
    Totals,
)
from mission_contracts import mission as m
from mission_contracts.clock import Clock, SystemClock
from mission_contracts.soldiering import Beat, Registration

EVENTS_KEPT = 100_000
TOMBSTONE_SECONDS = 7 * 86_400.0


class Tombstone(msgspec.Struct, frozen=True):
    """When a purged mission had ended, and until when its id is remembered."""

    ended_at: float
    until: float


class MemoryData:
    """Everything a ledger remembers; a copy of it is a backup."""

    def __init__(self, events_kept: int) -> None:
        self.era: m.Era | None = None
        self.floor = 0
        self.records: dict[m.MissionId, Mission] = {}
        self.payloads: dict[m.MissionId, bytes] = {}
        self.live: dict[m.MissionId, None] = {}
        self.listings: dict[str, Ranking] = {}
        self.purgeable = Ranking()
        self.dead = Ranking()
        self.outbox: dict[OutboxEntry, None] = {}
        self.stream = EventStream(events_kept)
        self.tombstones: dict[m.MissionId, Tombstone] = {}
        self.pools: dict[tuple[str, str], PoolRecord] = {}
        self.registrations: dict[m.Instance, Registration] = {}
        self.beats: dict[m.Instance, Beat] = {}
        self.scheduler_stopped: bool | None = None
        self.lanes = LaneShelf()
        self.usage: Counter[str] = Counter()
        """By field, as in Redis: b<owner>, p<owner>."""

    def stored(self, mission_id: m.MissionId) -> Stored | None:
        mission = self.records.get(mission_id)
        return None if mission is None else Stored(mission, self.payloads.get(mission_id, b""))

    def size(self) -> int:
        return self.usage["b"]

    def usage_of(self, owner: Owner) -> Usage:
        return Usage(held=self.usage[f"b{owner}"], payload=self.usage[f"p{owner}"])

    def write(self, change: Change) -> None:
        mission = change.mission
        if change.replaces:
            self.remove(mission.id)
        self._count(mission.id, -1)
        if mission.id not in self.records:
            self.tombstones.pop(mission.id, None)
            listing = self.listings.setdefault(mission.envelope.namespace, Ranking())
            listing.put(mission.id, mission.envelope.accepted_at)
        self.records[mission.id] = mission
        if change.payload:
            self.payloads.setdefault(mission.id, change.payload)
        if drops_payload(mission):
            self.payloads.pop(mission.id, None)
        self._count(mission.id, 1)
        if change.hands_out:
            self.outbox.setdefault(OutboxEntry(mission.id, mission.epoch))
        self._index(mission)

    def remove(self, mission_id: m.MissionId) -> None:
        self._count(mission_id, -1)
        mission = self.records.pop(mission_id)
        self.payloads.pop(mission_id, None)
        self.listings[mission.envelope.namespace].drop(mission_id)
        self.purgeable.drop(mission_id)
        self.dead.drop(mission_id)

    def _count(self, mission_id: m.MissionId, sign: int) -> None:
        mission = self.records.get(mission_id)
        if mission is None:
            return
        payload = len(self.payloads.get(mission_id, b""))
        held = MISSION_BYTES + len(msgspec.msgpack.encode(mission)) + payload
        for owner in (owner_of(mission.envelope), ""):
            self.usage[f"b{owner}"] += sign * held
            self.usage[f"p{owner}"] += sign * payload
        self.usage = +self.usage

    def relist(self, listing: Listing) -> None:
        held = self.records.get(listing.mission_id)
        if (held.sequence if held is not None else 0) != listing.sequence:
            return
        if listing.is_live:
            self.live.setdefault(listing.mission_id)
        else:
            self.live.pop(listing.mission_id, None)

    def _index(self, mission: Mission) -> None:
        indexes = indexes_of(mission)
        if indexes.is_live:
            self.live.setdefault(mission.id)
            return
        self.live.pop(mission.id, None)
        for ranking, since in ((self.purgeable, indexes.purgeable_since), (self.dead, indexes.dead_since)):
            if since is None:
                ranking.drop(mission.id)
            else:
                ranking.put(mission.id, since)


class MemoryStore:
    """The store that one or several ledgers (Commanders) of a process share, with the accidents a store can have."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        events_kept: int = EVENTS_KEPT,
        tombstone_seconds: float = TOMBSTONE_SECONDS,
    ) -> None:
        self.clock = clock or SystemClock()
        self.tombstone_seconds = tombstone_seconds
        self.max_bytes: int | None = None
        """From this much on, no new mission is written, as with Redis' maxmemory."""
        self._events_kept = events_kept
        self.data = MemoryData(events_kept)
        self._waiting: set[asyncio.Future[None]] = set()

    def wipe(self) -> None:
        """Lose everything, as FLUSHALL does."""
        self.data = MemoryData(self._events_kept)

    def backup(self) -> MemoryData:
        return copy.deepcopy(self.data)

    def roll_back(self, backup: MemoryData) -> None:
        """Go back to an earlier moment, as a failover to a stale replica does."""
        self.data = copy.deepcopy(backup)

    def wake_readers(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def something_happens(self, timeout_seconds: float) -> None:
        """Return at the next `wake_readers`, or when the time is over."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await asyncio.wait((waiting,), timeout=timeout_seconds)
        finally:
            self._waiting.discard(waiting)


class MemoryLedger:
    """One Commander's way to a `MemoryStore`; `cut` and `mend` take it away and bring it back."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self._is_cut = False
        self._is_full = False

    # Accidents.

    def cut(self) -> None:
        """From now on every method raises LedgerAwayError, also those that wait."""
        self._is_cut = True
        self.store.wake_readers()

    def fill(self) -> None:
        """From now on every change raises LedgerAwayError, as with a full disk; reading goes on."""
        self._is_full = True

    def mend(self) -> None:
        self._is_cut = self._is_full = False

    def wipe(self) -> None:
        """Lose everything, as FLUSHALL does."""
        self.store.wipe()

    # The port.

    async def durability(self) -> Durability:
        self._reach()
        return Durability(
            is_strong=False,
            why_weak="the ledger is in this process's memory, so its end loses every mission: use Redis to keep them",
        )

    async def touch(self) -> None:
        self._reach_to_write()

    async def memory(self) -> StoreMemory:
        return StoreMemory(used=self._reach().size(), limit=self.store.max_bytes)

    async def usage(self, owners: Sequence[Owner]) -> tuple[Usage, Sequence[Usage]]:
        data = self._reach()
        return data.usage_of(""), [data.usage_of(owner) for owner in owners]

    async def trim_events(self) -> None:
        self._reach()  # it is bounded by its count

    async def era(self) -> m.Era | None:
        return self._reach().era

    async def begin_era(self, era: m.Era, *, replaces: m.Era | None = None) -> m.Era:
        data = self._reach_to_write()
        if data.era == replaces:
            data.era = era
        return m.Era(data.era or 0)

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
        check(changes)
        check_lanes(changes, lanes)
        data = self._reach_to_write() if changes or lanes else self._reach()
        if admits and self.store.max_bytes is not None and data.size() >= self.store.max_bytes:
            raise LedgerFullError("the ledger has no memory left for new missions")
        if data.era != era:
            raise other_era(data.era, era)
        if not data.stream.knows(seen):
            raise rolled_back(seen)
        misfits = {change.mission.id for change in changes if not _fits(data, change, floor)}
        spoiled, said = _lanes(data, misfits, lanes)
        now = self.store.clock.now()
        higher = data.floor if data.floor > floor else 0
        answers = [_apply(data, change, now, spoiled, said.get(change.mission.id), higher) for change in changes]
        self.store.wake_readers()
        return answers

    async def lanes(self, keys: Sequence[LaneKey]) -> Sequence[Lane | None]:
        shelf = self._reach().lanes
        return [shelf.read(key) for key in keys]

    async def all_lanes(self) -> AsyncIterator[Sequence[Lane]]:
        keys = iter(self._reach().lanes.longest_first())
        while batch := tuple(islice(keys, LIVE_BATCH)):
            yield [lane for lane in await self.lanes(batch) if lane is not None]

    async def save_lanes(self, era: m.Era, lanes: Sequence[LaneChange]) -> Sequence[bool]:
        check_lanes((), lanes)
        shelf = self._in_era(era).lanes
        fits = [shelf.fits(lane) for lane in lanes]
        for lane, fit in zip(lanes, fits, strict=True):
            if fit:
                shelf.write(lane)
        return fits

    async def purge_lanes(self, now: float, limit: int) -> int:
        return self._reach().lanes.purge(now, limit)

    async def fetch(self, ids: Sequence[m.MissionId]) -> Sequence[Stored | None]:
        data = self._reach()
        return [data.stored(mission_id) for mission_id in ids]

    async def records(self, ids: Sequence[m.MissionId]) -> Sequence[Mission | None]:
        data = self._reach()
        return [data.records.get(mission_id) for mission_id in ids]

    async def payloads(self, ids: Sequence[m.MissionId], *, within_bytes: int | None = None) -> Sequence[bytes | None]:
        data = self._reach()
        found = [data.payloads.get(mission_id) for mission_id in ids]
        sums = accumulate(len(payload or b"") for payload in found[:-1])
        return found if within_bytes is None else found[: 1 + sum(1 for total in sums if total < within_bytes)]

    async def live(self) -> AsyncIterator[Sequence[Mission]]:
        ids = iter(tuple(self._reach().live))
        while batch := tuple(islice(ids, LIVE_BATCH)):
            found = [one for one in await self.records(batch) if one is not None and not one.is_final]
            if found:
                yield found

    async def live_ids(self, after: m.MissionId | None, limit: int) -> Sequence[m.MissionId]:
        return sorted(one for one in self._reach().live if after is None or one > after)[:limit]

    async def kept(self, ids: Sequence[m.MissionId]) -> Sequence[Kept]:
        data = self._reach()
        return [_kept(data, one) for one in ids]

    async def relist(self, era: m.Era, listings: Sequence[Listing]) -> None:
        data = self._reach_to_write()
        if data.era != era:
            raise other_era(data.era, era)
        for listing in listings:
            data.relist(listing)

    async def list_ids(
        self, namespace: str, *, before: tuple[float, m.MissionId] | None, limit: int
    ) -> Sequence[m.MissionId]:
        listing = self._reach().listings.get(namespace)
        return [] if listing is None else listing.newest(limit, before=before)

    async def outbox(self, limit: int) -> Sequence[OutboxEntry]:
        return list(islice(self._reach().outbox, limit))

    async def confirmed(self, entries: Sequence[OutboxEntry]) -> None:
        data = self._reach_to_write()
        for entry in entries:
            data.outbox.pop(entry, None)

    async def unconfirmed(self, entries: Sequence[OutboxEntry]) -> Sequence[bool]:
        outbox = self._reach().outbox
        return [entry in outbox for entry in entries]

    async def put_back(self, era: m.Era, entries: Sequence[OutboxEntry]) -> None:
        data = self._reach_to_write()
        if data.era != era:
            raise other_era(data.era, era)
        for entry in entries:
            data.outbox.setdefault(entry)

    async def last_event(self) -> EventId:
        return self._reach().stream.last

    async def events(self, after: EventId, *, wait_seconds: float, limit: int = 1000) -> Sequence[Event] | None:
        # Waiting is real, also for a ledger whose clock a test turns by hand.
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        while (found := self._reach().stream.after(after, limit)) == [] and (left := until - loop.time()) > 0:
            await self.store.something_happens(left)
        return found

    async def earlier(self, before: EventId, limit: int) -> Sequence[Event]:
        return self._reach().stream.before(before, limit)

    async def purge(self, before: float, limit: int) -> int:
        data = self._reach_to_write()
        doomed = data.purgeable.below(before, limit)
        now = self.store.clock.now()
        data.tombstones = {one: tombstone for one, tombstone in data.tombstones.items() if tombstone.until > now}
        for mission_id in doomed:
            mission = data.records[mission_id]
            data.floor = max(data.floor, mission.sequence)
            ended_at = indexes_of(mission).purgeable_since or 0.0
            data.remove(mission_id)
            data.tombstones[mission_id] = Tombstone(ended_at, now + self.store.tombstone_seconds)
        return len(doomed)

    async def purged(self, ids: Sequence[m.MissionId]) -> Mapping[m.MissionId, float]:
        tombstones, now = self._reach().tombstones, self.store.clock.now()
        found = {one: tombstone for one in ids if (tombstone := tombstones.get(one)) is not None}
        return {one: tombstone.ended_at for one, tombstone in found.items() if tombstone.until > now}

    async def dead_letters(
        self, limit: int, *, before: tuple[float, m.MissionId] | None = None
    ) -> Sequence[m.MissionId]:
        return self._reach().dead.newest(limit, before=before)

    async def totals(self) -> Totals:
        data = self._reach()
        oldest = next(iter(data.outbox), None)
        return Totals(live=len(data.live), outbox=len(data.outbox), oldest=oldest, dead_letters=len(data.dead))

    async def scheduler_stopped(self) -> bool | None:
        return self._reach().scheduler_stopped

    async def save_scheduler(self, *, stopped: bool) -> None:
        self._reach_to_write().scheduler_stopped = stopped

    async def save_pool(self, pool: PoolRecord) -> None:
        self._reach_to_write().pools[pool.namespace, pool.name] = pool

    async def delete_pool(self, namespace: str, name: str) -> None:
        self._reach_to_write().pools.pop((namespace, name), None)

    async def pools(self) -> Sequence[PoolRecord]:
        pools = self._reach().pools
        return [pools[key] for key in sorted(pools)]

    async def save_soldier(self, registration: Registration) -> None:
        self._reach_to_write().registrations[registration.instance] = registration

    async def save_beat(self, instance: m.Instance, beat: Beat) -> bool:
        data = self._reach_to_write()
        if instance not in data.registrations:
            return False
        newest = data.beats.get(instance)
        if newest is None or newest.beat <= beat.beat:
            data.beats[instance] = beat
        return True

    async def soldier(self, instance: m.Instance) -> tuple[Registration, Beat | None] | None:
        data = self._reach()
        registration = data.registrations.get(instance)
        return None if registration is None else (registration, data.beats.get(instance))

    async def soldiers(self) -> Mapping[m.Instance, tuple[Registration, Beat | None]]:
        data = self._reach()
        return {instance: (one, data.beats.get(instance)) for instance, one in data.registrations.items()}

    async def remove_soldier(self, instance: m.Instance) -> None:
        data = self._reach_to_write()
        data.registrations.pop(instance, None)
        data.beats.pop(instance, None)

    def _in_era(self, era: m.Era) -> MemoryData:
        data = self._reach_to_write()
        if data.era != era:
            raise other_era(data.era, era)
        return data

    def _reach(self) -> MemoryData:
        if self._is_cut:
            raise LedgerAwayError("the ledger is cut off: try again when it is back")
        return self.store.data

    def _reach_to_write(self) -> MemoryData:
        data = self._reach()
        if self._is_full:
            raise LedgerAwayError("the ledger is full and takes no change: make room")
        return data


def _lanes(
    data: MemoryData, misfits: set[m.MissionId], lanes: Sequence[LaneChange]
) -> tuple[set[m.MissionId], dict[m.MissionId, LaneChange]]:
    """Write the lanes that fit together with their missions; return the missions that may not be written, and which
    mission's event tells of a lane."""
    spoiled = set(misfits)
    said: dict[m.MissionId, LaneChange] = {}
    for lane in lanes:
        if not data.lanes.fits(lane) or not misfits.isdisjoint(lane.missions):
            spoiled.update(lane.missions)
            continue
        data.lanes.write(lane)
        if lane.missions:
            said[lane.missions[-1]] = msgspec.structs.replace(lane, missions=())
    return spoiled, said


def _fits(data: MemoryData, change: Change, floor: int) -> bool:
    if change.is_new and data.floor > floor:
        return False
    current = data.records.get(change.mission.id)
    return change.expected == (0 if current is None else current.sequence)


def _apply(
    data: MemoryData, change: Change, now: float, spoiled: set[m.MissionId], lane: LaneChange | None, higher_floor: int
) -> Committed | Conflict:
    if change.mission.id in spoiled:
        return Conflict(data.records.get(change.mission.id), higher_floor if change.is_new else 0)
    data.write(change)
    return Committed(data.stream.add(change.mission, now, lane))


def _kept(data: MemoryData, mission_id: m.MissionId) -> Kept:
    mission = data.records.get(mission_id)
    is_unconfirmed = mission is not None and OutboxEntry(mission_id, mission.epoch) in data.outbox
    return Kept(mission, mission_id in data.live, is_unconfirmed)
