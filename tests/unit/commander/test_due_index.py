"""When each mission is looked at next: the index against a dictionary, and the moments that count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import START, accepted, after, cancelled, claimed, completed, failed, out, suspended, waiting

from mission_commander.domain import life
from mission_commander.domain.due import SLACK, DueIndex, look_at
from mission_commander.domain.life import DEADLINE_GRACE_SECONDS, OPEN_FIELD
from mission_commander.domain.record import Mission
from mission_contracts.mission import MissionId, Reason

DAY = 86_400
CANCEL_DEADLINE = 30.0


@pytest.mark.parametrize(
    ("mission", "seconds"),
    [
        pytest.param(out(), DAY, id="out: at its deadline"),
        pytest.param(waiting(), 60, id="scheduled: at its start time"),
        pytest.param(failed(claimed(), chance=0.5), 2.5, id="failed: when its retry is due"),
        pytest.param(suspended(waiting()), DAY, id="suspended: only its deadline counts"),
        pytest.param(claimed(), DAY + DEADLINE_GRACE_SECONDS, id="running: some time after its deadline"),
        pytest.param(cancelled(claimed(), 5), 5 + CANCEL_DEADLINE, id="asked to stop: when its time is over"),
        pytest.param(
            cancelled(claimed(out(deadline_seconds=10)), 5),
            10 + DEADLINE_GRACE_SECONDS,
            id="asked to stop: its deadline, if that is sooner",
        ),
        pytest.param(completed(), None, id="final: never again"),
    ],
)
def test_the_next_moment(mission: Mission, seconds: float | None) -> None:
    assert look_at(mission, CANCEL_DEADLINE) == (None if seconds is None else START + seconds)


def test_a_suspended_mission_says_so_once_its_backoff_is_over() -> None:
    retrying = failed(suspended(claimed(), 1.5), message="disk full", chance=0.5)
    assert (retrying.reason, "disk full" in retrying.message) == (Reason.RETRY_BACKOFF, True)
    assert look_at(retrying, CANCEL_DEADLINE) == START + 2.5
    held = life.wake(retrying, after(2.5), OPEN_FIELD)
    assert held is not None
    assert held.reason is Reason.SUSPENDED
    assert look_at(held, CANCEL_DEADLINE) == START + DAY


IDS = st.sampled_from([MissionId(f"m-{number}") for number in range(5)])
OPERATIONS = st.lists(st.tuples(IDS, st.none() | st.integers(0, 20)) | st.integers(0, 20))


@given(OPERATIONS)
def test_it_gives_what_a_dictionary_would(operations: list[tuple[MissionId, int | None] | int]) -> None:
    index, model = DueIndex(), dict[MissionId, int]()
    for operation in operations:
        if isinstance(operation, int):
            due = {mission_id: at for mission_id, at in model.items() if at <= operation}
            popped = index.pop(operation)
            assert sorted(popped) == sorted(due)
            assert [due[one] for one in popped] == sorted(due.values()), "earliest first"
            model = {mission_id: at for mission_id, at in model.items() if at > operation}
        else:
            mission_id, at = operation
            index.arm(mission_id, at)
            model |= {} if at is None else {mission_id: at}
            if at is None:
                model.pop(mission_id, None)
        assert len(index) == len(model)
        assert index.next_time() == min(model.values(), default=None)
        assert all(index.is_armed(one) for one in model)


def test_a_round_takes_no_more_than_it_is_asked_to() -> None:
    index = DueIndex()
    for number in range(10):
        index.arm(MissionId(f"m-{number}"), number)
    assert index.pop(100, limit=4) == ["m-0", "m-1", "m-2", "m-3"]
    assert index.next_time() == 4


def test_finished_missions_do_not_pile_up_until_their_deadlines() -> None:
    index = DueIndex()
    for number in range(20 * SLACK):
        mission_id = MissionId(f"m-{number}")
        index.arm(mission_id, DAY + number)
        index.arm(mission_id, None)
        assert len(index._heap) <= 2 * len(index) + SLACK + 1
    assert index.next_time() is None


def test_moving_a_moment_over_and_over_is_bounded_too() -> None:
    index = DueIndex()
    for number in range(20 * SLACK):
        index.arm(MissionId("m-1"), number)
    assert len(index._heap) <= SLACK + 3
    assert index.pop(DAY) == ["m-1"]


def test_a_mission_without_pool_is_looked_at_by_its_deadline() -> None:
    assert look_at(accepted(life.Surroundings(pool_is_known=False)), CANCEL_DEADLINE) == START + DAY


def test_what_comes_until_a_moment_is_found_without_being_taken_out() -> None:
    index = DueIndex()
    for number in range(50):
        index.arm(MissionId(f"m-{number}"), float(number))
    index.arm(MissionId("m-3"), 99.0)
    index.arm(MissionId("m-4"), None)
    assert sorted(index.until(5.0)) == ["m-0", "m-1", "m-2", "m-5"]
    assert index.pop(0.0) == ["m-0"]
    assert sorted(index.until(5.0)) == ["m-1", "m-2", "m-5"]


def test_everything_comes_by_the_end_of_time_and_of_nothing_nothing() -> None:
    index = DueIndex()
    assert index.until(10.0) == []
    index.arm(MissionId("m-1"), 1.0)
    index.arm(MissionId("m-2"), 2.0)
    assert sorted(index.until(10.0)) == ["m-1", "m-2"]


def test_what_has_its_moment_behind_it_is_counted_also_at_that_very_moment() -> None:
    index = DueIndex()
    for number in range(5):
        index.arm(MissionId(f"m-{number}"), float(number))
    assert [index.count(now) for now in (-1.0, 0.0, 2.5, 4.0)] == [0, 1, 3, 5]
