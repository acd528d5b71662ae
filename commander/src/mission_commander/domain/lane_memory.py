"""The lanes that a Commander holds in memory: all in which somebody stands, and the marks of recent ones.

It follows the ledger as the memory of missions does. A lane that may have changed unheard is doubted: whoever needs it
next reads it from the ledger.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from mission_commander.domain.lane import Lane, LaneChange, LaneKey

KEPT_UNUSED: Final = 50_000


class LaneMemory:
    """Looked up by key."""

    def __init__(self, *, kept_unused: int = KEPT_UNUSED) -> None:
        self._lanes: dict[LaneKey, Lane] = {}
        self._unused: OrderedDict[LaneKey, None] = OrderedDict()
        self._doubted: set[LaneKey] = set()
        self._kept_unused = kept_unused

    # Writing.

    def apply(self, change: LaneChange) -> None:
        """Take in a committed change; what does not follow upon what is known makes the lane doubtful."""
        known = self._lanes.get(change.key)
        version = known.record.version if known is not None else 0
        if change.record.version <= version:
            return
        if change.whole or change.expected == 0:
            self.learn(Lane(change.key, change.record, change.entries))
        elif known is not None and change.expected == version:
            known.apply(change.record, change.entries)
            self._note_use(known)
        else:
            self._doubted.add(change.key)

    def hear_of(self, lane: Lane) -> None:
        """Take in a lane as the ledger has it, unless a newer one is here."""
        known = self._lanes.get(lane.key)
        if known is None or known.record.version < lane.record.version:
            self.learn(lane)

    def learn(self, lane: Lane) -> None:
        """Take in a lane as the ledger has it."""
        self._lanes[lane.key] = lane
        self._doubted.discard(lane.key)
        self._note_use(lane)

    def doubt(self, key: LaneKey) -> None:
        """Somebody else may have changed it."""
        self._doubted.add(key)

    def forget(self, key: LaneKey) -> None:
        """The ledger has none of this key."""
        self._lanes.pop(key, None)
        self._unused.pop(key, None)
        self._doubted.discard(key)

    # Reading.

    def get(self, key: LaneKey, now: float) -> Lane | None:
        """A lane, unless its time to be forgotten has come."""
        lane = self._lanes.get(key)
        if lane is None or not lane.record.is_over(now):
            return lane
        self.forget(key)
        return None

    def is_doubted(self, key: LaneKey) -> bool:
        return key in self._doubted

    def all(self) -> Iterator[Lane]:
        return iter(tuple(self._lanes.values()))

    def __len__(self) -> int:
        return len(self._lanes)

    # How.

    def _note_use(self, lane: Lane) -> None:
        self._unused.pop(lane.key, None)
        if lane.queue:
            return
        self._unused[lane.key] = None
        while len(self._unused) > self._kept_unused:
            oldest, _ = self._unused.popitem(last=False)
            del self._lanes[oldest]
            self._doubted.discard(oldest)
