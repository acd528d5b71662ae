"""Random lives on both ledgers at once: whatever is done to them, memory and Redis answer the same."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from support.ledger_probe import ERA, FIRST, a_mission, changed, finished

from mission_commander.adapters.memory_ledger import MemoryLedger
from mission_commander.adapters.redis_ledger import RedisSettings, connect
from mission_commander.domain.lane import LaneChange, LaneKey, LaneRecord, Place
from mission_commander.domain.record import Mission, Phase
from mission_commander.ports import (
    Change,
    Committed,
    Conflict,
    EraChangedError,
    EventId,
    Ledger,
    OutboxEntry,
    PoolRecord,
)
from mission_contracts.envelope import Door
from mission_contracts.mission import Epoch, Era, Instance, MissionId, MissionState
from mission_contracts.mission import Sequence as Number
from mission_contracts.soldiering import Beat, Registration, TypeInfo

T = TypeVar("T")

IDS = [MissionId(text) for text in ("a", "a-b", "ab", "B", "é", "m 1")]
NAMESPACES = ["default", "other"]
LANES = [LaneKey("default", "x", "k"), LaneKey("default", "x", "k/é"), LaneKey("other", "x", "k")]
MOMENTS = [10.0, 10.5, 1_700_000_000.123456]

ids = st.sampled_from(IDS)
moments = st.sampled_from(MOMENTS)
floors = st.sampled_from([0, FIRST + 1, FIRST + 1_000])
limits = st.integers(0, 8)
instances = st.sampled_from([Instance("s-1"), Instance("s-2")])


class Both(RuleBasedStateMachine):
    """Memory is the model. Event ids differ between the two, so events are compared by their place."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._administrator = redis.Redis.from_url(url)
        self._administrator.flushdb()
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self.memory = MemoryLedger()
        self.redis: Ledger = self._run(self._stack.enter_async_context(connect(RedisSettings(urls=(url,)))))
        self.records: dict[MissionId, Mission] = {}
        self.events: list[tuple[EventId, EventId]] = [("0-0", "0-0")]

    def teardown(self) -> None:
        self._run(self._stack.aclose())
        self._runner.close()
        self._administrator.close()

    # What is done.

    @rule(era=st.sampled_from([ERA, Era(ERA + 1)]), replaces=st.sampled_from([None, ERA, Era(ERA + 1)]))
    def begin_era(self, era: Era, replaces: Era | None) -> None:
        self.both(lambda ledger: ledger.begin_era(era, replaces=replaces))

    @rule(
        data=st.data(),
        wanted=st.lists(ids, unique=True, max_size=len(IDS)),
        era=st.sampled_from([None, None, None, Era(ERA - 1)]),
    )
    def commit(self, data: st.DataObject, wanted: list[MissionId], era: Era | None) -> None:
        changes = [data.draw(changes_of(mission_id, self.records.get(mission_id))) for mission_id in wanted]
        in_force = self._run(self.memory.era()) or ERA
        floor = data.draw(floors)
        answers = self._run_both(lambda ledger: _commit(ledger, era or in_force, changes, floor=floor))
        assert _without_ids(answers[0]) == _without_ids(answers[1])
        self._remember(changes, *answers)

    @rule(
        data=st.data(),
        wanted=st.lists(ids, unique=True, max_size=3),
        key=st.sampled_from(LANES),
        off=st.sampled_from([0, 0, 0, 1]),
        expires_at=st.none() | moments,
        whole=st.booleans(),
        places=st.dictionaries(
            st.builds(Place, st.integers(1, 5), st.integers(0, 2)), st.sampled_from([None, "", "a"])
        ),
    )
    def commit_in_a_lane(
        self,
        data: st.DataObject,
        wanted: list[MissionId],
        key: LaneKey,
        off: int,
        expires_at: float | None,
        whole: bool,
        places: dict[Place, MissionId | None],
    ) -> None:
        changes = [data.draw(changes_of(mission_id, self.records.get(mission_id))) for mission_id in wanted]
        [known] = self._run(self.memory.lanes([key]))
        expected = (known.record.version if known else 0) + off
        record = LaneRecord(version=expected + 1, is_numbered=True, expires_at=expires_at)
        of_lane = tuple(wanted[: data.draw(st.integers(0, len(wanted)))])
        lane = LaneChange(key=key, expected=expected, record=record, entries=places, missions=of_lane, whole=whole)
        in_force = self._run(self.memory.era()) or ERA
        floor = data.draw(floors)
        answers = self._run_both(lambda ledger: _commit(ledger, in_force, changes, lane, floor=floor))
        assert _without_ids(answers[0]) == _without_ids(answers[1])
        self._remember(changes, *answers)

    @rule(now=st.sampled_from([*MOMENTS, 11.0, 2e9]), limit=limits)
    def purge_lanes(self, now: float, limit: int) -> None:
        self.both(lambda ledger: ledger.purge_lanes(now, limit))

    @rule(entries=st.lists(st.tuples(ids, st.integers(1, 4)), max_size=5), chosen=st.sets(st.integers(0, 5)))
    def confirm(self, entries: list[tuple[MissionId, int]], chosen: set[int]) -> None:
        waiting = self._run(self.memory.outbox(6))
        confirmed = [waiting[place] for place in sorted(chosen) if place < len(waiting)]
        confirmed += [OutboxEntry(mission_id, Epoch(epoch)) for mission_id, epoch in entries]
        self.both(lambda ledger: ledger.confirmed(confirmed))

    @rule(before=st.sampled_from([*MOMENTS, 11.0, 2e9]), limit=limits)
    def purge(self, before: float, limit: int) -> None:
        self.both(lambda ledger: ledger.purge(before, limit))
        self.records = {one: record for one, record in self.records.items() if self._is_kept(one)}

    @rule()
    def wipe(self) -> None:
        self.memory.wipe()
        self._administrator.flushdb()
        self.records, self.events = {}, [("0-0", "0-0")]

    @rule(namespace=st.sampled_from(NAMESPACES), name=st.sampled_from(["x", "y"]), paused=st.booleans())
    def declare_pool(self, namespace: str, name: str, paused: bool) -> None:
        self.both(lambda ledger: ledger.save_pool(PoolRecord(namespace=namespace, name=name, paused=paused)))

    @rule(namespace=st.sampled_from(NAMESPACES), name=st.sampled_from(["x", "y"]))
    def delete_pool(self, namespace: str, name: str) -> None:
        self.both(lambda ledger: ledger.delete_pool(namespace, name))

    @rule(instance=instances, concurrency=st.integers(1, 3))
    def register(self, instance: Instance, concurrency: int) -> None:
        registration = Registration(
            instance=instance, namespace="default", pool="x", types=(TypeInfo(name="noop"),), concurrency=concurrency
        )
        self.both(lambda ledger: ledger.save_soldier(registration))

    @rule(instance=instances, number=st.integers(1, 120), after=st.floats(0, 1e9))
    def beat(self, instance: Instance, number: int, after: float) -> None:
        beat = Beat(beat=number, after=after, held=(), unclaimed=((IDS[0], Epoch(1)),), slots=1, taking=True)
        self.both(lambda ledger: ledger.save_beat(instance, beat))

    @rule(instance=instances)
    def remove_soldier(self, instance: Instance) -> None:
        self.both(lambda ledger: ledger.remove_soldier(instance))

    # What is asked.

    @rule(wanted=st.lists(ids, max_size=8))
    def read(self, wanted: list[MissionId]) -> None:
        self.both(lambda ledger: ledger.fetch(wanted))
        self.both(lambda ledger: ledger.payloads(wanted))

    @rule(
        namespace=st.sampled_from(NAMESPACES),
        before=st.none() | st.tuples(st.sampled_from([*MOMENTS, 9.0, 10.2]), ids | st.just(MissionId(""))),
        limit=limits,
    )
    def list_page(self, namespace: str, before: tuple[float, MissionId] | None, limit: int) -> None:
        self.both(lambda ledger: ledger.list_ids(namespace, before=before, limit=limit))

    @rule(place=st.integers(0, 1000), limit=st.integers(1, 5))
    def follow(self, place: int, limit: int) -> None:
        after = self.events[place % len(self.events)]
        ours, theirs = (
            self._run(ledger.events(event, wait_seconds=0, limit=limit))
            for ledger, event in zip((self.memory, self.redis), after, strict=True)
        )
        assert ours is not None
        assert theirs is not None
        assert [(event.mission, event.lane) for event in ours] == [(event.mission, event.lane) for event in theirs]
        known = {event: place for place, (event, _) in enumerate(self.events)}
        assert [self.events[known[event.id]][1] for event in ours] == [event.id for event in theirs]

    @rule(limit=limits)
    def look_into_the_outbox(self, limit: int) -> None:
        self.both(lambda ledger: ledger.outbox(limit))

    @rule(limit=limits)
    def list_dead_letters(self, limit: int) -> None:
        self.both(lambda ledger: ledger.dead_letters(limit))

    @invariant()
    def they_agree_on_everything_else(self) -> None:
        self.both(lambda ledger: ledger.era())
        self.both(_live)
        self.both(lambda ledger: ledger.pools())
        self.both(lambda ledger: ledger.soldiers())
        self.both(_purged)
        self.both(_lanes)
        assert tuple(self._run_both(lambda ledger: ledger.last_event())) == self.events[-1]

    # How.

    def both(self, ask: Callable[[Ledger], Awaitable[Any]]) -> None:
        ours, theirs = self._run_both(ask)
        assert ours == theirs, "memory (first) and Redis (second) disagree"

    def _run_both(self, ask: Callable[[Ledger], Awaitable[T]]) -> list[T]:
        return [self._run(ask(ledger)) for ledger in (self.memory, self.redis)]

    def _run(self, waiting: Awaitable[T]) -> T:
        async def wait() -> T:
            return await waiting

        return self._runner.run(wait())

    def _is_kept(self, mission_id: MissionId) -> bool:
        return self._run(self.memory.fetch([mission_id])) != [None]

    def _remember(self, changes: Sequence[Change], ours: Any, theirs: Any) -> None:
        if isinstance(ours, str):
            return
        for change, mine, other in zip(changes, ours, theirs, strict=True):
            if isinstance(mine, Committed):
                self.records[change.mission.id] = change.mission
                self.events.append((mine.event, other.event))


