"""Where a mission goes that nobody runs: out to its pool, or into waiting with a reason."""

import msgspec
import pytest
from support.records import (
    NO_HANDLER,
    NO_POOL,
    START,
    accepted,
    after,
    cancelled,
    claimed,
    completed,
    failed,
    out,
    suspended,
    tries,
    waiting,
)

from mission_commander.domain import life
from mission_commander.domain.life import OPEN_FIELD, Dropped, Moment, Surroundings
from mission_commander.domain.record import Mission, Phase
from mission_contracts.clock import utc_text
from mission_contracts.mission import NUMBERS_PER_ERA, Era, MissionState, Reason
from mission_contracts.rest import Floor
from mission_contracts.testing import ERA, a_mission


def of_a_newer_commander(mission: Mission) -> Mission:
    return msgspec.structs.replace(mission, reason=Reason("NotYetInvented"))


@pytest.mark.parametrize(
    ("mission", "phase", "reason"),
    [
        pytest.param(accepted(), Phase.OUT, Reason.WAITING_FOR_SOLDIER, id="a runnable mission is handed out"),
        pytest.param(accepted(NO_POOL), Phase.WAITING, Reason.NO_POOL, id="without its pool it waits for the pool"),
        pytest.param(accepted(ordering_key="k"), Phase.WAITING, Reason.LANE_BUSY, id="in a lane it waits for its turn"),
        pytest.param(accepted(NO_HANDLER), Phase.OUT, Reason.WAITING_FOR_SOLDIER, id="a soldier says if none handles"),
        pytest.param(waiting(), Phase.WAITING, Reason.SCHEDULED, id="before its start time it is scheduled"),
        pytest.param(
            accepted(start_after=START), Phase.OUT, Reason.WAITING_FOR_SOLDIER, id="at its start time it goes out"
        ),
        pytest.param(accepted(suspended=True), Phase.WAITING, Reason.SUSPENDED, id="a suspended one stays here"),
        pytest.param(
            accepted(NO_POOL, suspended=True, start_after=START + 9),
            Phase.WAITING,
            Reason.SUSPENDED,
            id="suspension is told before start time and pool",
        ),
    ],
)
def test_acceptance(mission: Mission, phase: Phase, reason: Reason) -> None:
    assert (mission.phase, mission.reason, mission.state) == (phase, reason, MissionState.QUEUED)


@pytest.mark.parametrize(
    "mission",
    [
        pytest.param(accepted(NO_POOL), id="no pool"),
        pytest.param(accepted(ordering_key="k"), id="lane"),
        pytest.param(accepted(suspended=True), id="suspended"),
        pytest.param(waiting(), id="scheduled"),
    ],
)
def test_whoever_waits_is_told_in_a_sentence_for_what(mission: Mission) -> None:
    assert len(mission.message.split()) > 4


def test_who_waits_for_a_time_is_told_which() -> None:
    assert waiting().message == f"starts after {utc_text(START + 60)}, as asked"
    resumed = life.resume(suspended(waiting()), after(5), OPEN_FIELD)
    assert resumed is not None
    assert resumed.message == waiting().message


def test_numbers_begin_above_everything_of_earlier_eras() -> None:
    mission = out()
    assert [mission.epoch, mission.sequence] == [ERA * NUMBERS_PER_ERA + 1] * 2


def test_a_floor_lifts_all_numbers_above_what_the_object_shows() -> None:
    high = (ERA + 5) * NUMBERS_PER_ERA
    mission = accepted(floor=Floor(state=MissionState.IN_PROGRESS, epoch=high, sequence=high + 7, attempt=2))
    assert mission.epoch == high + 1
    assert mission.sequence == high + 8


@pytest.mark.parametrize(
    ("state", "attempt"),
    [
        pytest.param(MissionState.IN_PROGRESS, 2, id="it ran: nobody knows that this attempt failed"),
        pytest.param(MissionState.QUEUED, 3, id="it waited for the next one: this attempt had counted"),
    ],
)
def test_a_floor_charges_what_counted_and_nothing_else(state: MissionState, attempt: int) -> None:
    mission = accepted(floor=Floor(state=state, epoch=7, sequence=9, attempt=2))
    assert claimed(mission).attempt == attempt


