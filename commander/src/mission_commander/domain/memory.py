"""The missions that a Commander holds in memory: all live ones, and the recent final ones, with their indexes.

It follows the ledger and never leads it: a record comes in here after it was committed, or heard of. The highest
sequence of the latest life wins, so it does not matter in which order one hears. Final missions go when their retention
is over, as they do from the ledger, and earlier where they are too many.
"""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from mission_commander.domain.due import DueIndex, look_at
from mission_commander.domain.lane_memory import LaneMemory
from mission_commander.domain.payload_store import MAX_BYTES, PayloadStore
from mission_commander.domain.record import Mission, Phase
from mission_commander.domain.records import Records, size_of
from mission_commander.domain.retention import KEPT_FOR_GOOD, Retention, purgeable_since
from mission_commander.domain.standing import is_newer
from mission_contracts.mission import Epoch, Instance, MissionId, Priority, Reason

KEPT_FINALS: Final = 50_000
KEPT_FINAL_BYTES: Final = 64 * 1024 * 1024
"""Of these records, with their results and what their attempts ended with."""

MAX_QUEUES: Final = 20_000

_CARRIED: Final = frozenset({Phase.OUT, Phase.CLAIMED})
"""The order of such a mission, with its payload, is in the broker or in a soldier's hands, or soon is."""

PoolKey = tuple[str, str]
"""(namespace, pool)."""

Place = tuple[PoolKey, Phase]

Listener = Callable[[Mission], None]

_Key = TypeVar("_Key")


def pool_of(mission: Mission) -> PoolKey:
    """The pool whose soldiers run it."""
    return mission.envelope.namespace, mission.envelope.pool