@st.composite
def changes_of(draw: st.DrawFn, mission_id: MissionId, current: Mission | None) -> Change:
    """A change of a mission as a Commander could decide it: on the newest record, on an old one, or on none."""
    base = current or a_mission(
        mission_id,
        namespace=draw(st.sampled_from(NAMESPACES)),
        accepted_at=draw(moments),
        door=draw(st.sampled_from(Door)),
    )
    after = draw(records_after(base))
    right = Number(0) if current is None else base.sequence
    expected = draw(st.sampled_from([right, right, right, Number(0), Number(base.sequence - 1)]))
    payload = draw(st.sampled_from([None, b"", b"{}", b'{"n":1}']))
    is_new, replaces = expected == 0 and draw(st.booleans()), False
    if current is not None and current.is_final and draw(st.booleans()):
        is_new = replaces = True
        envelope = a_mission(
            mission_id, namespace=draw(st.sampled_from(NAMESPACES)), accepted_at=draw(moments)
        ).envelope
        after = changed(base, envelope=envelope, phase=Phase.OUT, state=MissionState.QUEUED, finished_at=None)
    return Change(after, expected, payload, draw(st.booleans()), is_new, replaces)


@st.composite
def records_after(draw: st.DrawFn, base: Mission) -> Mission:
    """A later record. A final one stays final, but may be acknowledged or redriven."""
    if base.is_final or draw(st.booleans()):
        return finished(base, draw(moments), dead_letter=draw(st.booleans()), acknowledged=draw(st.booleans()))
    phase = draw(st.sampled_from([Phase.WAITING, Phase.OUT, Phase.CLAIMED]))
    return changed(base, phase=phase, epoch=Epoch(draw(st.integers(1, 4))), message=draw(st.sampled_from(["", "né"])))


async def _commit(
    ledger: Ledger, era: Era, changes: Sequence[Change], *lanes: LaneChange, floor: int
) -> Sequence[Committed | Conflict] | str:
    try:
        return await ledger.commit(era, changes, lanes=lanes, floor=floor)
    except EraChangedError:
        return "another era"


def _without_ids(answers: Sequence[Committed | Conflict] | str) -> list[Any]:
    return ["committed" if isinstance(answer, Committed) else answer for answer in answers]


async def _live(ledger: Ledger) -> dict[MissionId, Any]:
    return {one.id: one async for batch in ledger.live() for one in batch}


async def _lanes(ledger: Ledger) -> list[Any]:
    return [(one.key, one.record, one.places) async for batch in ledger.all_lanes() for one in batch]


async def _purged(ledger: Ledger) -> Mapping[MissionId, float]:
    return await ledger.purged(IDS)


@pytest.mark.real
@pytest.mark.timeout(300)
def test_memory_and_redis_agree_whatever_is_done_to_them(redis_db: str) -> None:
    bounds = settings(
        max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    run_state_machine_as_test(lambda: Both(redis_db), settings=bounds)  # type: ignore[arg-type]  # any maker of machines will do
