"""The ledger on Redis: one generic compare-and-write script, read-only queries, and a deadline on everything."""

import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from redis.exceptions import OutOfMemoryError

from mission_commander.adapters import redis_codec as codec
from mission_commander.adapters.ledger_rules import (
    LIVE_BATCH,
    check,
    check_lanes,
    other_era,
    rolled_back,
    without_floor,
)
from mission_commander.adapters.redis_durability import is_forbidden, judge, judge_refusal
from mission_commander.adapters.redis_memory import memory_of, to_keep
from mission_commander.adapters.redis_nodes import Nodes
from mission_commander.adapters.redis_script import Script, WhenFull
from mission_commander.adapters.redis_wire import Command, Wire
from mission_commander.domain.lane import Lane, LaneChange, LaneKey
from mission_commander.domain.owners import MISSION_BYTES, Owner, Usage
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
    order_of,
)
from mission_contracts import mission as m
from mission_contracts.soldiering import Beat, Registration

ANSWER_BYTES: Final = 4 * 1024 * 1024
"""About how large an answer may get: well within the deadline of one operation, also far from here."""

NO_ERA: Final = "none"


_STOPPED: Final = b"stopped"
_STARTED: Final = b"started"


@dataclass(frozen=True, kw_only=True)
class RedisSettings:
    """Where the ledger is, and how patient its users are."""

    urls: tuple[str, ...] = field(repr=False)
    """Nodes to try in turn, as `redis://user:password@host:6379/0` (`rediss://` for TLS). They hold the same data."""

    prefix: str = "mc:"
    """Begins every key. Two installations that share a Redis need two prefixes."""

    operation_seconds: float = 2.0
    """How long an answer may take before Redis counts as away. Raise it for a Redis that is far or slow."""

    connections: int = 16
    """Commands that may be under way at once; the rest wait their turn within their deadline."""

    events_kept: int = 100_000
    """About how many changes the event stream remembers, so how long a reader may be gone."""

    events_bytes: int = 16 * 1024 * 1024
    """How many bytes it may take: fewer changes are remembered where they are large. A noop's takes about 420."""

    tombstone_seconds: int = 7 * 86_400
    """How long a purged mission's id is remembered. Keep it beyond the oldest order that a queue may still hold."""


@asynccontextmanager
async def connect(settings: RedisSettings, *, client_name: str = "mission-commander") -> AsyncIterator["RedisLedger"]:
    """Give a ledger. Redis need not be there yet: connections are made when they are needed."""
    nodes = Nodes(settings.urls, client_name=client_name)
    commands = Wire(nodes, connections=settings.connections)
    # A reader that waits for events occupies its connection, so readers have their own.
    waiting = Wire(nodes, connections=settings.connections)
    try:
        yield RedisLedger(settings, commands, waiting)
    finally:
        await commands.close()
        await waiting.close()


