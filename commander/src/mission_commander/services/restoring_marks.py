"""Restores the marks of idle lanes: how far a numbered lane came is known to nobody else once its missions are gone.

A lane in which somebody stands is restored by the next decision about one of its missions.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from mission_commander.domain.lane import Lane, LaneChange
from mission_commander.domain.lane_memory import LaneMemory
from mission_commander.ports import Ledger
from mission_commander.services.recorder import Recorder
from mission_contracts.clock import Clock

MAX_BATCH: Final = 500


class MarkRestorer:
    """Compares what this Commander remembers with the ledger, and writes what the ledger lacks."""

    def __init__(self, ledger: Ledger, recorder: Recorder, lanes: LaneMemory, clock: Clock) -> None:
        self._ledger = ledger
        self._recorder = recorder
        self._lanes = lanes
        self._clock = clock

    async def restore(self) -> None:
        """Write every idle numbered lane of which the ledger knows less. Raises LedgerAwayError, EraChangedError."""
        now = self._clock.now()
        idle = iter([lane for lane in self._lanes.all() if _is_a_mark(lane, now)])
        while batch := list(islice(idle, MAX_BATCH)):
            await self._restore(batch)

    async def _restore(self, lanes: Sequence[Lane]) -> None:
        stored = await self._ledger.lanes([lane.key for lane in lanes])
        changes = [change for known, found in zip(lanes, stored, strict=True) if (change := _change(known, found))]
        if changes:
            await self._ledger.save_lanes(self._recorder.era, changes)


def _is_a_mark(lane: Lane, now: float) -> bool:
    expires_at = lane.record.expires_at
    return lane.record.is_numbered and not lane.queue and (expires_at is None or expires_at > now)


def _change(known: Lane, stored: Lane | None) -> LaneChange | None:
    """The whole lane again; None where the ledger has as much, or a lane that somebody has begun anew."""
    version = stored.record.version if stored is not None else 0
    if version >= known.record.version:
        return None
    return LaneChange(key=known.key, expected=version, record=known.record, entries=dict(known.places), whole=True)
