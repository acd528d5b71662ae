"""Lanes in both ledgers: written with their missions or not at all, announced, read, kept, forgotten."""

from typing import Any

import msgspec
import pytest
from support.ledger_probe import ERA, Stage, a_mission, all_events, changed, creation, must, step

from mission_commander.domain.lane import SPENT, Gap, Lane, LaneChange, LaneKey, LaneRecord, Place
from mission_commander.domain.record import Mission
from mission_commander.ports import Committed, Conflict, EraChangedError, Ledger
from mission_contracts import mission as m

KEY = LaneKey("default", "pool", "a key / with: anything, é, in it")
FIRST, SECOND = a_mission("m-1"), a_mission("m-2")


def record(version: int, **fields: Any) -> LaneRecord:
    return LaneRecord(version=version, is_numbered=True, **fields)


def a_change(
    *missions: Mission,
    key: LaneKey = KEY,
    expected: int = 0,
    version: int = 0,
    entries: dict[Place, m.MissionId | None] | None = None,
    whole: bool = False,
    **fields: Any,
) -> LaneChange:
    return LaneChange(
        key=key,
        expected=expected,
        record=record(version or expected + 1, **fields),
        entries={Place(1): FIRST.id} if entries is None else entries,
        missions=tuple(one.id for one in missions),
        whole=whole,
    )


def seen(lane: Lane | None) -> tuple[LaneRecord, dict[Place, m.MissionId]] | None:
    return None if lane is None else (lane.record, lane.places)


async def the_lane(ledger: Ledger, key: LaneKey = KEY) -> Any:
    [lane] = await ledger.lanes([key])
    return seen(lane)


# Together or not at all.


async def test_a_lane_is_written_with_its_missions(ledger: Ledger) -> None:
    lane = a_change(FIRST, version=7, head=Place(1), mark=0, gap=Gap(3, 12.5, Place(4, 2)), last=Place(4, 2))
    [answer] = await ledger.commit(ERA, [creation(FIRST)], lanes=[lane])
    assert isinstance(answer, Committed)
    assert await the_lane(ledger) == (lane.record, {Place(1): FIRST.id})


async def test_a_lane_that_moved_on_keeps_its_missions_from_moving(ledger: Ledger) -> None:
    await ledger.commit(ERA, [creation(FIRST)], lanes=[a_change(FIRST, version=5)])
    lane = a_change(FIRST, SECOND, expected=4, version=9)
    free = a_mission("free")
    answers = await ledger.commit(ERA, [step(FIRST, changed(FIRST)), creation(free), creation(SECOND)], lanes=[lane])
    assert answers[0] == Conflict(FIRST)
    assert isinstance(answers[1], Committed), "a mission without a lane goes its way"
    assert answers[2] == Conflict(None)
    assert await the_lane(ledger) == (record(5), {Place(1): FIRST.id})
    assert [event.mission.id for event in await all_events(ledger)] == ["m-1", "free"]


async def test_a_mission_that_moved_on_keeps_its_lane_and_its_neighbours_from_moving(ledger: Ledger) -> None:
    await must(ledger, creation(FIRST))
    stale = step(changed(FIRST), changed(changed(FIRST)))
    answers = await ledger.commit(ERA, [creation(SECOND), stale], lanes=[a_change(FIRST, SECOND)])
    assert answers == [Conflict(None), Conflict(FIRST)]
    assert await the_lane(ledger) is None


async def test_lanes_of_one_commit_do_not_spoil_each_other(ledger: Ledger) -> None:
    other = LaneKey("default", "pool", "other")
    good, bad = a_change(FIRST), a_change(SECOND, key=other, expected=3)
    answers = await ledger.commit(ERA, [creation(FIRST), creation(SECOND)], lanes=[good, bad])
    assert isinstance(answers[0], Committed)
    assert answers[1] == Conflict(None)
    assert await ledger.lanes([other]) == [None]


async def test_another_era_writes_no_lane(ledger: Ledger) -> None:
    with pytest.raises(EraChangedError):
        await ledger.commit(m.Era(ERA + 1), [creation(FIRST)], lanes=[a_change(FIRST)])
    with pytest.raises(EraChangedError):
        await ledger.save_lanes(m.Era(ERA + 1), [a_change()])
    assert await the_lane(ledger) is None


async def test_a_change_says_what_changes_only(ledger: Ledger) -> None:
    entries: dict[Place, m.MissionId | None] = {Place(number): m.MissionId(f"m-{number}") for number in range(1, 5)}
    await ledger.commit(ERA, [creation(FIRST)], lanes=[a_change(FIRST, entries=entries)])
    later: dict[Place, m.MissionId | None] = {Place(1): None, Place(2): SPENT, Place(4, 1): m.MissionId("redrive")}
    moved = changed(FIRST)
    await ledger.commit(
        ERA, [step(FIRST, moved)], lanes=[a_change(FIRST, expected=1, entries=later, mark=1, head=Place(3))]
    )
    assert await the_lane(ledger) == (
        record(2, mark=1, head=Place(3)),
        {Place(2): SPENT, Place(3): "m-3", Place(4): "m-4", Place(4, 1): "redrive"},
    )


