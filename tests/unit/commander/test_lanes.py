"""Missions in lanes, through the door and the recorder: one at a time, in order, whatever happens to them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from support.commander_stage import running
from support.lane_stage import GAP_SECONDS, LaneStage, final_state, key

from mission_commander.domain.record import Mission, Phase
from mission_commander.services.restoring import RestoreMore
from mission_commander.services.restoring_marks import MarkRestorer
from mission_commander.services.submission import Accepted
from mission_contracts.messages import AttemptError
from mission_contracts.mission import Failure, MissionState, Reason

BUSY, GAP, OUT, FINAL = "LaneBusy", "LaneGap", "out", "final"


@pytest.fixture
async def lanes() -> AsyncIterator[LaneStage]:
    stage = LaneStage()
    await stage.open()
    async with running(stage.recorder.run):
        yield stage


@pytest.fixture
async def other(lanes: LaneStage) -> AsyncIterator[LaneStage]:
    """A second Commander on the same ledger."""
    stage = lanes.another()
    await stage.open()
    async with running(stage.recorder.run):
        yield stage


async def numbered(lanes: LaneStage, *numbers: int) -> list[Mission]:
    return [await lanes.submit(sequence_number=number) for number in numbers]


# By arrival.


async def test_the_first_goes_out_and_the_others_wait_for_it(lanes: LaneStage) -> None:
    missions = [await lanes.submit() for _ in range(3)]
    assert lanes.shown(*missions) == [OUT, BUSY, BUSY]
    assert "an earlier mission of ordering key" in lanes.now(missions[1]).message


async def test_missions_of_one_batch_stand_in_its_order(lanes: LaneStage) -> None:
    answers = await lanes.submit_all({}, {}, {})
    missions = [answer.mission for answer in answers if isinstance(answer, Accepted)]
    for _ in range(3):
        first = next(one for one in missions if lanes.now(one).phase is Phase.OUT)
        assert [lanes.now(one).phase for one in missions].count(Phase.OUT) == 1
        assert first is missions.pop(0)
        await lanes.end(first)


async def test_the_answer_shows_the_mission_as_its_lane_placed_it(lanes: LaneStage) -> None:
    first = await lanes.submit()
    assert first == lanes.now(first)
    assert first.phase is Phase.OUT


async def test_an_end_hands_out_the_next_in_the_same_commit(lanes: LaneStage) -> None:
    first, second = [await lanes.submit() for _ in range(2)]
    commits = len(lanes.ledger.commits)
    running_first = await lanes.run(first)
    await lanes.end(running_first)
    assert lanes.shown(first, second) == [FINAL, OUT]
    assert len(lanes.ledger.commits) == commits + 2, "one for the claim, one for the end and the next hand-out"


async def test_other_keys_pools_and_missions_without_a_key_do_not_wait(lanes: LaneStage) -> None:
    await lanes.open("other")
    missions = [
        await lanes.submit(),
        await lanes.submit(ordering_key="another"),
        await lanes.submit(pool="other"),
        await lanes.submit(ordering_key=None),
    ]
    assert lanes.shown(*missions) == [OUT] * 4


async def test_a_retrying_head_blocks_and_keeps_its_turn(lanes: LaneStage) -> None:
    first, second = [await lanes.submit() for _ in range(2)]
    await lanes.end(first, error=AttemptError(failure=Failure.ERROR, message="no luck"))
    assert lanes.shown(first, second) == ["RetryBackoff", BUSY]
    lanes.clock.turn(60)
    await lanes.timer.move_due()
    assert lanes.shown(first, second) == [OUT, BUSY]
    await lanes.end(first)
    assert lanes.shown(first, second) == [FINAL, OUT]


async def test_a_failed_head_lets_the_next_go(lanes: LaneStage) -> None:
    first, second = [await lanes.submit() for _ in range(2)]
    await lanes.end(first, error=AttemptError(failure=Failure.GIVE_UP))
    assert lanes.shown(first, second) == [FINAL, OUT]


async def test_a_suspended_head_blocks_until_it_is_resumed(lanes: LaneStage) -> None:
    first = await lanes.submit(suspend=True)
    second = await lanes.submit()
    assert lanes.shown(first, second) == ["Suspended", BUSY]
    await lanes.wishes.resume(first.id)
    assert lanes.shown(first, second) == [OUT, BUSY]


async def test_a_scheduled_head_blocks_until_its_time(lanes: LaneStage) -> None:
    soon = datetime.fromtimestamp(lanes.clock.now() + 60, UTC)
    first = await lanes.submit(start_after=soon)
    second = await lanes.submit()
    assert lanes.shown(first, second) == ["Scheduled", BUSY]
    lanes.clock.turn(61)
    await lanes.timer.move_due()
    assert lanes.shown(first, second) == [OUT, BUSY]


async def test_one_whose_time_comes_before_its_turn_waits_for_its_turn(lanes: LaneStage) -> None:
    soon = datetime.fromtimestamp(lanes.clock.now() + 60, UTC)
    first = await lanes.submit()
    second = await lanes.submit(start_after=soon)
    assert lanes.shown(first, second) == [OUT, "Scheduled"]
    lanes.clock.turn(61)
    await lanes.timer.move_due()
    assert lanes.shown(first, second) == [OUT, BUSY]
    await lanes.end(first)
    assert lanes.shown(first, second) == [FINAL, OUT]


async def test_a_cancelled_head_lets_the_next_go(lanes: LaneStage) -> None:
    first, second = [await lanes.submit() for _ in range(2)]
    await lanes.wishes.cancel(first.id)
    assert lanes.shown(first, second) == [FINAL, OUT]


async def test_one_that_is_cancelled_before_its_turn_is_passed_over(lanes: LaneStage) -> None:
    first, second, third = [await lanes.submit() for _ in range(3)]
    await lanes.wishes.cancel(second.id, deleted=True)
    assert lanes.shown(first, second, third) == [OUT, FINAL, BUSY]
    await lanes.end(first)
    assert lanes.shown(third) == [OUT]


async def test_one_whose_deadline_comes_before_its_turn_is_passed_over(lanes: LaneStage) -> None:
    first = await lanes.submit()
    second = await lanes.submit(deadline_seconds=30)
    third = await lanes.submit()
    lanes.clock.turn(31)
    await lanes.timer.move_due()
    assert final_state(lanes.now(second)) == (MissionState.FAILED, Reason.DEADLINE_EXCEEDED)
    await lanes.end(first)
    assert lanes.shown(third) == [OUT]


async def test_a_lane_waits_for_its_pool_in_order(lanes: LaneStage) -> None:
    missions = [await lanes.submit(pool="later") for _ in range(2)]
    assert lanes.shown(*missions) == ["NoPool", "NoPool"]
    await lanes.open("later")
    for one in reversed(missions):
        await lanes.recorder.decide(lanes.timer.look(one.id))
    assert lanes.shown(*missions) == [OUT, BUSY]


async def test_a_mission_that_comes_cancelled_takes_no_turn(lanes: LaneStage) -> None:
    first = await lanes.submit(cancel=True)
    second = await lanes.submit()
    assert lanes.shown(first, second) == [FINAL, OUT]


# By number.


async def test_numbers_run_in_their_order_however_they_arrive(lanes: LaneStage) -> None:
    third, second, first = await numbered(lanes, 3, 2, 1)
    assert lanes.shown(first, second, third) == [OUT, BUSY, BUSY]
    await lanes.end(first)
    assert lanes.shown(second, third) == [OUT, BUSY]
    await lanes.end(second)
    assert lanes.shown(third) == [OUT]


async def test_the_first_behind_a_gap_says_which_number_is_missing(lanes: LaneStage) -> None:
    [third, fourth] = await numbered(lanes, 3, 4)
    assert lanes.shown(third, fourth) == [GAP, BUSY]
    assert "number 1 of ordering key" in lanes.now(third).message
    assert lanes.now(third).due_at == lanes.clock.now() + GAP_SECONDS
    [second] = await numbered(lanes, 2)
    assert lanes.shown(second, third, fourth) == [GAP, BUSY, BUSY]


async def test_a_gap_is_waited_for_and_then_passed_and_the_mission_says_so(lanes: LaneStage) -> None:
    [third] = await numbered(lanes, 3)
    lanes.clock.turn(GAP_SECONDS - 1)
    await lanes.timer.move_due()
    assert lanes.shown(third) == [GAP]
    lanes.clock.turn(1)
    await lanes.timer.move_due()
    assert lanes.shown(third) == [OUT]
    assert "numbers 1 to 2" in lanes.now(third).message
    assert "did not come in time" in lanes.now(third).message


async def test_a_lower_number_that_comes_during_a_gap_does_not_prolong_it(lanes: LaneStage) -> None:
    [fourth] = await numbered(lanes, 4)
    lanes.clock.turn(GAP_SECONDS - 1)
    [third] = await numbered(lanes, 3)
    lanes.clock.turn(1)
    await lanes.timer.move_due()
    assert lanes.shown(third, fourth) == [OUT, BUSY]


async def test_the_missing_number_ends_the_gap(lanes: LaneStage) -> None:
    [second] = await numbered(lanes, 2)
    [first] = await numbered(lanes, 1)
    assert lanes.shown(first, second) == [OUT, BUSY]
    assert lanes.now(second).due_at is None


async def test_each_gap_has_its_own_wait(lanes: LaneStage) -> None:
    first, third = await numbered(lanes, 1, 3)
    lanes.clock.turn(GAP_SECONDS * 2)
    await lanes.timer.move_due()
    assert lanes.shown(third) == [BUSY], "there is no gap while number 1 has the turn"
    await lanes.end(first)
    assert lanes.shown(third) == [GAP]
    assert lanes.now(third).due_at == lanes.clock.now() + GAP_SECONDS


async def test_a_number_that_the_lane_has_passed_fails_and_says_so(lanes: LaneStage) -> None:
    [third] = await numbered(lanes, 3)
    lanes.clock.turn(GAP_SECONDS)
    await lanes.timer.move_due()
    [late] = await numbered(lanes, 2)
    assert final_state(lanes.now(late)) == (MissionState.FAILED, Reason.LANE_PASSED)
    assert "number 2 came too late" in late.message
    assert late.dead_letter
    assert lanes.shown(third) == [OUT]


async def test_a_cancelled_number_is_not_waited_for(lanes: LaneStage) -> None:
    first, second, third = await numbered(lanes, 1, 2, 3)
    await lanes.wishes.cancel(second.id)
    await lanes.end(first)
    assert lanes.shown(third) == [OUT]


async def test_a_cancelled_number_behind_a_gap_is_not_waited_for_either(lanes: LaneStage) -> None:
    third, second = await numbered(lanes, 3, 2)
    await lanes.wishes.cancel(second.id)
    assert lanes.shown(third) == [GAP]
    [first] = await numbered(lanes, 1)
    await lanes.end(first)
    assert lanes.shown(third) == [OUT]


async def test_the_end_of_the_one_who_waits_for_a_gap_leaves_the_next_waiting_as_long(lanes: LaneStage) -> None:
    third, fourth = await numbered(lanes, 3, 4)
    until = lanes.now(third).due_at
    lanes.clock.turn(10)
    await lanes.wishes.cancel(third.id)
    assert lanes.shown(fourth) == [GAP]
    assert lanes.now(fourth).due_at == until


async def test_the_same_number_again_is_the_same_mission(lanes: LaneStage) -> None:
    [first] = await numbered(lanes, 1)
    assert (await numbered(lanes, 1))[0].id == first.id
    await lanes.end(first)
    again = await lanes.submit(sequence_number=1)
    assert (again.id, again.state) == (first.id, MissionState.COMPLETED)


@pytest.mark.parametrize("ends", [False, True])
async def test_the_same_number_with_another_body_is_refused(lanes: LaneStage, ends: bool) -> None:
    [first] = await numbered(lanes, 1)
    if ends:
        await lanes.end(first)
    refused = await lanes.refused(sequence_number=1, payload={"other": 1})
    assert (refused.code, refused.field) == ("NumberTaken", "sequence_number")
    assert "number 1 of ordering key" in refused.detail


async def test_the_same_number_under_another_idempotency_key_is_the_same_mission(lanes: LaneStage) -> None:
    first = await lanes.submit(sequence_number=1, idempotency_key="a")
    assert (await lanes.submit(sequence_number=1, idempotency_key="b")).id == first.id


async def test_the_number_of_somebody_elses_mission_is_refused(lanes: LaneStage) -> None:
    await lanes.submit(sequence_number=1)
    assert (await lanes.refused(subject="somebody else", sequence_number=1)).code == "NumberTaken"


async def test_objects_of_one_number_are_each_their_own(lanes: LaneStage) -> None:
    first = await lanes.submit(sequence_number=1, door="cluster", mission_id="uid-1")
    assert (await lanes.refused(sequence_number=1, door="cluster", mission_id="uid-2")).code == "NumberTaken"
    assert (await lanes.submit(sequence_number=1, door="cluster", mission_id="uid-1")).id == first.id


async def test_both_missions_of_one_number_in_one_batch(lanes: LaneStage) -> None:
    first, second = await lanes.submit_all(
        {"sequence_number": 1, "idempotency_key": "a"}, {"sequence_number": 1, "idempotency_key": "b"}
    )
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert first.mission.id == second.mission.id


@pytest.mark.parametrize(
    ("one", "another"), [({}, {"sequence_number": 1}), ({"sequence_number": 1}, {})], ids=["arrival", "numbers"]
)
async def test_a_key_never_mixes_numbers_and_arrival(
    lanes: LaneStage, one: dict[str, Any], another: dict[str, Any]
) -> None:
    first = await lanes.submit(**one)
    refused = await lanes.refused(**another)
    assert refused.code == "LaneMixed"
    assert "or use another orderingKey" in refused.detail
    await lanes.end(first)
    assert (await lanes.refused(**another)).code == "LaneMixed", "also while nobody stands in it"


async def test_the_mark_outlives_its_missions(lanes: LaneStage) -> None:
    [first] = await numbered(lanes, 1)
    await lanes.end(first)
    await lanes.ledger.purge(lanes.clock.now() + 1, 10)
    lanes.memory.forget(first.id)
    [again] = await numbered(lanes, 1)
    assert lanes.now(again).reason is Reason.LANE_PASSED


@pytest.mark.parametrize("number", [None, 1], ids=["by arrival", "numbered"])
@pytest.mark.parametrize("knows_it", [True, False], ids=["a Commander that remembers it", "one that never heard of it"])
async def test_a_lane_whose_time_is_over_begins_again_before_the_ledger_is_purged(
    lanes: LaneStage, other: LaneStage, number: int | None, knows_it: bool
) -> None:
    """Memory forgets by the clock, the ledger when it is purged: until then they differ, and no mission waits."""
    first = await lanes.submit(sequence_number=number)
    await lanes.end(first)
    lanes.clock.turn(400 * 86_400)
    second = await (lanes if knows_it else other).submit(sequence_number=number)
    assert lanes.now(second).phase is Phase.OUT
    third = await other.submit(sequence_number=None if number is None else number + 1)
    assert lanes.now(third).reason is Reason.LANE_BUSY
    await lanes.feed.load()
    await lanes.end(lanes.now(second))
    assert lanes.now(third).phase is Phase.OUT


async def test_unused_lanes_are_forgotten_in_time(lanes: LaneStage) -> None:
    for body in ({"ordering_key": "arrival"}, {"ordering_key": "numbers", "sequence_number": 1}):
        await lanes.end(await lanes.submit(**body))
    await lanes.submit(ordering_key="in-use")
    lanes.clock.turn(3_601)
    assert await lanes.ledger.purge_lanes(lanes.clock.now(), 10) == 1
    lanes.clock.turn(30 * 86_400)
    assert await lanes.ledger.purge_lanes(lanes.clock.now(), 10) == 1
    assert await lanes.ledger.lanes([key("arrival"), key("numbers")]) == [None, None]
    assert (await lanes.submit(ordering_key="arrival", sequence_number=1)).phase is Phase.OUT, "the key is free again"


# Two Commanders.


async def test_two_commanders_keep_one_order(lanes: LaneStage, other: LaneStage) -> None:
    first = await lanes.submit()
    second = await other.submit()
    third = await lanes.submit()
    assert lanes.shown(first, second, third) == [OUT, BUSY, BUSY]
    await other.hear()
    await other.end(first)
    await lanes.end(second)
    assert lanes.shown(first, second, third) == [FINAL, FINAL, OUT]


async def test_a_commander_that_heard_nothing_decides_on_what_the_ledger_has(
    lanes: LaneStage, other: LaneStage
) -> None:
    first, second, third = [await lanes.submit() for _ in range(3)]
    await other.end(first)
    await other.wishes.cancel(second.id)
    assert lanes.shown(first, second, third) == [FINAL, FINAL, OUT]


async def test_a_commander_that_heard_nothing_gives_the_same_mission_for_the_same_number(
    lanes: LaneStage, other: LaneStage
) -> None:
    made = [await lanes.submit(sequence_number=number) for number in (2, 10, 3, 7)]
    again = [await other.submit(sequence_number=number) for number in (2, 10, 3, 7)]
    assert [mission.id for mission in again] == [mission.id for mission in made]


@pytest.mark.parametrize("whose", range(16))
async def test_who_resumes_behind_a_gap_is_told_of_it_whoever_heard_of_what(
    lanes: LaneStage, other: LaneStage, whose: int
) -> None:
    first, second, third, fourth = (other if whose >> turn & 1 else lanes for turn in range(4))
    behind = await first.submit(sequence_number=2)
    last = await second.submit(sequence_number=3)
    await third.wishes.suspend(last.id)
    await lanes.wishes.cancel(behind.id)
    await fourth.wishes.resume(last.id)
    assert lanes.shown(last) == ["LaneGap"]


async def test_two_commanders_that_end_and_cancel_at_once_give_the_turn_once(
    lanes: LaneStage, other: LaneStage
) -> None:
    first, second, third = [await lanes.submit() for _ in range(3)]
    await other.hear()
    lanes.ledger.gate.clear()
    ending = asyncio.create_task(lanes.end(await other.run(first)))
    await asyncio.sleep(0)
    await other.wishes.cancel(second.id)
    lanes.ledger.gate.set()
    await ending
    assert lanes.shown(first, second, third) == [FINAL, FINAL, OUT]


async def test_a_commander_hears_of_lanes_through_the_stream(lanes: LaneStage, other: LaneStage) -> None:
    first, second = [await lanes.submit() for _ in range(2)]
    await lanes.end(first)
    await other.hear()
    heard = other.memory.lanes.get(key(), other.clock.now())
    known = lanes.memory.lanes.get(key(), lanes.clock.now())
    assert heard is not None
    assert known is not None
    assert (heard.record, heard.places, heard.queue) == (known.record, known.places, known.queue)
    assert list(heard.places.values()) == [second.id]


# After a loss.


@asynccontextmanager
async def wiped(lanes: LaneStage, *more: RestoreMore) -> AsyncIterator[None]:
    """The ledger loses all, and this Commander restores its missions."""
    restorer = lanes.a_restorer(*more)
    async with running(restorer.run, lanes.feed.run):
        lanes.store.wipe()
        await restorer.look()
        yield


async def test_an_idle_lane_goes_on_from_the_mark_that_is_remembered(lanes: LaneStage) -> None:
    for number in (1, 2):
        await lanes.end(await lanes.submit(sequence_number=number))
    async with wiped(lanes):
        assert lanes.shown(*await numbered(lanes, 3)) == [OUT]


async def test_a_mark_is_restored_for_commanders_that_do_not_remember_it(lanes: LaneStage) -> None:
    await lanes.end(await lanes.submit(sequence_number=1))
    marks = MarkRestorer(lanes.ledger, lanes.recorder, lanes.memory.lanes, lanes.clock)
    async with wiped(lanes, marks.restore):
        newcomer = lanes.another()
        newcomer.eras.enter(lanes.recorder.era)
        await newcomer.open()
        async with running(newcomer.recorder.run):
            assert newcomer.shown(await newcomer.submit(sequence_number=2)) == [OUT]
            assert final_state(await newcomer.submit(sequence_number=1))[1] is Reason.COMPLETED


async def test_a_lane_that_somebody_began_anew_is_left_alone(lanes: LaneStage) -> None:
    await lanes.end(await lanes.submit(sequence_number=1))
    known = lanes.memory.lanes.get(key(), lanes.clock.now())
    assert known is not None
    lanes.clock.turn(1)
    [next_one] = await numbered(lanes, 2)
    stored = lanes.store.data.lanes.read(key())
    lanes.memory.lanes.learn(known)
    await MarkRestorer(lanes.ledger, lanes.recorder, lanes.memory.lanes, lanes.clock).restore()
    found = lanes.store.data.lanes.read(key())
    assert stored is not None
    assert found is not None
    assert found.record == stored.record
    assert lanes.shown(next_one) == [OUT]