class MissionMemory:
    """Looked up by id, by pool and phase, by holder, and by the next moment each has to be looked at."""

    def __init__(
        self,
        *,
        kept_finals: int = KEPT_FINALS,
        cancel_deadline_seconds: float = 30.0,
        payload_bytes: int = MAX_BYTES,
        retention: Retention = KEPT_FOR_GOOD,
    ) -> None:
        self.retention = retention
        self._records = Records()
        self._payloads = PayloadStore(payload_bytes)
        self._bare: dict[MissionId, None] = {}
        """Missions that wait, and whose payload only the ledger has: another Commander accepted them."""
        self._finals: OrderedDict[MissionId, int] = OrderedDict()
        """With about how many bytes each record takes."""
        self._final_bytes = 0
        self._kept_finals = kept_finals
        self._ended = DueIndex()
        """Final missions that nothing needs any more, by their end."""
        self._cancel_deadline_seconds = cancel_deadline_seconds
        self._by_place: defaultdict[Place, dict[MissionId, None]] = defaultdict(dict)
        self._by_holder: defaultdict[Instance, dict[MissionId, None]] = defaultdict(dict)
        self._without_pool: defaultdict[PoolKey, dict[MissionId, None]] = defaultdict(dict)
        self._live_of: Counter[str] = Counter()
        self._newest_claimed: dict[tuple[PoolKey, Priority], float] = {}
        self._due = DueIndex()
        self._listeners: list[Listener] = []
        self.lanes = LaneMemory()

    # Writing.

    def apply(self, mission: Mission, payload: bytes | None = None) -> bool:
        """Take a committed record in; False when a newer one is here already."""
        known = self._of_this_life(mission)
        if payload and not mission.is_final:
            self._keep_payload(mission.id, payload, known)
        if known is not None and not is_newer(mission, known, self.retention):
            return False
        if known is not None and not _stays(known, mission):
            self._leave_indexes(known)
        if (known is None or known.is_final) and not mission.is_final:
            self._live_of[mission.envelope.subject] += 1
        elif mission.is_final and known is not None and not known.is_final:
            self._has_ended(known)
        self._records.put(mission)
        self._enter_indexes(mission)
        self._note_bare(mission)
        for listener in tuple(self._listeners):
            listener(mission)
        return True

    def _of_this_life(self, mission: Mission) -> Mission | None:
        """The record that is here, once an earlier life of the same id has made way."""
        known = self._records.get(mission.id)
        if known is not None and self.retention.is_earlier_life(known, mission):
            self.forget(mission.id)
            return None
        return known

    def forget_ended(self, now: float) -> int:
        """Drop the final missions whose retention is over, as the ledger does; return how many."""
        ended = self._ended.pop(now - self.retention.seconds)
        for mission_id in ended:
            self.forget(mission_id)
        return len(ended)

    def forget(self, mission_id: MissionId) -> None:
        """Drop a record that the ledger has purged."""
        known = self._records.pop(mission_id)
        if known is not None:
            self._leave_indexes(known)
            if not known.is_final:
                self._has_ended(known)
        self._payloads.drop(mission_id)
        self._bare.pop(mission_id, None)
        self._final_bytes -= self._finals.pop(mission_id, 0)
        self._ended.arm(mission_id, None)
        self._due.arm(mission_id, None)

    def keep_payload(self, mission_id: MissionId, payload: bytes | None) -> None:
        """Take in the payload of a mission that is here already; None where the ledger has none either."""
        known = self._records.get(mission_id)
        if payload and known is not None:
            self._keep_payload(mission_id, payload, known)
        else:
            self._bare.pop(mission_id, None)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each record taken in, until the function that this gives is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # Reading.

    def get(self, mission_id: MissionId) -> Mission | None:
        return self._records.get(mission_id)

    def of_life(self, mission_id: MissionId, accepted_at: float) -> Mission | None:
        """The record of a mission that was accepted then; None where there is one of an earlier life at most."""
        known = self._records.get(mission_id)
        if known is None or self.retention.has_freed_id(known, accepted_at):
            return None
        return known

    def payload(self, mission_id: MissionId) -> bytes | None:
        """Its payload, if it is within the budget; else the ledger has it."""
        return self._payloads.get(mission_id)

    @property
    def payload_bytes(self) -> int:
        """What the payloads that are here take."""
        return self._payloads.size_bytes

    @property
    def has_free_room(self) -> bool:
        """Whether one more payload would be kept without another one's having to go."""
        return self._payloads.has_free_room

    def bare(self, limit: int) -> Sequence[MissionId]:
        """Missions that wait and whose payload is not here, the longest waiting first; none while there is no room."""
        return list(islice(self._bare, limit)) if self._payloads.has_room else []

    def in_phase(self, pool: PoolKey, phase: Phase, *, limit: int | None = None) -> Iterable[Mission]:
        """A pool's missions of one phase, in the order in which they came into it: all, or the first ones."""
        return self._records.find(list(islice(self._by_place.get((pool, phase), ()), limit)))

    def without_pool(self, pool: PoolKey) -> Iterable[Mission]:
        """Missions that wait because their pool was not known when they were last looked at."""
        return self._records.find(list(self._without_pool.get(pool, ())))

    def count(self, pool: PoolKey, phase: Phase) -> int:
        return len(self._by_place.get((pool, phase), ()))

    def phases(self) -> Counter[Phase]:
        """How many missions are in each phase; final ones are not counted."""
        found: Counter[Phase] = Counter()
        for (_, phase), ids in self._by_place.items():
            found[phase] += len(ids)
        return found

    def oldest(self, pool: PoolKey, phase: Phase) -> Mission | None:
        """The mission that has been longest in a phase of a pool."""
        mission_id = next(iter(self._by_place.get((pool, phase), ())), None)
        return None if mission_id is None else self._records.get(mission_id)

    def pools(self) -> Iterable[PoolKey]:
        """Those that have a live mission."""
        return tuple({pool for pool, _ in self._by_place})

    def held_by(self, instance: Instance) -> Iterable[Mission]:
        return self._records.find(list(self._by_holder.get(instance, ())))

    def held_count(self, instance: Instance) -> int:
        return len(self._by_holder.get(instance, ()))

    def holders(self) -> Iterable[Instance]:
        return tuple(self._by_holder)

    def newest_claimed(self, pool: PoolKey, priority: Priority) -> float:
        """When the newest order that was claimed, of all of a queue, had been handed out; 0 where none was."""
        return self._newest_claimed.get((pool, priority), 0.0)

    def live_ids(self) -> list[MissionId]:
        return [mission_id for ids in self._by_place.values() for mission_id in ids]

    def live(self) -> Iterator[Mission]:
        """Those that are live now and still are when their turn comes: the caller may take its time."""
        return (mission for mission in self._records.find(self.live_ids()) if not mission.is_final)

    def finals(self) -> Iterator[Mission]:
        return (mission for mission in self._records.find(list(self._finals)) if mission.is_final)

    def live_count(self) -> int:
        return len(self._records) - len(self._finals)

    def live_of(self, subject: str) -> int:
        """How many missions of one subject are not final."""
        return self._live_of[subject]

    # The due index.

    def next_time(self) -> float | None:
        """When the next mission has to be looked at."""
        return self._due.next_time()

    def pop_due(self, now: float, *, limit: int | None = None) -> list[MissionId]:
        """The missions whose moment has come; what does not move by it has to be put back."""
        return self._due.pop(now, limit=limit)

    def due_until(self, moment: float) -> Iterable[Mission]:
        """The missions that time alone may move by then."""
        return self._records.find(dict.fromkeys(self._due.until(moment)))

    def due_count(self, now: float) -> int:
        """How many missions have to be looked at now."""
        return self._due.count(now)

    def has_moment(self, mission_id: MissionId) -> bool:
        """Tell whether a moment is set at which to look at it."""
        return self._due.is_armed(mission_id)

    def look_again_unless_armed(self, mission_id: MissionId, at: float) -> None:
        """Look at a mission then, if it did not move and so has no moment of its own any more."""
        mission = self._records.get(mission_id)
        if mission is not None and not mission.is_final and not self._due.is_armed(mission_id):
            self._due.arm(mission_id, at)

    # Indexes.

    def _enter_indexes(self, mission: Mission) -> None:
        self._due.arm(mission.id, look_at(mission, self._cancel_deadline_seconds))
        self._payloads.note_carried(mission.id, is_carried=mission.phase in _CARRIED)
        if mission.is_final:
            self._ended.arm(mission.id, purgeable_since(mission))
            self._keep_final(mission.id, size_of(mission))
            return
        self._by_place[_place(mission)][mission.id] = None
        if mission.phase is Phase.CLAIMED:
            self._by_holder[mission.holder][mission.id] = None
            self._note_claimed(mission)
        if mission.phase is Phase.WAITING and mission.reason is Reason.NO_POOL:
            self._without_pool[pool_of(mission)][mission.id] = None
        elif self._without_pool:
            _drop(self._without_pool, pool_of(mission), mission.id)

    def _note_claimed(self, mission: Mission) -> None:
        queue, at = (pool_of(mission), mission.envelope.priority), mission.handed_out_at
        if at is not None and at > self._newest_claimed.get(queue, 0.0):
            if len(self._newest_claimed) >= MAX_QUEUES:
                self._newest_claimed.clear()  # it is only asked whether an order was overtaken: that is seen again
            self._newest_claimed[queue] = at

    def _leave_indexes(self, mission: Mission) -> None:
        if mission.is_final:
            return
        _drop(self._by_place, _place(mission), mission.id)
        if mission.phase is Phase.CLAIMED:
            _drop(self._by_holder, mission.holder, mission.id)
        if self._without_pool:
            _drop(self._without_pool, pool_of(mission), mission.id)

    def _has_ended(self, mission: Mission) -> None:
        subject = mission.envelope.subject
        self._live_of[subject] -= 1
        if not self._live_of[subject]:
            del self._live_of[subject]

    def _note_bare(self, mission: Mission) -> None:
        if mission.phase is Phase.WAITING and mission.id not in self._payloads and not mission.payload_lost:
            self._bare[mission.id] = None
        elif self._bare:
            self._bare.pop(mission.id, None)

    def _keep_payload(self, mission_id: MissionId, payload: bytes, known: Mission | None) -> None:
        # Also beside a record that is here already: the event of a commit, which has no payload, may overtake its
        # answer, and after a wipe of the ledger no other copy might be left.
        if known is not None and known.is_final:
            return
        if self._payloads.keep(mission_id, payload):
            self._bare.pop(mission_id, None)
            self._payloads.note_carried(mission_id, is_carried=known is not None and known.phase in _CARRIED)

    def _keep_final(self, mission_id: MissionId, size: int) -> None:
        self._payloads.drop(mission_id)
        self._final_bytes += size - self._finals.pop(mission_id, 0)
        self._finals[mission_id] = size
        while len(self._finals) > self._kept_finals or self._final_bytes > KEPT_FINAL_BYTES:
            oldest, freed = self._finals.popitem(last=False)
            self._final_bytes -= freed
            self._ended.arm(oldest, None)
            self._records.pop(oldest)


def _place(mission: Mission) -> Place:
    return pool_of(mission), mission.phase


def _stays(known: Mission, mission: Mission) -> bool:
    """The same hand-out in the same hands: it keeps its place among its neighbours."""
    return _hand_out(known) == _hand_out(mission)


def _hand_out(mission: Mission) -> tuple[Place, Epoch, Instance]:
    return _place(mission), mission.epoch, mission.holder


def _drop(index: defaultdict[_Key, dict[MissionId, None]], key: _Key, mission_id: MissionId) -> None:
    """Leave an index, and no empty entry behind: pools and holders come and go for years."""
    held = index[key]
    held.pop(mission_id, None)
    if not held:
        del index[key]