async def test_a_whole_change_replaces_what_was_there(ledger: Ledger) -> None:
    await ledger.commit(ERA, [creation(FIRST)], lanes=[a_change(FIRST, entries={Place(9): FIRST.id})])
    whole = a_change(expected=1, version=8, entries={Place(2): SECOND.id}, whole=True)
    assert await ledger.save_lanes(ERA, [whole]) == [True]
    assert await the_lane(ledger) == (record(8), {Place(2): SECOND.id})


async def test_saving_lanes_compares_each(ledger: Ledger) -> None:
    other = LaneKey("default", "pool", "other")
    assert await ledger.save_lanes(ERA, [a_change(), a_change(key=other, expected=5)]) == [True, False]
    assert await ledger.save_lanes(ERA, [a_change()]) == [False]


@pytest.mark.parametrize(
    "lanes",
    [
        pytest.param([a_change(FIRST), a_change(FIRST)], id="a lane twice"),
        pytest.param([a_change(FIRST, expected=5, version=5)], id="a version that does not rise"),
        pytest.param([a_change(SECOND)], id="a mission that the commit does not change"),
    ],
)
async def test_what_no_correct_caller_commits_is_an_error(ledger: Ledger, lanes: list[LaneChange]) -> None:
    with pytest.raises(ValueError, match="lane"):
        await ledger.commit(ERA, [creation(FIRST)], lanes=lanes)


# Announcing.


async def test_the_last_event_of_a_lanes_missions_tells_what_became_of_the_lane(ledger: Ledger) -> None:
    lane = a_change(FIRST, SECOND, entries={Place(1): FIRST.id, Place(2): SECOND.id})
    await ledger.commit(ERA, [creation(FIRST), creation(a_mission("free")), creation(SECOND)], lanes=[lane])
    events = await all_events(ledger)
    assert [event.lane for event in events] == [None, None, msgspec.structs.replace(lane, missions=())]


# Reading.


async def test_lanes_are_read_in_order(ledger: Ledger) -> None:
    keys = [LaneKey("default", "pool", f"k-{n}") for n in range(3)]
    await ledger.save_lanes(ERA, [a_change(key=key, version=n + 1) for n, key in enumerate(keys) if n != 1])
    lanes = await ledger.lanes([keys[2], keys[1], keys[0]])
    assert [lane and (lane.key, lane.record.version) for lane in lanes] == [(keys[2], 3), None, (keys[0], 1)]
    assert await ledger.lanes([]) == []


async def test_all_lanes_come_in_use_first_then_those_kept_longest(ledger: Ledger) -> None:
    ends = {"b": None, "a": None, "old": 10.0, "new": 20.5}
    for name, end in ends.items():
        await ledger.save_lanes(ERA, [a_change(key=LaneKey("default", "pool", name), expires_at=end)])
    found = [lane.key.ordering_key async for batch in ledger.all_lanes() for lane in batch]
    assert found == ["b", "a", "new", "old"]


async def test_a_commander_reads_what_another_wrote(stage: Stage, ledger: Ledger) -> None:
    await ledger.save_lanes(ERA, [a_change()])
    assert await the_lane(await stage.another()) == (record(1), {Place(1): FIRST.id})


# Forgetting.


async def test_unused_lanes_are_forgotten_oldest_first_and_those_in_use_never(ledger: Ledger) -> None:
    keys = {end: LaneKey("default", "pool", f"{end}") for end in (None, 10.0, 11.0, 12.0)}
    await ledger.save_lanes(ERA, [a_change(key=key, expires_at=end) for end, key in keys.items()])
    assert await ledger.purge_lanes(12.0, 1) == 1
    assert await ledger.lanes([keys[10.0]]) == [None]
    assert await ledger.purge_lanes(12.0, 10) == 1
    assert await ledger.purge_lanes(12.0, 10) == 0
    assert [lane is not None for lane in await ledger.lanes(list(keys.values()))] == [True, False, False, True]


async def test_a_lane_that_is_used_again_is_not_forgotten(ledger: Ledger) -> None:
    await ledger.save_lanes(ERA, [a_change(expires_at=10.0)])
    await ledger.save_lanes(ERA, [a_change(expected=1)])
    assert await ledger.purge_lanes(1e12, 10) == 0


async def test_a_wipe_takes_the_lanes_too(stage: Stage, ledger: Ledger) -> None:
    await ledger.save_lanes(ERA, [a_change()])
    await stage.wipe()
    assert await the_lane(ledger) is None