def test_a_floor_of_an_earlier_era_is_overtaken_by_this_one() -> None:
    mission = accepted(floor=Floor(state=MissionState.QUEUED, epoch=12, sequence=34))
    assert [mission.epoch, mission.sequence] == [ERA * NUMBERS_PER_ERA + 1] * 2


@pytest.mark.parametrize(
    ("mission", "phase"),
    [
        pytest.param(out(), Phase.OUT, id="out: handed out anew"),
        pytest.param(claimed(), Phase.OUT, id="running, as the ledger thinks: handed out anew"),
        pytest.param(waiting(), Phase.WAITING, id="waiting: it waits on"),
        pytest.param(suspended(), Phase.WAITING, id="suspended: it is held"),
    ],
)
def test_an_object_that_shows_a_later_epoch_lifts_its_record_above_it(mission: Mission, phase: Phase) -> None:
    floor = Floor(state=MissionState.IN_PROGRESS, epoch=mission.epoch + 4, sequence=mission.sequence + 9, attempt=2)
    lifted = life.lift(mission, floor, after(5))
    assert lifted is not None
    assert (lifted.phase, lifted.attempt) == (phase, 1), "nobody knows that the second attempt failed"
    assert lifted.sequence > floor.sequence
    assert lifted.epoch > floor.epoch if phase is Phase.OUT else lifted.epoch == floor.epoch


def test_a_final_record_is_lifted_and_stays_final() -> None:
    floor = Floor(state=MissionState.IN_PROGRESS, epoch=0, sequence=completed().sequence + 9)
    lifted = life.lift(completed(), floor, after(5))
    assert lifted is not None
    assert lifted.sequence > floor.sequence
    assert lifted.state is MissionState.COMPLETED


def test_a_record_that_is_above_its_object_already_is_left_alone() -> None:
    shown = Floor(state=MissionState.QUEUED, epoch=out().epoch, sequence=out().sequence)
    assert life.lift(out(), shown, after(5)) is None


def test_every_hand_out_has_a_greater_epoch() -> None:
    first = out()
    second = life.hand_out(first, after(1))
    third = life.hand_out(second, Moment(START + 2, Era(ERA + 1)))
    assert first.epoch < second.epoch < third.epoch
    assert third.epoch == (ERA + 1) * NUMBERS_PER_ERA + 1


# Waking.


@pytest.mark.parametrize(
    ("mission", "seconds", "around", "phase", "reason"),
    [
        pytest.param(
            waiting(), 60, OPEN_FIELD, Phase.OUT, Reason.WAITING_FOR_SOLDIER, id="at its start time it goes out"
        ),
        pytest.param(
            accepted(NO_POOL), 1, OPEN_FIELD, Phase.OUT, Reason.WAITING_FOR_SOLDIER, id="its pool exists: it goes out"
        ),
        pytest.param(
            failed(), 5, OPEN_FIELD, Phase.OUT, Reason.WAITING_FOR_SOLDIER, id="its retry is due: it goes out"
        ),
        pytest.param(waiting(), 60, NO_POOL, Phase.WAITING, Reason.NO_POOL, id="due, but its pool is gone meanwhile"),
        pytest.param(
            accepted(NO_POOL, ordering_key="k"),
            1,
            OPEN_FIELD,
            Phase.WAITING,
            Reason.LANE_BUSY,
            id="its pool came, and others of its lane come first",
        ),
    ],
)
def test_waking(mission: Mission, seconds: float, around: Surroundings, phase: Phase, reason: Reason) -> None:
    woken = life.wake(mission, after(seconds), around)
    assert woken is not None
    assert (woken.phase, woken.reason) == (phase, reason)


@pytest.mark.parametrize(
    ("mission", "seconds", "around"),
    [
        pytest.param(waiting(), 59.9, OPEN_FIELD, id="too early"),
        pytest.param(failed(), 2.1, OPEN_FIELD, id="its backoff is not over"),
        pytest.param(accepted(NO_POOL), 1, NO_POOL, id="still no pool"),
        pytest.param(accepted(ordering_key="k"), 1, OPEN_FIELD, id="only its lane gives it its turn"),
        pytest.param(suspended(), 9, OPEN_FIELD, id="suspended: only resume wakes it"),
        pytest.param(out(), 9, OPEN_FIELD, id="out already"),
        pytest.param(claimed(), 9, OPEN_FIELD, id="it runs"),
        pytest.param(completed(), 9, OPEN_FIELD, id="it is final"),
        pytest.param(of_a_newer_commander(waiting()), 61, OPEN_FIELD, id="only a newer Commander knows when it may go"),
    ],
)
def test_nothing_wakes(mission: Mission, seconds: float, around: Surroundings) -> None:
    assert life.wake(mission, after(seconds), around) is None


