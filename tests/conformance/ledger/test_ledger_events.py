"""The event stream: every committed change, once, in order, or the plain word that some are lost."""

import asyncio

import pytest
from support.ledger_probe import (
    ERA,
    EVENTS_KEPT,
    PATIENCE_SECONDS,
    Stage,
    a_mission,
    all_events,
    changed,
    finished,
    move,
    put,
    waiting_for_events,
)

from mission_commander.domain.record import Mission
from mission_commander.ports import Event, EventId, Ledger, order_of


async def many(ledger: Ledger, count: int) -> Mission:
    """Announce that many changes of one mission, each in a commit of its own."""
    mission = a_mission("busy")
    await put(ledger, mission)
    for _ in range(count - 1):
        mission = await move(ledger, mission, changed(mission))
    return mission


async def until_forgotten(ledger: Ledger, event: EventId) -> None:
    """Announce changes until the stream has dropped what came after an event."""
    mission = a_mission("noise")
    await put(ledger, mission)
    for _ in range(100 * EVENTS_KEPT):
        mission = await move(ledger, mission, changed(mission))
        if await ledger.events(event, wait_seconds=0) is None:
            return
    pytest.fail(f"a stream that keeps about {EVENTS_KEPT} events still holds {event}")


async def test_an_untouched_stream_ends_at_zero(ledger: Ledger) -> None:
    assert await ledger.last_event() == "0-0"
    assert await ledger.events("0-0", wait_seconds=0) == []


async def test_every_change_is_announced_once_and_in_order(ledger: Ledger) -> None:
    one, two = a_mission("one"), a_mission("two")
    answers = await put(ledger, one, two)
    end = await move(ledger, one, finished(one))
    events = await all_events(ledger)
    assert [event.mission for event in events] == [one, two, end]
    assert [event.id for event in events[:2]] == [answer.event for answer in answers]
    assert await ledger.last_event() == events[-1].id


async def test_event_ids_grow(ledger: Ledger) -> None:
    await many(ledger, 10)
    places = [order_of(event.id) for event in await all_events(ledger)]
    assert places == sorted(set(places))


async def test_event_ids_go_on_growing_past_a_wipe(ledger: Ledger, stage: Stage) -> None:
    await many(ledger, 5)
    before = await ledger.last_event()
    for _ in range(5):
        await stage.wipe()
        await ledger.begin_era(ERA)
        [answer] = await put(ledger, a_mission())
        assert order_of(answer.event) > order_of(before)
        before = answer.event


async def test_reading_goes_on_after_any_event(ledger: Ledger) -> None:
    await many(ledger, 6)
    events = await all_events(ledger)
    for count, event in enumerate(events, start=1):
        assert await ledger.events(event.id, wait_seconds=0) == events[count:]


async def test_a_reader_takes_no_more_than_its_limit_and_goes_on_from_there(ledger: Ledger) -> None:
    await many(ledger, 7)
    read: list[Event] = []
    while page := await ledger.events(read[-1].id if read else "0-0", wait_seconds=0, limit=3):
        assert len(page) <= 3
        read.extend(page)
    assert read == await all_events(ledger)


async def test_a_waiting_reader_hears_of_a_commit_at_once(ledger: Ledger, stage: Stage) -> None:
    await many(ledger, 1)
    waiting = await waiting_for_events(ledger, await ledger.last_event())
    assert not waiting.done(), "nothing has happened yet"
    mission = a_mission("news")
    await put(await stage.another(), mission)
    async with asyncio.timeout(PATIENCE_SECONDS):
        events = await waiting
    assert [event.mission for event in events or ()] == [mission]


async def test_a_reader_of_an_empty_stream_hears_of_the_first_commit(ledger: Ledger) -> None:
    waiting = await waiting_for_events(ledger, "0-0")
    await put(ledger, a_mission())
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert [event.mission.id for event in await waiting or ()] == ["m-1"]


async def test_several_readers_hear_the_same(ledger: Ledger, stage: Stage) -> None:
    readers = [await stage.another() for _ in range(3)]
    waiting = await asyncio.gather(*(waiting_for_events(one, "0-0") for one in readers))
    await put(ledger, a_mission())
    async with asyncio.timeout(PATIENCE_SECONDS):
        heard = await asyncio.gather(*waiting)
    assert heard == [await all_events(ledger)] * 3


async def test_a_reader_is_told_nothing_when_its_time_is_over(ledger: Ledger) -> None:
    await many(ledger, 1)
    last = await ledger.last_event()
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await ledger.events(last, wait_seconds=0.05) == []


async def test_other_work_goes_on_while_readers_wait(ledger: Ledger) -> None:
    waiting = await asyncio.gather(*(waiting_for_events(ledger, "0-0") for _ in range(16)))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await put(ledger, a_mission())
        assert len([await one for one in waiting]) == 16


async def test_a_reader_that_gave_up_disturbs_nobody(ledger: Ledger) -> None:
    waiting = await waiting_for_events(ledger, "0-0")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    mission = a_mission()
    await put(ledger, mission)
    assert [event.mission for event in await all_events(ledger)] == [mission]


async def test_a_reader_that_is_too_far_behind_must_start_anew(ledger: Ledger) -> None:
    await many(ledger, 3)
    first, *_ = await all_events(ledger)
    await until_forgotten(ledger, first.id)
    assert await ledger.events("0-0", wait_seconds=0) is None
    assert await ledger.events(first.id, wait_seconds=10 * PATIENCE_SECONDS) is None
    last = await ledger.last_event()
    assert await ledger.events(last, wait_seconds=0) == []


async def test_the_stream_keeps_at_least_what_it_was_told_to_keep(ledger: Ledger) -> None:
    await many(ledger, 1)
    await until_forgotten(ledger, await ledger.last_event())
    mission = a_mission("kept")
    await put(ledger, mission)
    start = await ledger.last_event()
    for _ in range(EVENTS_KEPT):
        mission = await move(ledger, mission, changed(mission))
    assert len(await all_events(ledger, start)) == EVENTS_KEPT


async def test_a_reader_that_saw_more_than_a_wiped_ledger_holds_must_start_anew(ledger: Ledger, stage: Stage) -> None:
    await many(ledger, 3)
    seen = await ledger.last_event()
    await stage.wipe()
    assert await ledger.last_event() == "0-0"
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await ledger.events(seen, wait_seconds=10 * PATIENCE_SECONDS) is None


async def test_a_wiped_ledger_that_was_written_since_is_no_continuation(ledger: Ledger, stage: Stage) -> None:
    await many(ledger, 3)
    seen = await ledger.last_event()
    await stage.wipe()
    await ledger.begin_era(ERA)
    await put(ledger, a_mission("after"))
    assert await ledger.events(seen, wait_seconds=0) is None


@pytest.mark.parametrize("text", ["", "$", "0", "now", "1-", "-1-0", "1-1 ", "99999999999999999999-0"])
async def test_what_is_no_event_id_is_refused(ledger: Ledger, text: str) -> None:
    with pytest.raises(ValueError, match="is no event id"):
        await ledger.events(text, wait_seconds=0)
