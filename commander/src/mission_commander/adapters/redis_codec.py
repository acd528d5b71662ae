"""The ledger's values as bytes, and the fields that `commit.lua` takes for each change."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from mission_commander.adapters.ledger_rules import indexes_of
from mission_commander.domain.record import Mission
from mission_commander.ports import Beat, Change, OutboxEntry, PoolRecord
from mission_contracts.mission import Epoch, MissionId
from mission_contracts.soldiering import Registration

_encoder: Final = msgspec.msgpack.Encoder()
_missions: Final = msgspec.msgpack.Decoder(Mission)
_beats: Final = msgspec.msgpack.Decoder(Beat)
_pools: Final = msgspec.msgpack.Decoder(PoolRecord)
_registrations: Final = msgspec.msgpack.Decoder(Registration)

encode: Final = _encoder.encode
mission_of: Final = _missions.decode
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


def score(seconds: float | None) -> str:
    """Write a time so that Redis reads the very same number; nothing for none."""
    return "" if seconds is None else repr(float(seconds))