class RedisLedger:
    """One Commander's way to the ledger in Redis. After the prefix, its keys are:

    era         string   the era in force
    floor       string   the highest number that a purged record showed
    m:<id>      hash     s: sequence, r: record, n: namespace, o: owner that it counts for, p: payload
    live        zset     ids of missions that are not final, by id
    ns:<name>   zset     ids of a namespace's missions, by acceptance
    outbox      zset     "<id> <epoch>" of hand-outs to confirm, by order of arrival
    purgeable   zset     ids of final missions that nobody needs, by their end
    dead        zset     ids of dead letters, by their end
    t:<id>      string   a tombstone, with an expiry: when the mission had ended
    events      stream   r: the record, b: the id of the event before, so that a reader sees a gap, l: its lane's change
    usage       hash     b<owner>: bytes held, p<owner>: of them payload; b and p: of all owners
    l:<lane>    hash     v: version, r: record, and for each place who stands there (nothing: it is spent)
    lanes       zset     "<namespace>/<pool>/<ordering key>", by the time until which it is kept
    scheduler   string   whether the outbox relay was stopped
    pools       hash     "<namespace>/<name>": the pool
    soldiers    hash     instance: its registration
    beats       hash     instance: its newest beat
    touched     string   nothing; written to see whether Redis takes changes
    """

    def __init__(self, settings: RedisSettings, commands: Wire, waiting: Wire) -> None:
        self._settings = settings
        self._commands = commands
        self._waiting = waiting
        key = self._key
        indexes = ("era", "live", "outbox", "purgeable", "dead", "events", "lanes", "floor", "usage")
        keys = tuple(map(key, indexes))
        self._commit = Script("commit", commands, *keys)
        self._admit = Script("commit", commands, *keys, when_full=WhenFull.REFUSED)
        self._compare = Script("commit", commands, *keys, when_full=WhenFull.READS)
        self._write_one = Script("write", commands)
        self._begin = Script("era", commands, key("era"), key("floor"))
        self._read = Script("read", commands, when_full=WhenFull.READS)
        self._list = Script("list", commands, when_full=WhenFull.READS)
        self._purge = Script("purge", commands, key("purgeable"), key("dead"), key("floor"), key("usage"))
        self._read_lanes = Script("read_lanes", commands, when_full=WhenFull.READS)
        self._purge_lanes = Script("purge_lanes", commands, key("lanes"))
        self._put_back = Script("put_back", commands, key("era"), key("outbox"))
        self._relist = Script("relist", commands, key("era"), key("live"))
        self._beat = Script("beat", commands, key("soldiers"), key("beats"))

    async def durability(self) -> Durability:
        try:
            found = await self._ask("CONFIG", "GET", "appendonly", "appendfsync", "maxmemory-policy")
        except LedgerAwayError as error:
            return judge_refusal(error)
        return judge(dict(_pairs(_texts(found))))

    async def touch(self) -> None:
        await self._put("SET", "touched", "")

    async def memory(self) -> StoreMemory:
        try:
            return memory_of(await self._ask("INFO", "memory"))
        except LedgerAwayError as error:
            if not is_forbidden(error):
                raise
            return StoreMemory(used=0)

    async def usage(self, owners: Sequence[Owner]) -> tuple[Usage, Sequence[Usage]]:
        fields = [f"{kind}{owner}" for owner in ("", *owners) for kind in "bp"]
        counts = [int(count or 0) for count in await self._ask("HMGET", self._key("usage"), *fields)]
        everybody, *each = map(Usage, counts[::2], counts[1::2])
        return everybody, each

    async def trim_events(self) -> None:
        events = self._key("events")
        try:
            size, length = await self._ask_all(("MEMORY", "USAGE", events, "SAMPLES", 0), ("XLEN", events))
        except LedgerAwayError as error:
            if not is_forbidden(error):
                raise
            return  # then it is bounded by its number alone
        if size and size > self._settings.events_bytes:
            await self._ask("XTRIM", events, "MAXLEN", to_keep(length, size, self._settings.events_bytes))

    # Era.

    async def era(self) -> m.Era | None:
        era = await self._ask("GET", self._key("era"))
        return None if era is None else m.Era(int(era))

    async def begin_era(self, era: m.Era, *, replaces: m.Era | None = None) -> m.Era:
        in_force = await self._run(self._begin, era, NO_ERA if replaces is None else replaces)
        return m.Era(0 if in_force == NO_ERA.encode() else int(in_force))

    # Missions.

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
        changing = self._admit if admits else self._commit
        script = changing if changes or lanes else self._compare
        try:
            answers = await self._write(script, era, changes, lanes, seen, floor)
        except LedgerAwayError as error:
            if admits and isinstance(error.__cause__, OutOfMemoryError):
                raise LedgerFullError("the ledger has no memory left for new missions") from error
            raise
        return [_answer_of(answer) for answer in answers[len(lanes) :]]

    async def _write(
        self,
        script: Script,
        era: m.Era,
        changes: Sequence[Change],
        lanes: Sequence[LaneChange],
        seen: EventId = NO_EVENT,
        floor: int = 0,
    ) -> Any:
        key = self._key
        of_lanes = codec.lane_arguments_of(lanes, changes)
        kept = (self._settings.events_kept, seen, key("l:"), len(of_lanes))
        above = floor if any(change.is_new for change in changes) else ""
        heading = (era, key("m:"), key("ns:"), *kept, above, key("t:"), MISSION_BYTES)
        answers = await self._run(script, *heading, *of_lanes, *codec.arguments_of(changes))
        if answers == b"rolled back":
            raise rolled_back(seen)
        if answers == b"no floor":
            raise without_floor()
        if isinstance(answers, bytes):
            raise other_era(answers.decode(), era)
        return answers

    async def fetch(self, ids: Sequence[m.MissionId]) -> Sequence[Stored | None]:
        rows = await self._rows(ids, "r", "p")
        return [
            None if record is None else Stored(codec.mission_of(record), payload or b"") for record, payload in rows
        ]

    async def records(self, ids: Sequence[m.MissionId]) -> Sequence[Mission | None]:
        return [codec.mission_or_none(record) for (record,) in await self._rows(ids, "r")]

    async def payloads(self, ids: Sequence[m.MissionId], *, within_bytes: int | None = None) -> Sequence[bytes | None]:
        if within_bytes is None:
            rows = await self._rows(ids, "p")
        else:
            rows = await self._first_rows(ids, "p", within_bytes=within_bytes) if ids else []
        return [payload for (payload,) in rows]

    async def _rows(self, ids: Sequence[m.MissionId], *fields: str) -> list[Any]:
        """Read fields of missions: with one answer, or with several where payloads are large."""
        rows: list[Any] = []
        while len(rows) < len(ids):
            rows += await self._first_rows(ids[len(rows) :], *fields)
        return rows

    async def _first_rows(
        self, ids: Sequence[m.MissionId], *fields: str, within_bytes: int = ANSWER_BYTES
    ) -> list[Any]:
        found: list[Any] = await self._run(
            self._read, self._key("m:"), min(within_bytes, ANSWER_BYTES), len(fields), *fields, *ids
        )
        return found

    async def live(self) -> AsyncIterator[Sequence[Mission]]:
        after = "-"
        while ids := _texts(await self._live_ids(after)):
            found = [one for one in await self.records(ids) if one is not None and not one.is_final]
            if found:
                yield found
            after = f"({ids[-1]}"

    async def live_ids(self, after: m.MissionId | None, limit: int) -> Sequence[m.MissionId]:
        return _texts(await self._live_ids("-" if after is None else f"({after}", limit))

    async def kept(self, ids: Sequence[m.MissionId]) -> Sequence[Kept]:
        if not ids:
            return []
        missions = [codec.mission_or_none(record) for (record,) in await self._rows(ids, "r")]
        listed = await self._ask("ZMSCORE", self._key("live"), *ids)
        there = [mission for mission in missions if mission is not None]
        waiting = await self.unconfirmed([OutboxEntry(one.id, one.epoch) for one in there])
        unconfirmed = {one.id for one, waits in zip(there, waiting, strict=True) if waits}
        return [
            Kept(mission, place is not None, mission_id in unconfirmed)
            for mission_id, mission, place in zip(ids, missions, listed, strict=True)
        ]

    async def relist(self, era: m.Era, listings: Sequence[Listing]) -> None:
        fields = [field for one in listings for field in (one.mission_id, one.sequence, int(one.is_live))]
        answer = await self._run(self._relist, era, self._key("m:"), *fields)
        if isinstance(answer, bytes):
            raise other_era(answer.decode(), era)

    async def list_ids(
        self, namespace: str, *, before: tuple[float, m.MissionId] | None, limit: int
    ) -> Sequence[m.MissionId]:
        return await self._newest_of(self._key(f"ns:{namespace}"), before, limit)

    async def _newest_of(
        self, listing: str, before: tuple[float, m.MissionId] | None, limit: int
    ) -> Sequence[m.MissionId]:
        if before is None:
            return _texts(await self._ask("ZREVRANGE", listing, 0, limit - 1)) if limit else []
        at, mission_id = before
        return _texts(await self._run(self._list, codec.score(at), mission_id, limit, keys=(listing,)))

    async def purge(self, before: float, limit: int) -> int:
        key = self._key
        prefixes = (key("m:"), key("ns:"), key("t:"))
        stands = self._settings.tombstone_seconds
        purged: int = await self._run(self._purge, codec.score(before), limit, *prefixes, stands, MISSION_BYTES)
        return purged

    async def purged(self, ids: Sequence[m.MissionId]) -> Mapping[m.MissionId, float]:
        if not ids:
            return {}
        tombstones = await self._ask("MGET", *(self._key(f"t:{mission_id}") for mission_id in ids))
        return {one: codec.end_of(ended) for one, ended in zip(ids, tombstones, strict=True) if ended is not None}

    async def dead_letters(
        self, limit: int, *, before: tuple[float, m.MissionId] | None = None
    ) -> Sequence[m.MissionId]:
        return await self._newest_of(self._key("dead"), before, limit)

    # Lanes.

    async def lanes(self, keys: Sequence[LaneKey]) -> Sequence[Lane | None]:
        if not keys:
            return []
        found = await self._run(self._read_lanes, self._key("l:"), *(key.name for key in keys))
        return [codec.lane_of(key, fields) for key, fields in zip(keys, found, strict=True)]

    async def all_lanes(self) -> AsyncIterator[Sequence[Lane]]:
        start = 0
        while names := _texts(await self._ask("ZREVRANGE", self._key("lanes"), start, start + LIVE_BATCH - 1)):
            yield [lane for lane in await self.lanes([LaneKey.named(name) for name in names]) if lane is not None]
            start += len(names)

    async def save_lanes(self, era: m.Era, lanes: Sequence[LaneChange]) -> Sequence[bool]:
        check_lanes((), lanes)
        return [bool(answer) for answer in await self._write(self._commit, era, (), lanes)]

    async def purge_lanes(self, now: float, limit: int) -> int:
        purged: int = await self._run(self._purge_lanes, codec.score(now), limit, self._key("l:"))
        return purged

    # Outbox.

    async def outbox(self, limit: int) -> Sequence[OutboxEntry]:
        members = await self._ask("ZRANGE", self._key("outbox"), 0, limit - 1) if limit else ()
        return [codec.outbox_entry(member) for member in members]

    async def confirmed(self, entries: Sequence[OutboxEntry]) -> None:
        if entries:
            members = (codec.outbox_member(entry.mission_id, entry.epoch) for entry in entries)
            await self._ask("ZREM", self._key("outbox"), *members)

    async def unconfirmed(self, entries: Sequence[OutboxEntry]) -> Sequence[bool]:
        if not entries:
            return []
        members = (codec.outbox_member(entry.mission_id, entry.epoch) for entry in entries)
        return [place is not None for place in await self._ask("ZMSCORE", self._key("outbox"), *members)]

    async def put_back(self, era: m.Era, entries: Sequence[OutboxEntry]) -> None:
        members = (codec.outbox_member(entry.mission_id, entry.epoch) for entry in entries)
        answer = await self._run(self._put_back, era, *members)
        if isinstance(answer, bytes):
            raise other_era(answer.decode(), era)

    # Events.

    async def last_event(self) -> EventId:
        return _newest(await self._ask(*self._newest_event()))

    async def events(self, after: EventId, *, wait_seconds: float, limit: int = 1000) -> Sequence[Event] | None:
        place = order_of(after)
        read = ("COUNT", limit, "STREAMS", self._key("events"), after)
        found, newest = await self._ask_all(("XREAD", *read), self._newest_event())
        if not found and order_of(_newest(newest)) < place:
            return None  # rolled back or wiped: what was announced after it is not known here
        if not found and wait_seconds > 0:
            found = await self._wait_for_events(read, wait_seconds)
        return _following(after, found)

    async def earlier(self, before: EventId, limit: int) -> Sequence[Event]:
        order_of(before)
        if before == NO_EVENT or not limit:
            return []
        found = await self._ask("XREVRANGE", self._key("events"), f"({before}", "-", "COUNT", limit)
        return [_event_of(entry) for entry in found]

    # What is kept of the installation.

    async def totals(self) -> Totals:
        key = self._key
        live, outbox, oldest, dead = await self._ask_all(
            ("ZCARD", key("live")), ("ZCARD", key("outbox")), ("ZRANGE", key("outbox"), 0, 0), ("ZCARD", key("dead"))
        )
        first = codec.outbox_entry(oldest[0]) if oldest else None
        return Totals(live=live, outbox=outbox, oldest=first, dead_letters=dead)

    async def scheduler_stopped(self) -> bool | None:
        said = await self._ask("GET", self._key("scheduler"))
        return None if said is None else bool(said == _STOPPED)

    async def save_scheduler(self, *, stopped: bool) -> None:
        await self._put("SET", "scheduler", _STOPPED if stopped else _STARTED)

    # Pools and soldiers.

    async def save_pool(self, pool: PoolRecord) -> None:
        await self._put("HSET", "pools", f"{pool.namespace}/{pool.name}", codec.encode(pool))

    async def delete_pool(self, namespace: str, name: str) -> None:
        await self._ask("HDEL", self._key("pools"), f"{namespace}/{name}")

    async def pools(self) -> Sequence[PoolRecord]:
        pools = map(codec.pool_of, await self._ask("HVALS", self._key("pools")))
        return sorted(pools, key=lambda pool: (pool.namespace, pool.name))

    async def save_soldier(self, registration: Registration) -> None:
        await self._put("HSET", "soldiers", registration.instance, codec.encode(registration))

    async def save_beat(self, instance: m.Instance, beat: Beat) -> bool:
        return bool(await self._run(self._beat, instance, beat.beat, codec.encode(beat)))

    async def soldier(self, instance: m.Instance) -> tuple[Registration, Beat | None] | None:
        registered, beat = await self._ask_all(
            ("HGET", self._key("soldiers"), instance), ("HGET", self._key("beats"), instance)
        )
        if registered is None:
            return None
        return codec.registration_of(registered), None if beat is None else codec.beat_of(beat)

    async def soldiers(self) -> Mapping[m.Instance, tuple[Registration, Beat | None]]:
        soldiers, beats = await self._ask_all(("HVALS", self._key("soldiers")), ("HGETALL", self._key("beats")))
        newest = {instance.decode(): codec.beat_of(beat) for instance, beat in _pairs(beats)}
        registered = map(codec.registration_of, soldiers)
        return {one.instance: (one, newest.get(one.instance)) for one in registered}

    async def remove_soldier(self, instance: m.Instance) -> None:
        await self._ask_all(("HDEL", self._key("soldiers"), instance), ("HDEL", self._key("beats"), instance))

    # The way there.

    def _key(self, name: str) -> str:
        return f"{self._settings.prefix}{name}"

    async def _ask(self, *command: str | bytes | int) -> Any:
        [answer] = await self._ask_all(command)
        return answer

    async def _ask_all(self, *commands: Command) -> list[Any]:
        return await self._commands.ask(*commands, timeout_seconds=self._settings.operation_seconds)

    async def _put(self, command: str, name: str, *arguments: str | bytes) -> None:
        """Write a few bytes of ours, which must not wait for memory."""
        await self._run(self._write_one, command, *arguments, keys=(self._key(name),))

    async def _run(self, script: Script, *arguments: str | bytes | int, keys: Sequence[str] = ()) -> Any:
        return await script.run(arguments, keys=keys, timeout_seconds=self._settings.operation_seconds)

    async def _live_ids(self, after: str, limit: int = LIVE_BATCH) -> Any:
        return await self._ask("ZRANGEBYLEX", self._key("live"), after, "+", "LIMIT", 0, limit)

    def _newest_event(self) -> Command:
        return ("XREVRANGE", self._key("events"), "+", "-", "COUNT", 1)

    async def _wait_for_events(self, read: Command, wait_seconds: float) -> Any:
        # BLOCK 0 would wait for ever.
        block: Command = ("XREAD", "BLOCK", max(1, math.ceil(wait_seconds * 1000)), *read)
        [found] = await self._waiting.ask(block, timeout_seconds=wait_seconds + self._settings.operation_seconds)
        return found


def _answer_of(answer: bytes | list[bytes | None]) -> Committed | Conflict:
    if isinstance(answer, bytes):
        return Committed(answer.decode())
    current, floor = answer
    return Conflict(codec.mission_or_none(current), int(floor or 0))


def _newest(entries: Sequence[tuple[bytes, Any]]) -> EventId:
    return entries[0][0].decode() if entries else NO_EVENT


def _following(after: EventId, found: Any) -> Sequence[Event] | None:
    """Give the events that XREAD found, if the first of them is the one right after `after`."""
    if not found:
        return []
    [(_, entries)] = found
    _, (_, before, *_) = entries[0]
    if before.decode() != after:
        return None
    return [_event_of(entry) for entry in entries]


def _event_of(entry: tuple[bytes, Any]) -> Event:
    event, (_, _, _, record, *lane) = entry
    return Event(event.decode(), codec.mission_of(record), codec.lane_change_of(lane[1]) if lane else None)


def _texts(answer: Sequence[bytes]) -> list[Any]:
    return [one.decode() for one in answer]


def _pairs(flat: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)