def without_handler() -> Mission:
    dropped = life.claim(out(), out().epoch, claimed().holder, after(1), has_handler=False)
    assert isinstance(dropped, Dropped)
    assert dropped.mission is not None
    return dropped.mission


def test_a_type_that_nobody_handles_stays_here_while_that_is_so() -> None:
    assert life.wake(without_handler(), after(3), NO_HANDLER) is None


def test_a_type_that_somebody_handles_by_now_goes_out_anew() -> None:
    before = without_handler()
    woken = life.wake(before, after(3), OPEN_FIELD)
    assert woken is not None
    assert woken.phase is Phase.OUT
    assert woken.epoch > before.epoch


def test_why_the_last_attempt_failed_stays_readable_while_it_is_out_again() -> None:
    woken = life.wake(failed(message="disk full"), after(9), OPEN_FIELD)
    assert woken is not None
    assert "disk full" in woken.message


# Explaining.


def test_a_mission_that_is_out_is_told_what_it_waits_for() -> None:
    told = life.explain(out(), after(3), Reason.POOL_AT_MAX, "all 4 slots are in use")
    assert told is not None
    assert (told.phase, told.reason, told.message) == (Phase.OUT, Reason.POOL_AT_MAX, "all 4 slots are in use")
    assert told.epoch == out().epoch, "an explanation is no hand-out"


def test_the_same_reason_is_not_written_twice() -> None:
    told = life.explain(out(), after(3), Reason.POOL_AT_MAX, "all 4 slots are in use")
    assert told is not None
    assert life.explain(told, after(4), Reason.POOL_AT_MAX, "all 5 slots are in use") is None


def test_the_same_reason_in_other_words_is_written_where_it_is_asked_for() -> None:
    told = life.explain(out(), after(3), Reason.POOL_AT_MAX, "all 4 slots are in use")
    assert told is not None
    anew = life.explain(told, after(4), Reason.POOL_AT_MAX, "all 5 slots are in use", in_other_words=True)
    assert anew is not None
    assert anew.message == "all 5 slots are in use"
    assert life.explain(anew, after(5), Reason.POOL_AT_MAX, anew.message, in_other_words=True) is None


@pytest.mark.parametrize(
    "mission",
    [waiting(), claimed(), completed(), of_a_newer_commander(out())],
    ids=["waiting", "running", "final", "explained better"],
)
def test_only_what_is_out_is_explained(mission: Mission) -> None:
    assert life.explain(mission, after(3), Reason.POOL_AT_MAX, "why") is None


# Suspending.


@pytest.mark.parametrize(
    ("mission", "phase", "reason"),
    [
        pytest.param(out(), Phase.WAITING, Reason.SUSPENDED, id="out: it is held back"),
        pytest.param(waiting(), Phase.WAITING, Reason.SUSPENDED, id="scheduled: it is held back"),
        pytest.param(accepted(NO_POOL), Phase.WAITING, Reason.SUSPENDED, id="without pool: it is held back"),
        pytest.param(claimed(), Phase.CLAIMED, Reason.RUNNING, id="running: it goes on"),
    ],
)
def test_suspending(mission: Mission, phase: Phase, reason: Reason) -> None:
    held = suspended(mission)
    assert (held.phase, held.reason, held.suspended) == (phase, reason, True)
    assert held.epoch == mission.epoch


@pytest.mark.parametrize("mission", [suspended(), completed(), cancelled()], ids=["suspended", "final", "cancelled"])
def test_suspending_again_or_too_late_changes_nothing(mission: Mission) -> None:
    assert life.suspend(mission, after(5)) is None


