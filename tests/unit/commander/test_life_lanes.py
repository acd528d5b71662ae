"""What its lane does to a mission: the turn, a gap, and numbers that came too late."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from support.records import NO_POOL, START, accepted, after, claimed, failed, out, suspended

from mission_commander.domain import life
from mission_commander.domain.due import look_at
from mission_commander.domain.lane import Place
from mission_commander.domain.life import OPEN_FIELD, Surroundings
from mission_commander.domain.record import Mission, Phase
from mission_contracts.mission import MissionState, Reason

Made = Callable[[], Mission]
"""Made by the test, not beside it: mutation testing sees only what a test itself does."""


def queued(around: Surroundings = OPEN_FIELD, **fields: Any) -> Mission:
    return accepted(around, ordering_key="k", **fields)


def at_gap(mission: Mission | None = None) -> Mission:
    return life.wait_for_gap(mission or queued(), after(1), START + 300, "number 2 is missing")


@pytest.mark.parametrize(
    ("mission", "around", "phase", "reason"),
    [
        pytest.param(queued, OPEN_FIELD, Phase.OUT, Reason.WAITING_FOR_SOLDIER, id="it goes out"),
        pytest.param(at_gap, OPEN_FIELD, Phase.OUT, Reason.WAITING_FOR_SOLDIER, id="the lane waits for no gap more"),
        pytest.param(queued, NO_POOL, Phase.WAITING, Reason.NO_POOL, id="its pool is gone"),
        pytest.param(
            lambda: queued(suspended=True),
            OPEN_FIELD,
            Phase.WAITING,
            Reason.SUSPENDED,
            id="a suspended one holds its lane up",
        ),
        pytest.param(
            lambda: queued(start_after=START + 60),
            OPEN_FIELD,
            Phase.WAITING,
            Reason.SCHEDULED,
            id="so does a later start",
        ),
    ],
)
def test_the_turn(mission: Made, around: Surroundings, phase: Phase, reason: Reason) -> None:
    leading = life.take_turn(mission(), after(2), around)
    assert (leading.phase, leading.reason, leading.leads) == (phase, reason, True)
    assert bool(leading.message) is (phase is Phase.WAITING), "nothing to explain where it goes out"


def test_who_has_the_turn_keeps_it_and_waits_for_nobody() -> None:
    leading = life.take_turn(queued(), after(2), OPEN_FIELD)
    retrying = failed(claimed(leading, 3), seconds=4)
    again = life.wake(retrying, after(60), OPEN_FIELD)
    assert again is not None
    assert (again.phase, again.leads) == (Phase.OUT, True)


def test_the_turn_tells_which_numbers_were_passed_over() -> None:
    assert life.take_turn(at_gap(), after(300), OPEN_FIELD, "number 2 never came").message == "number 2 never came"


def test_a_gap_is_waited_for_until_its_lane_goes_on() -> None:
    waits = at_gap()
    assert (waits.reason, waits.message, waits.due_at) == (Reason.LANE_GAP, "number 2 is missing", START + 300)
    assert look_at(waits, 30) == START + 300
    assert life.wake(waits, after(300), OPEN_FIELD) is None, "only its lane lets it go on"


def test_the_time_of_a_gap_is_the_lanes_and_not_its_own() -> None:
    held = suspended(at_gap(), 2)
    assert (held.reason, held.due_at) == (Reason.SUSPENDED, None)


def test_who_came_first_after_all_sends_it_back_into_the_lane() -> None:
    behind = life.stand_in_lane(at_gap(), after(2))
    assert (behind.phase, behind.reason, behind.due_at) == (Phase.WAITING, Reason.LANE_BUSY, None)


@pytest.mark.parametrize("mission", [queued, lambda: queued(suspended=True), lambda: queued(NO_POOL)])
def test_a_number_that_its_lane_has_passed_fails_and_may_be_redriven(mission: Made) -> None:
    failed_at_once = life.come_too_late(mission(), after(2), "its lane is past number 2")
    assert (failed_at_once.state, failed_at_once.reason) == (MissionState.FAILED, Reason.LANE_PASSED)
    assert (failed_at_once.message, failed_at_once.dead_letter) == ("its lane is past number 2", True)


@pytest.mark.parametrize("mission", [claimed, out, queued], ids=["running", "out", "waiting"])
def test_a_place_that_was_lost_is_noted_wherever_the_mission_is(mission: Made) -> None:
    noted = life.stand_at(mission(), after(5), Place(3, 1), leads=True)
    assert (noted.place, noted.leads, noted.sequence > mission().sequence) == (Place(3, 1), True, True)
    assert msgspec.structs.replace(noted, place=None, leads=False, sequence=mission().sequence) == mission()


@pytest.mark.parametrize("end", [life.release, life.expire], ids=["given back", "lease lost"])
def test_who_ran_beside_its_lane_goes_back_into_it(end: Any) -> None:
    """Its ledger was rolled back to before it had the turn; its soldier ran it all the same."""
    beside = claimed(msgspec.structs.replace(out(), envelope=queued().envelope))
    back = end(beside, beside.epoch, after(9))
    assert (back.phase, back.reason, back.attempt) == (Phase.WAITING, Reason.LANE_BUSY, 0)
