"""Where missions can be found: among the live ones, by namespace, among dead letters; and how they are forgotten."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
from support.ledger_probe import (
    ERA,
    NONE,
    PAYLOAD,
    Stage,
    a_mission,
    all_events,
    all_live,
    changed,
    creation,
    dead,
    finished,
    move,
    must,
    put,
    step,
)

from mission_commander.domain.lane import LaneChange, LaneKey, LaneRecord
from mission_commander.domain.record import Mission, Phase
from mission_commander.ports import Change, Committed, Conflict, Ledger, Stored
from mission_contracts.envelope import Door
from mission_contracts.mission import MissionId

# Live missions.


async def test_an_empty_ledger_has_no_live_missions(ledger: Ledger) -> None:
    assert [batch async for batch in ledger.live()] == []


async def test_live_missions_come_without_their_payloads(ledger: Ledger) -> None:
    mission = a_mission()
    await put(ledger, mission)
    assert [batch async for batch in ledger.live()] == [[mission]]


@pytest.mark.parametrize("phase", [Phase.WAITING, Phase.OUT, Phase.CLAIMED])
async def test_a_mission_that_is_not_final_stays_live(ledger: Ledger, phase: Phase) -> None:
    mission = a_mission()
    await put(ledger, mission)
    now = await move(ledger, mission, changed(mission, phase=phase))
    assert await all_live(ledger) == {mission.id: now}


async def test_a_final_mission_leaves_the_live_ones(ledger: Ledger) -> None:
    ends, stays = a_mission("ends"), a_mission("stays")
    await put(ledger, ends, stays)
    await move(ledger, ends, finished(ends))
    assert await all_live(ledger) == {stays.id: stays}


async def test_a_mission_restored_as_final_is_never_live(ledger: Ledger) -> None:
    await put(ledger, finished(a_mission()))
    assert await all_live(ledger) == {}


async def test_live_missions_come_each_once_in_batches_of_at_most_500(ledger: Ledger) -> None:
    missions = [a_mission(f"m-{number}") for number in range(1203)]
    await put(ledger, *missions)
    batches = [[one.id for one in batch] async for batch in ledger.live()]
    assert max(map(len, batches)) <= 500
    assert sorted(mission_id for batch in batches for mission_id in batch) == sorted(one.id for one in missions)


async def test_missions_may_come_and_end_while_the_live_ones_are_read(ledger: Ledger) -> None:
    stay = [a_mission(f"stays-{number:03}") for number in range(600)]
    end = [a_mission(f"ends-{number:03}") for number in range(600)]
    await put(ledger, *stay, *end)
    seen: list[MissionId] = []
    async for batch in ledger.live():
        if not seen:
            await must(ledger, *(step(one, finished(one)) for one in end))
            await put(ledger, a_mission("late"))
        seen += [one.id for one in batch]
    assert len(seen) == len(set(seen))
    assert {one.id for one in stay} <= set(seen)


# Listings.


async def test_a_namespace_lists_its_newest_missions_first(ledger: Ledger) -> None:
    await put(ledger, *(a_mission(f"m-{at}", accepted_at=at) for at in (20, 10, 30)))
    assert await ledger.list_ids("default", before=None, limit=10) == ["m-30", "m-20", "m-10"]
    assert await ledger.list_ids("default", before=None, limit=2) == ["m-30", "m-20"]


async def test_namespaces_do_not_see_each_other(ledger: Ledger) -> None:
    await put(ledger, a_mission("here"), a_mission("there", namespace="other"))
    assert await ledger.list_ids("default", before=None, limit=10) == ["here"]
    assert await ledger.list_ids("other", before=None, limit=10) == ["there"]
    assert await ledger.list_ids("unknown", before=None, limit=10) == []
    assert await ledger.list_ids("unknown", before=(1.0, MissionId("x")), limit=10) == []


async def test_final_missions_are_listed_too_and_each_once(ledger: Ledger) -> None:
    mission = a_mission()
    await put(ledger, mission)
    await move(ledger, mission, finished(mission))
    assert await ledger.list_ids("default", before=None, limit=10) == ["m-1"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
async def test_pages_meet_without_gap_or_overlap_also_where_many_were_accepted_at_once(
    ledger: Ledger, limit: int
) -> None:
    tied = [a_mission(f"tied-{number:02}", accepted_at=1_700_000_000.123) for number in range(17)]
    older, newer = a_mission("older", accepted_at=1_700_000_000.0), a_mission("newer", accepted_at=1_700_000_000.5)
    await put(ledger, *tied, older, newer)
    pages = [page async for page in _pages(ledger, [*tied, older, newer], limit)]
    expected = [newer.id, *sorted((one.id for one in tied), reverse=True), older.id]
    assert [mission_id for page in pages for mission_id in page] == expected
    assert all(len(page) == limit for page in pages[:-1])


async def test_ties_are_ordered_by_the_bytes_of_the_id(ledger: Ledger) -> None:
    ids = ["B", "a", "a-b", "ab", "a_b", "é", "Z", "0"]
    await put(ledger, *map(a_mission, ids))
    expected = sorted(ids, reverse=True)
    assert await ledger.list_ids("default", before=None, limit=10) == expected
    for count, mission_id in enumerate(expected, start=1):
        page = await ledger.list_ids("default", before=(1000.0, MissionId(mission_id)), limit=10)
        assert page == expected[count:]


async def test_a_page_goes_on_after_a_mission_that_is_gone(ledger: Ledger) -> None:
    gone = finished(a_mission("b"))
    await put(ledger, a_mission("a"), gone, a_mission("c"))
    await ledger.purge(9999.0, 10)
    assert await ledger.list_ids("default", before=(1000.0, gone.id), limit=10) == ["a"]


async def test_a_page_may_begin_between_two_missions(ledger: Ledger) -> None:
    await put(ledger, a_mission("old", accepted_at=10), a_mission("new", accepted_at=20))
    assert await ledger.list_ids("default", before=(15.0, MissionId("zzz")), limit=10) == ["old"]
    assert await ledger.list_ids("default", before=(20.0, MissionId("")), limit=10) == ["old"]
    assert await ledger.list_ids("default", before=(10.0, MissionId("")), limit=10) == []


# Dead letters.


async def test_dead_letters_are_listed_newest_first(ledger: Ledger) -> None:
    await put(ledger, dead(a_mission("a"), at=10), dead(a_mission("b"), at=30), dead(a_mission("c"), at=20))
    await put(ledger, finished(a_mission("fine")))
    assert await ledger.dead_letters(10) == ["b", "c", "a"]
    assert await ledger.dead_letters(2) == ["b", "c"]
    assert await ledger.dead_letters(0) == []


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_of_dead_letters_meet_also_where_many_ended_at_once(ledger: Ledger, limit: int) -> None:
    ends = {"a": 10.0, "b": 30.0, "c": 20.5, "d": 20.5, "e": 20.5}
    await put(ledger, *(dead(a_mission(name), at=at) for name, at in ends.items()))
    found: list[MissionId] = []
    before = None
    while page := await ledger.dead_letters(limit, before=before):
        found += page
        before = (ends[page[-1]], page[-1])
    assert found == ["b", "e", "d", "c", "a"]


async def test_a_mission_that_gives_up_becomes_a_dead_letter(ledger: Ledger) -> None:
    mission = a_mission()
    await put(ledger, mission)
    await move(ledger, mission, dead(mission))
    assert await ledger.dead_letters(10) == [mission.id]


async def test_a_dead_letter_that_was_redriven_is_one_no_longer(ledger: Ledger) -> None:
    letter = dead(a_mission())
    await put(ledger, letter)
    await move(ledger, letter, changed(letter, dead_letter=False))
    assert await ledger.dead_letters(10) == []


# Purging.


async def test_purging_removes_every_trace_but_a_tombstone(ledger: Ledger) -> None:
    await put(ledger, dead(a_mission(), at=50.0))
    assert not await ledger.purged([MissionId("m-1")])
    assert await ledger.purge(60.0, 10) == 1
    assert await ledger.fetch([MissionId("m-1")]) == [None]
    assert await ledger.payloads([MissionId("m-1")]) == [None]
    assert await ledger.list_ids("default", before=None, limit=10) == []
    assert await ledger.dead_letters(10) == []
    assert await ledger.purged([MissionId("m-1")])
    assert await ledger.purge(60.0, 10) == 0


async def test_purging_spares_what_finished_later_or_is_live(ledger: Ledger) -> None:
    await put(ledger, finished(a_mission("old"), 10.0), finished(a_mission("new"), 20.0), a_mission("live"))
    assert await ledger.purge(20.0, 10) == 1
    assert await ledger.list_ids("default", before=None, limit=10) == ["new", "live"]
    assert not await ledger.purged([MissionId("new")])


async def test_purging_takes_the_oldest_first_and_no_more_than_its_limit(ledger: Ledger) -> None:
    await put(ledger, *(finished(a_mission(f"m-{at}"), float(at)) for at in (3, 1, 2)))
    assert await ledger.purge(100.0, 2) == 2
    assert await ledger.purged([MissionId(f"m-{at}") for at in (1, 2, 3)]) == {"m-1": 1.0, "m-2": 2.0}


async def test_a_mission_of_the_cluster_door_stays_until_its_object_shows_the_end(ledger: Ledger) -> None:
    mission = finished(a_mission(door=Door.CLUSTER), 10.0)
    await put(ledger, mission)
    assert await ledger.purge(100.0, 10) == 0
    await move(ledger, mission, changed(mission, acknowledged=True))
    assert await ledger.purge(100.0, 10) == 1


async def test_purging_is_not_announced(ledger: Ledger) -> None:
    await put(ledger, finished(a_mission()))
    before = await all_events(ledger)
    await ledger.purge(9999.0, 10)
    assert await all_events(ledger) == before


async def test_a_purged_mission_can_be_written_anew(ledger: Ledger) -> None:
    await put(ledger, finished(a_mission()))
    await ledger.purge(9999.0, 10)
    mission = a_mission()
    await ledger.commit(ERA, [creation(mission)])
    assert await all_live(ledger) == {mission.id: mission}
    assert await ledger.payloads([mission.id]) == [PAYLOAD]


async def test_a_tombstone_says_when_the_mission_had_ended(ledger: Ledger) -> None:
    await put(ledger, finished(a_mission(), 1_700_000_000.1234567))
    await ledger.purge(2e9, 10)
    assert await ledger.purged([MissionId("m-1"), MissionId("m-2")]) == {"m-1": 1_700_000_000.1234567}


async def test_a_record_that_is_created_takes_the_tombstone_of_its_id_away(ledger: Ledger) -> None:
    await put(ledger, finished(a_mission()), finished(a_mission("m-2")))
    await ledger.purge(9999.0, 10)
    await put(ledger, a_mission())
    assert list(await ledger.purged([MissionId("m-1"), MissionId("m-2")])) == ["m-2"]


# The purge floor.


def a_new(mission_id: str = "new", **fields: Any) -> Change:
    return Change(a_mission(mission_id, **fields), NONE, PAYLOAD, is_new=True)


async def test_a_new_mission_meets_the_highest_number_that_a_purged_one_showed(ledger: Ledger) -> None:
    high = changed(finished(a_mission("high")), retried_as=MissionId("m-9"))
    await put(ledger, high, finished(a_mission("low")))
    assert await ledger.commit(ERA, [a_new()]) != [Conflict(None)], "nothing was purged yet"
    await ledger.purge(9999.0, 10)
    assert await ledger.commit(ERA, [a_new("m-3"), a_new("m-4")], floor=high.sequence - 1) == [
        Conflict(None, high.sequence),
        Conflict(None, high.sequence),
    ]
    assert isinstance((await ledger.commit(ERA, [a_new("m-3")], floor=high.sequence))[0], Committed)


async def test_the_floor_never_falls(ledger: Ledger) -> None:
    high = changed(finished(a_mission("high"), 1000.0))
    await put(ledger, high, finished(a_mission("low"), 2000.0))
    for before in (1500.0, 2500.0):
        await ledger.purge(before, 10)
    assert await ledger.commit(ERA, [a_new()]) == [Conflict(None, high.sequence)]


async def test_the_floor_holds_back_only_what_is_new(ledger: Ledger) -> None:
    """What was lost, and is written again, has its numbers already; and what is there goes on."""
    live = a_mission("live")
    await put(ledger, finished(a_mission()), live)
    await ledger.purge(9999.0, 10)
    answers = await ledger.commit(ERA, [creation(a_mission("restored")), step(live, changed(live)), a_new()])
    assert [isinstance(answer, Committed) for answer in answers] == [True, True, False]


async def test_a_conflict_by_another_record_says_so_also_below_the_floor(ledger: Ledger) -> None:
    taken = a_mission("taken")
    ended = finished(a_mission())
    await put(ledger, ended, taken)
    await ledger.purge(9999.0, 10)
    assert await ledger.commit(ERA, [a_new("taken")]) == [Conflict(taken, ended.sequence)]
    assert await ledger.commit(ERA, [a_new("taken")], floor=ended.sequence) == [Conflict(taken)]


async def test_a_lane_waits_for_its_new_missions_numbers(ledger: Ledger) -> None:
    ended = finished(a_mission())
    await put(ledger, ended)
    await ledger.purge(9999.0, 10)
    key = LaneKey("default", "default", "k")
    new = a_new()
    lane = LaneChange(
        key=key, expected=0, record=LaneRecord(version=1, is_numbered=True), entries={}, missions=(new.mission.id,)
    )
    assert await ledger.commit(ERA, [new], lanes=[lane]) == [Conflict(None, ended.sequence)]
    assert await ledger.lanes([key]) == [None]


async def test_a_later_life_leaves_no_trace_of_the_earlier_one(ledger: Ledger) -> None:
    first = dead(a_mission(namespace="then"), at=2000.0)
    await put(ledger, first, a_mission("neighbour", namespace="then"))
    second = changed(first, envelope=a_mission(accepted_at=5000.0).envelope, phase=Phase.OUT, finished_at=None)
    second = msgspec.structs.replace(second, dead_letter=False)
    change = Change(second, first.sequence, b'{"week":2}', is_new=True, replaces=True)
    assert isinstance((await ledger.commit(ERA, [change]))[0], Committed)
    assert await ledger.fetch([second.id]) == [Stored(second, b'{"week":2}')]
    assert await ledger.list_ids("then", before=None, limit=10) == ["neighbour"]
    assert await ledger.list_ids("default", before=None, limit=10) == [second.id]
    assert await ledger.live_ids(None, 10) == [second.id, "neighbour"]
    assert await ledger.dead_letters(10) == []
    assert await ledger.purge(9999.0, 10) == 0
    assert not await ledger.purged([second.id])


async def test_another_commander_sees_all_of_it(ledger: Ledger, stage: Stage) -> None:
    await put(ledger, dead(a_mission("gone"), at=1), dead(a_mission("dead"), at=5000), a_mission("live"))
    await ledger.purge(2.0, 10)
    rival = await stage.another()
    assert await rival.purged([MissionId("gone")])
    assert await rival.dead_letters(10) == ["dead"]
    assert list(await all_live(rival)) == ["live"]
    assert await rival.list_ids("default", before=None, limit=10) == ["live", "dead"]


async def _pages(ledger: Ledger, missions: list[Mission], limit: int) -> AsyncIterator[Sequence[MissionId]]:
    accepted_at = {one.id: one.envelope.accepted_at for one in missions}
    before = None
    while page := await ledger.list_ids("default", before=before, limit=limit):
        yield page
        before = (accepted_at[page[-1]], page[-1])