def test_a_running_mission_that_was_suspended_does_not_retry_until_it_is_resumed() -> None:
    retrying = failed(suspended(claimed(), 1.5))
    held = life.wake(retrying, after(100), OPEN_FIELD)
    assert held is not None
    assert held.phase is Phase.WAITING
    resumed = life.resume(retrying, after(100), OPEN_FIELD)
    assert resumed is not None
    assert resumed.phase is Phase.OUT


def test_a_suspended_mission_that_ran_is_held_when_its_lease_ends() -> None:
    running = suspended(claimed())
    expired = life.expire(running, running.epoch, after(9))
    assert expired is not None
    assert (expired.phase, expired.reason) == (Phase.WAITING, Reason.SUSPENDED)


@pytest.mark.parametrize(
    ("mission", "phase", "reason"),
    [
        pytest.param(suspended(out()), Phase.OUT, Reason.WAITING_FOR_SOLDIER, id="it goes out, under a new epoch"),
        pytest.param(suspended(waiting()), Phase.WAITING, Reason.SCHEDULED, id="its start time still counts"),
        pytest.param(suspended(claimed()), Phase.CLAIMED, Reason.RUNNING, id="it runs on"),
    ],
)
def test_resuming(mission: Mission, phase: Phase, reason: Reason) -> None:
    resumed = life.resume(mission, after(5), OPEN_FIELD)
    assert resumed is not None
    assert (resumed.phase, resumed.reason, resumed.suspended) == (phase, reason, False)


def test_an_order_from_before_the_suspension_is_of_no_use_after_it() -> None:
    before = out()
    held = suspended(before)
    resumed = life.resume(held, after(5), OPEN_FIELD)
    assert resumed is not None
    assert resumed.epoch > before.epoch


@pytest.mark.parametrize("mission", [out(), claimed(), completed()], ids=["out", "running", "final"])
def test_resuming_what_is_not_suspended_changes_nothing(mission: Mission) -> None:
    assert life.resume(mission, after(5), OPEN_FIELD) is None


def test_a_resumed_start_time_says_so_even_where_its_pool_is_gone() -> None:
    resumed = life.resume(suspended(waiting()), after(5), NO_POOL)
    assert resumed is not None
    assert (resumed.reason, resumed.due_at) == (Reason.SCHEDULED, START + 60)


def test_a_resumed_retry_keeps_its_time_and_says_why_the_last_attempt_failed() -> None:
    retrying = failed(claimed(out(retry=tries(3, initial_delay_seconds=60))), message="disk full")
    resumed = life.resume(suspended(retrying, 3), after(4), OPEN_FIELD)
    assert resumed is not None
    assert (resumed.reason, resumed.due_at) == (Reason.RETRY_BACKOFF, retrying.due_at)
    assert resumed.message == "attempt 1 failed: disk full"


def test_a_resumed_mission_that_nobody_failed_says_nothing_of_a_failure() -> None:
    given_back = life.release(claimed(), claimed().epoch, after(2))
    resumed = life.resume(suspended(given_back, 3), after(4), OPEN_FIELD)
    assert resumed is not None
    assert (resumed.phase, resumed.message) == (Phase.OUT, "")


def test_a_suspended_mission_without_handler_goes_out_as_soon_as_it_is_resumed() -> None:
    resumed = life.resume(suspended(without_handler(), 1.1), after(1.2), OPEN_FIELD)
    assert resumed is not None
    assert resumed.phase is Phase.OUT


@pytest.mark.parametrize(
    ("mission", "around"),
    [
        pytest.param(waiting(), NO_POOL, id="for its pool"),
        pytest.param(waiting(ordering_key="k"), OPEN_FIELD, id="for its lane"),
    ],
)
def test_once_its_time_has_come_it_waits_for_no_time_any_more(mission: Mission, around: Surroundings) -> None:
    woken = life.wake(mission, after(60), around)
    assert woken is not None
    assert woken.due_at is None


# The one way to move.


def test_a_broken_move_is_a_defect_that_names_the_mission_and_the_table() -> None:
    with pytest.raises(
        life.IllegalMoveError, match=r"m-1 cannot go from final \(COMPLETED, Completed\) to out .*table"
    ):
        life.hand_out(completed(), after(5))


def test_acceptance_keeps_the_envelope_as_it_is() -> None:
    envelope = a_mission(priority="High", retry=tries(9))
    assert life.accept(envelope, after(0), OPEN_FIELD).envelope is envelope
