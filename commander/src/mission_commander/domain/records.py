"""Records by id, most of them packed: a million missions that wait must fit beside everything else in one process.

A packed record takes about a third of what its objects take. The newest ones stay as they are, since a mission that
runs moves several times in a moment, and each move reads what came before.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec

from mission_commander.domain.record import Mission
from mission_contracts.mission import MissionId

UNPACKED: Final = 2_000
FIXED_BYTES: Final = 768
"""A packed record, its id and its places in the indexes, without what a handler said."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Mission).decode


class Records:
    """A mapping that returns an equal record each time, not the same object."""

    def __init__(self, *, unpacked: int = UNPACKED) -> None:
        self._records: dict[MissionId, Mission | bytes] = {}
        self._newest: OrderedDict[MissionId, None] = OrderedDict()
        self._unpacked = unpacked

    def __len__(self) -> int:
        return len(self._records)

    def get(self, mission_id: MissionId) -> Mission | None:
        held = self._records.get(mission_id)
        return _decode(held) if isinstance(held, bytes) else held

    def find(self, ids: Iterable[MissionId]) -> Iterable[Mission]:
        """Return those that are here by now, one at a time: all of them unpacked at once would not fit."""
        return (mission for mission_id in ids if (mission := self.get(mission_id)) is not None)

    def all(self) -> Iterable[Mission]:
        return self.find(list(self._records))

    def put(self, mission: Mission) -> None:
        self._records[mission.id] = mission
        self._newest[mission.id] = None
        self._newest.move_to_end(mission.id)
        if len(self._newest) > self._unpacked:
            self._pack(self._newest.popitem(last=False)[0])

    def pop(self, mission_id: MissionId) -> Mission | None:
        known = self.get(mission_id)
        self._records.pop(mission_id, None)
        self._newest.pop(mission_id, None)
        return known

    def _pack(self, mission_id: MissionId) -> None:
        held = self._records[mission_id]
        if not isinstance(held, bytes):
            self._records[mission_id] = _encode(held)


def size_of(mission: Mission) -> int:
    """Return about how many bytes of memory a packed record takes."""
    attempts = sum(len(attempt.message) for attempt in mission.attempts)
    return FIXED_BYTES + len(mission.result or b"") + len(mission.message) + attempts
