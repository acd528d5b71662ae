"""The outbox: every hand-out, until a broker has confirmed it."""

import pytest
from support.ledger_probe import ERA, a_mission, changed, creation, finished, move, must, put, step

from mission_commander.domain.record import Mission
from mission_commander.ports import EraChangedError, Ledger, OutboxEntry
from mission_contracts.mission import Epoch, Era, MissionId


def entry(mission: Mission) -> OutboxEntry:
    return OutboxEntry(mission.id, mission.epoch)


async def test_a_hand_out_is_in_the_outbox_with_its_epoch(ledger: Ledger) -> None:
    mission = a_mission()
    await must(ledger, creation(mission, hands_out=True))
    assert await ledger.outbox(10) == [entry(mission)]


async def test_what_is_not_handed_out_is_not_in_the_outbox(ledger: Ledger) -> None:
    await put(ledger, a_mission())
    assert await ledger.outbox(10) == []


async def test_the_oldest_hand_outs_come_first_whatever_their_ids(ledger: Ledger) -> None:
    missions = [a_mission(name) for name in ("c", "a", "d", "b")]
    await must(ledger, *(creation(one, hands_out=True) for one in missions[:2]))
    await must(ledger, *(creation(one, hands_out=True) for one in missions[2:]))
    assert await ledger.outbox(10) == [entry(one) for one in missions]
    assert await ledger.outbox(3) == [entry(one) for one in missions[:3]]
    assert await ledger.outbox(0) == []


async def test_the_order_holds_when_the_newest_was_confirmed(ledger: Ledger) -> None:
    one, two, three = (a_mission(name) for name in ("one", "two", "three"))
    await must(ledger, creation(one, hands_out=True), creation(two, hands_out=True))
    await ledger.confirmed([entry(two)])
    await must(ledger, creation(three, hands_out=True))
    assert await ledger.outbox(10) == [entry(one), entry(three)]


async def test_confirmed_hand_outs_leave_the_outbox_and_only_they(ledger: Ledger) -> None:
    one, two = a_mission("one"), a_mission("two")
    await must(ledger, creation(one, hands_out=True), creation(two, hands_out=True))
    await ledger.confirmed([entry(one), OutboxEntry(MissionId("unknown"), Epoch(1))])
    await ledger.confirmed([entry(one)])
    await ledger.confirmed([])
    assert await ledger.outbox(10) == [entry(two)]


async def test_each_epoch_is_a_hand_out_of_its_own(ledger: Ledger) -> None:
    first = a_mission()
    second = changed(first, epoch=Epoch(first.epoch + 1))
    await must(ledger, creation(first, hands_out=True))
    await must(ledger, step(first, second, hands_out=True))
    assert await ledger.outbox(10) == [entry(first), entry(second)]
    await ledger.confirmed([entry(first)])
    assert await ledger.outbox(10) == [entry(second)]


async def test_a_hand_out_again_under_the_same_epoch_keeps_its_place(ledger: Ledger) -> None:
    one, two = a_mission("one"), a_mission("two")
    await must(ledger, creation(one, hands_out=True), creation(two, hands_out=True))
    await must(ledger, step(one, changed(one), hands_out=True))
    assert await ledger.outbox(10) == [entry(one), entry(two)]


async def test_a_hand_out_stays_until_confirmed_also_when_its_mission_ends(ledger: Ledger) -> None:
    mission = a_mission()
    await must(ledger, creation(mission, hands_out=True))
    await move(ledger, mission, finished(mission))
    assert await ledger.outbox(10) == [entry(mission)]


async def test_a_change_that_met_a_conflict_hands_nothing_out(ledger: Ledger) -> None:
    mission = a_mission()
    await put(ledger, mission)
    await ledger.commit(ERA, [creation(mission, hands_out=True)])
    assert await ledger.outbox(10) == []


async def test_a_mission_id_may_hold_a_space(ledger: Ledger) -> None:
    mission = a_mission("two words")
    await must(ledger, creation(mission, hands_out=True))
    assert await ledger.outbox(10) == [entry(mission)]


async def test_it_tells_which_hand_outs_wait_for_their_confirm(ledger: Ledger) -> None:
    one, two = a_mission("one"), a_mission("two")
    await must(ledger, creation(one, hands_out=True), creation(two, hands_out=True))
    await ledger.confirmed([entry(one)])
    later = OutboxEntry(two.id, Epoch(two.epoch + 1))
    assert await ledger.unconfirmed([entry(one), entry(two), later]) == [False, True, False]
    assert await ledger.unconfirmed([]) == []


async def test_a_hand_out_can_be_put_back_behind_all_others(ledger: Ledger) -> None:
    one, two, three = (a_mission(name) for name in ("one", "two", "three"))
    await must(ledger, *(creation(each, hands_out=True) for each in (one, two, three)))
    await ledger.confirmed([entry(one)])
    await ledger.put_back(ERA, [entry(one), entry(two)])
    assert await ledger.outbox(10) == [entry(two), entry(three), entry(one)]
    await ledger.put_back(ERA, [])
    await ledger.confirmed([entry(each) for each in (one, two, three)])
    await ledger.put_back(ERA, [entry(three), entry(one)])
    assert await ledger.outbox(10) == [entry(three), entry(one)]


async def test_nothing_is_put_back_in_another_era(ledger: Ledger) -> None:
    with pytest.raises(EraChangedError):
        await ledger.put_back(Era(ERA + 1), [entry(a_mission())])
    assert await ledger.outbox(10) == []


async def test_nothing_is_put_back_into_a_ledger_without_an_era(fresh: Ledger) -> None:
    with pytest.raises(EraChangedError):
        await fresh.put_back(ERA, [entry(a_mission())])
    assert await fresh.outbox(10) == []
