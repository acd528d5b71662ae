"""Payloads in memory, within a budget: what exceeds it is in the ledger alone, and is read when an order is made.

A payload that is here can be restored when the ledger is wiped. So the room is for those that have no other copy: the
order of a mission that was handed out has its payload in the broker or in a soldier's hands, and gives way.
"""

from typing import Final

from mission_contracts.mission import MissionId
from mission_contracts.spec import MAX_PAYLOAD_BYTES

MAX_BYTES: Final = 128 * 1024 * 1024
OVERHEAD_BYTES: Final = 160
"""What a payload takes beside its text: its object, and its places in two dictionaries."""


class PayloadStore:
    """Payloads by id, at most `max_bytes` of them."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._payloads: dict[MissionId, bytes] = {}
        self._carried: dict[MissionId, None] = {}
        """Those that an order has too, the earliest handed out first."""
        self._carried_bytes = 0
        self.size_bytes = 0

    def __contains__(self, mission_id: MissionId) -> bool:
        return mission_id in self._payloads

    @property
    def has_room(self) -> bool:
        """Whether a payload of the largest size would be kept."""
        return self.size_bytes - self._carried_bytes + MAX_PAYLOAD_BYTES + OVERHEAD_BYTES <= self._max_bytes

    @property
    def has_free_room(self) -> bool:
        """Whether it would be kept, and none had to give way."""
        return self.size_bytes + MAX_PAYLOAD_BYTES + OVERHEAD_BYTES <= self._max_bytes

    def get(self, mission_id: MissionId) -> bytes | None:
        return self._payloads.get(mission_id)

    def keep(self, mission_id: MissionId, payload: bytes) -> bool:
        """Keep a payload where there is room for it, or can be made; whether it is here now."""
        self.drop(mission_id)
        size = len(payload) + OVERHEAD_BYTES
        if self.size_bytes - self._carried_bytes + size > self._max_bytes:
            return False
        while self.size_bytes + size > self._max_bytes:
            self.drop(next(iter(self._carried)))
        # A copy: what an encoder returns keeps the room that it grew into, up to half as much again.
        self._payloads[mission_id] = bytes(memoryview(payload))
        self.size_bytes += size
        return True

    def drop(self, mission_id: MissionId) -> None:
        self.note_carried(mission_id, is_carried=False)
        payload = self._payloads.pop(mission_id, None)
        if payload is not None:
            self.size_bytes -= len(payload) + OVERHEAD_BYTES

    def note_carried(self, mission_id: MissionId, *, is_carried: bool) -> None:
        """Note that an order with this payload is out, or is no more."""
        if mission_id not in self._payloads or is_carried == (mission_id in self._carried):
            return
        size = len(self._payloads[mission_id]) + OVERHEAD_BYTES
        if is_carried:
            self._carried[mission_id] = None
            self._carried_bytes += size
        else:
            del self._carried[mission_id]
            self._carried_bytes -= size
