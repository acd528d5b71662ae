"""A ledger that went back in time refuses whoever has seen more of it, in the very commit."""

import pytest
from support.ledger_probe import (
    ERA,
    EVENTS_KEPT,
    Stage,
    a_mission,
    all_events,
    all_live,
    changed,
    creation,
    move,
    put,
    step,
)

from mission_commander.ports import Committed, EraChangedError, EventId, Ledger, RolledBackError
from mission_contracts.mission import Era


async def newest(ledger: Ledger) -> EventId:
    return await ledger.last_event()


async def test_whoever_has_seen_what_the_ledger_knows_commits(ledger: Ledger) -> None:
    first = a_mission("first")
    await put(ledger, first)
    seen = await newest(ledger)
    await put(ledger, a_mission("second"))
    [answer] = await ledger.commit(ERA, [step(first, changed(first))], seen=seen)
    assert isinstance(answer, Committed), "an older event that is still there is no loss"


async def test_whoever_has_seen_more_than_the_ledger_knows_writes_nothing(ledger: Ledger, stage: Stage) -> None:
    await put(ledger, a_mission("kept"))
    backup = await stage.backup()
    await put(ledger, a_mission("lost"))
    seen = await newest(ledger)
    await stage.roll_back(backup)
    with pytest.raises(RolledBackError, match=f"event {seen}"):
        await ledger.commit(ERA, [creation(a_mission("new"), hands_out=True)], seen=seen)
    assert list(await all_live(ledger)) == ["kept"]
    assert await ledger.outbox(10) == []


async def test_a_rollback_is_noticed_also_after_others_have_written_on(ledger: Ledger, stage: Stage) -> None:
    await put(ledger, a_mission("kept"))
    backup = await stage.backup()
    await put(ledger, a_mission("lost"))
    seen = await newest(ledger)
    await stage.roll_back(backup)
    await put(ledger, *(a_mission(f"m-{number}") for number in range(3)))
    with pytest.raises(RolledBackError):
        await ledger.commit(ERA, [], seen=seen)


async def test_a_wipe_is_noticed_also_when_the_same_era_began_again(ledger: Ledger, stage: Stage) -> None:
    await put(ledger, a_mission("lost"))
    seen = await newest(ledger)
    await stage.wipe()
    await ledger.begin_era(ERA)
    with pytest.raises(RolledBackError):
        await ledger.commit(ERA, [], seen=seen)


async def test_an_event_that_the_stream_dropped_by_its_age_is_no_loss(ledger: Ledger) -> None:
    mission = a_mission()
    await put(ledger, mission)
    seen = await newest(ledger)
    for _ in range(100 * EVENTS_KEPT):
        mission = await move(ledger, mission, changed(mission))
        if await ledger.events(seen, wait_seconds=0) is None:
            break
    assert await ledger.events(seen, wait_seconds=0) is None, "the stream still holds it"
    assert await ledger.commit(ERA, [], seen=seen) == []


async def test_another_era_is_told_before_a_rollback(ledger: Ledger, stage: Stage) -> None:
    await put(ledger, a_mission())
    seen = await newest(ledger)
    await stage.wipe()
    await ledger.begin_era(Era(ERA + 1))
    with pytest.raises(EraChangedError, match=f"era {ERA + 1}, not {ERA}"):
        await ledger.commit(ERA, [], seen=seen)


# What was announced before.


async def test_earlier_events_come_newest_first(ledger: Ledger) -> None:
    await put(ledger, *(a_mission(f"m-{number}") for number in range(5)))
    events = list(await all_events(ledger))
    assert await ledger.earlier(events[3].id, 2) == [events[2], events[1]]
    assert await ledger.earlier(events[1].id, 10) == [events[0]]
    assert await ledger.earlier(events[0].id, 10) == []
    assert await ledger.earlier(events[4].id, 0) == []


async def test_before_the_first_event_there_is_nothing(ledger: Ledger) -> None:
    assert await ledger.earlier("0-0", 10) == []
    assert await ledger.earlier("5-0", 10) == []
