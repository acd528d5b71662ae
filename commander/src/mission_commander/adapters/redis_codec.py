"""The ledger's values as bytes, and the fields that `commit.lua` takes for each change."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from mission_commander.adapters.ledger_rules import indexes_of
from mission_commander.domain.lane import Lane, LaneChange, LaneKey, LaneRecord, Place
from mission_commander.domain.owners import drops_payload, owner_of
from mission_commander.domain.record import Mission
from mission_commander.ports import Change, OutboxEntry, PoolRecord
from mission_contracts.mission import Epoch, MissionId
from mission_contracts.soldiering import Beat, Registration

_encoder: Final = msgspec.msgpack.Encoder()
_missions: Final = msgspec.msgpack.Decoder(Mission)
_beats: Final = msgspec.msgpack.Decoder(Beat)
_pools: Final = msgspec.msgpack.Decoder(PoolRecord)
_lanes: Final = msgspec.msgpack.Decoder(LaneRecord)
_lane_changes: Final = msgspec.msgpack.Decoder(LaneChange)
_registrations: Final = msgspec.msgpack.Decoder(Registration)

encode: Final = _encoder.encode
mission_of: Final = _missions.decode
lane_change_of: Final = _lane_changes.decode
pool_of: Final = _pools.decode
registration_of: Final = _registrations.decode


def beat_of(data: bytes) -> Beat:
    """Read what `beat.lua` keeps: the beat's number, for the script to compare, then the beat."""
    return _beats.decode(data.partition(b" ")[2])


def mission_or_none(data: bytes | None) -> Mission | None:
    return None if data is None else mission_of(data)


def outbox_member(mission_id: MissionId, epoch: Epoch) -> str:
    return f"{mission_id} {epoch}"


def outbox_entry(member: bytes) -> OutboxEntry:
    mission_id, _, epoch = member.decode().rpartition(" ")
    return OutboxEntry(MissionId(mission_id), Epoch(int(epoch)))


def arguments_of(changes: Sequence[Change]) -> Iterator[Any]:
    """Give the fields of all changes, one after the other, as `commit.lua` counts them."""
    for change in changes:
        mission, envelope = change.mission, change.mission.envelope
        indexes = indexes_of(mission)
        yield envelope.mission_id
        yield change.expected
        yield mission.sequence
        yield encode(mission)
        yield change.payload or b""
        yield envelope.namespace
        yield score(envelope.accepted_at)
        yield outbox_member(mission.id, mission.epoch) if change.hands_out else ""
        yield "1" if indexes.is_live else "0"
        yield score(indexes.purgeable_since)
        yield score(indexes.dead_since)
        yield ("n" if change.is_new else "") + ("r" if change.replaces else "")
        yield owner_of(envelope)
        yield "1" if drops_payload(mission) else ""


def lane_arguments_of(lanes: Sequence[LaneChange], changes: Sequence[Change]) -> list[Any]:
    """Give the fields of all lanes, as `commit.lua` counts them."""
    numbers = {change.mission.id: number for number, change in enumerate(changes)} if lanes else {}
    return [field for lane in lanes for field in _lane_fields(lane, numbers)]


def _lane_fields(lane: LaneChange, numbers: Mapping[MissionId, int]) -> Iterator[Any]:
    told = msgspec.structs.replace(lane, missions=())
    yield lane.key.name
    yield lane.expected
    yield lane.record.version
    yield encode(lane.record)
    yield score(lane.record.expires_at) or "inf"
    yield "1" if lane.whole else ""
    yield encode(told) if lane.missions else b""
    yield len(lane.entries)
    for place, mission_id in lane.entries.items():
        yield _place_field(place)
        yield _NOBODY if mission_id is None else mission_id
    yield len(lane.missions)
    for mission_id in lane.missions:
        yield numbers[mission_id]


_NOBODY: Final = "-"


def lane_of(key: LaneKey, fields: Sequence[bytes]) -> Lane | None:
    """Read what HGETALL gives; None for no lane."""
    found = dict(zip(fields[::2], fields[1::2], strict=True))
    if not found:
        return None
    del found[b"v"]
    record = _lanes.decode(found.pop(b"r"))
    return Lane(key, record, {_place_of(field): MissionId(who.decode()) for field, who in found.items()})


def _place_field(place: Place) -> str:
    return f"{place.number}.{place.behind}" if place.behind else str(place.number)


def _place_of(field: bytes) -> Place:
    number, _, behind = field.partition(b".")
    return Place(int(number), int(behind or 0))


def end_of(tombstone: bytes) -> float:
    """When a purged mission had ended; an older version's tombstone does not say so, and stands for every life."""
    return float(tombstone or math.inf)


def score(seconds: float | None) -> str:
    """Write a time so that Redis reads the very same number; nothing for none."""
    return "" if seconds is None else repr(float(seconds))
