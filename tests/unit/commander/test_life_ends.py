"""How a claim ends that nobody reported, and how people end missions."""

import pytest
from support.records import (
    OTHER_SOLDIER,
    SOLDIER,
    START,
    after,
    cancelled,
    claimed,
    completed,
    failed,
    out,
    said,
    suspended,
    tries,
    waiting,
)

from mission_commander.domain import life
from mission_commander.domain.life import DEADLINE_GRACE_SECONDS, MAX_DEATHS, OPEN_FIELD, Refused
from mission_commander.domain.record import Mission, Phase
from mission_contracts.messages import ReportKind
from mission_contracts.mission import Epoch, Failure, MissionId, MissionState, Reason

CANCEL_DEADLINE = 30.0

NOT_CLAIMED = [
    pytest.param(out(), id="out"),
    pytest.param(waiting(), id="waiting"),
    pytest.param(completed(), id="final"),
]


def expired(mission: Mission, seconds: float = 9) -> Mission:
    moved = life.expire(mission, mission.epoch, after(seconds))
    assert moved is not None
    return moved


# A claim whose grant was never heard.


def test_an_abandoned_claim_runs_again_uncharged_and_unsuspected() -> None:
    before = claimed()
    mission = life.release(before, before.epoch, after(5))
    assert mission is not None
    assert (mission.phase, mission.attempt, mission.solo, mission.deaths) == (Phase.OUT, 0, False, 0)
    assert mission.epoch > before.epoch


@pytest.mark.parametrize("mission", NOT_CLAIMED)
def test_only_a_claim_is_released(mission: Mission) -> None:
    assert life.release(mission, mission.epoch, after(5)) is None


def test_a_claim_of_another_epoch_is_not_released() -> None:
    assert life.release(claimed(), Epoch(claimed().epoch - 1), after(5)) is None


# A lease that ran out.


def test_a_lost_lease_is_uncharged_and_makes_a_suspect() -> None:
    before = claimed()
    mission = expired(before)
    assert (mission.phase, mission.state, mission.reason) == (
        Phase.OUT,
        MissionState.QUEUED,
        Reason.LEASE_LOST,
    )
    assert (mission.attempt, mission.deaths, mission.solo) == (0, 1, True)
    assert mission.attempts[-1].failure is Failure.PROCESS_DIED
    assert mission.attempts[-1].instance == SOLDIER
    assert mission.epoch > before.epoch


def test_the_frozen_soldiers_late_words_are_refused() -> None:
    before = claimed()
    late = said(before, ReportKind.COMPLETED)
    assert isinstance(life.report(expired(before), late, SOLDIER, after(10), chance=0), Refused)


def test_after_ten_deaths_the_mission_is_taken_for_the_cause() -> None:
    mission = out(retry=tries(3))
    for death in range(MAX_DEATHS):
        assert not mission.is_final, f"already after {death} deaths"
        mission = expired(claimed(mission))
    assert (mission.state, mission.reason, mission.dead_letter) == (
        MissionState.FAILED,
        Reason.ATTEMPTS_EXHAUSTED,
        True,
    )
    assert "10 soldiers died" in mission.message


def test_a_lost_lease_after_the_request_to_stop_is_a_cancellation() -> None:
    assert expired(cancelled(claimed())).state is MissionState.CANCELLED


@pytest.mark.parametrize("mission", NOT_CLAIMED)
def test_only_a_claim_expires(mission: Mission) -> None:
    assert life.expire(mission, mission.epoch, after(9)) is None


def test_a_claim_of_a_later_epoch_does_not_expire() -> None:
    assert life.expire(claimed(), Epoch(claimed().epoch - 1), after(9)) is None


# An order that came back from the broker.


def test_an_undelivered_order_is_handed_out_anew_uncharged() -> None:
    before = out()
    mission = life.return_undelivered(before, before.epoch, after(5))
    assert mission is not None
    assert (mission.phase, mission.attempt) == (Phase.OUT, 0)
    assert mission.epoch > before.epoch


@pytest.mark.parametrize(
    ("mission", "older_by"),
    [
        pytest.param(out(), 1, id="a later epoch is out"),
        pytest.param(claimed(), 0, id="it runs"),
        pytest.param(suspended(), 0, id="it is held"),
        pytest.param(completed(), 0, id="it is final"),
    ],
)
def test_an_undelivered_order_of_no_use_changes_nothing(mission: Mission, older_by: int) -> None:
    assert life.return_undelivered(mission, Epoch(mission.epoch - older_by), after(5)) is None


# Cancelling.


@pytest.mark.parametrize(
    "mission",
    [
        pytest.param(out(), id="out"),
        pytest.param(waiting(), id="scheduled"),
        pytest.param(failed(), id="waiting for its retry"),
        pytest.param(suspended(), id="suspended"),
    ],
)
def test_what_nobody_runs_is_cancelled_at_once(mission: Mission) -> None:
    done = cancelled(mission, 5)
    assert (done.phase, done.state, done.reason) == (
        Phase.FINAL,
        MissionState.CANCELLED,
        Reason.CANCELLED,
    )
    assert done.finished_at == START + 5
    assert not done.dead_letter


def test_a_deleted_objects_mission_says_so() -> None:
    done = life.cancel(out(), after(5), deleted=True, message="its Mission object is gone")
    assert done is not None
    assert (done.reason, done.message) == (Reason.DELETED, "its Mission object is gone")


def test_what_runs_is_asked_to_stop() -> None:
    asked = cancelled(claimed(), 5)
    assert (asked.phase, asked.state, asked.reason) == (
        Phase.CLAIMED,
        MissionState.IN_PROGRESS,
        Reason.CANCEL_REQUESTED,
    )
    assert asked.cancel_requested_at == START + 5
    assert asked.epoch == claimed().epoch, "its soldier's word still counts"


@pytest.mark.parametrize(
    "mission",
    [
        pytest.param(cancelled(claimed()), id="asked already"),
        pytest.param(completed(), id="completed"),
        pytest.param(cancelled(), id="cancelled"),
    ],
)
def test_cancelling_again_or_too_late_changes_nothing(mission: Mission) -> None:
    assert life.cancel(mission, after(9)) is None


def test_without_an_answer_in_time_it_is_cancelled_and_fenced() -> None:
    asked = cancelled(claimed(), 5)
    done = life.cancel_overdue(asked, after(35), CANCEL_DEADLINE)
    assert done is not None
    assert (done.state, done.reason) == (MissionState.CANCELLED, Reason.CANCELLED)
    assert done.epoch > asked.epoch
    assert done.attempts[-1].instance == SOLDIER, "who ran it stays known"


@pytest.mark.parametrize(
    ("mission", "seconds"),
    [
        pytest.param(cancelled(claimed(), 5), 34.9, id="its soldier still has time"),
        pytest.param(claimed(), 900, id="nobody asked it to stop"),
        pytest.param(cancelled(), 900, id="it is final"),
        pytest.param(out(), 900, id="nobody runs it"),
    ],
)
def test_no_cancellation_is_overdue(mission: Mission, seconds: float) -> None:
    assert life.cancel_overdue(mission, after(seconds), CANCEL_DEADLINE) is None


def test_a_deadline_that_comes_before_the_answer_does_not_undo_the_cancellation() -> None:
    asked = cancelled(claimed(out(deadline_seconds=100)), 95)
    done = life.meet_deadline(asked, after(100 + DEADLINE_GRACE_SECONDS))
    assert done is not None
    assert (done.state, done.reason, done.dead_letter) == (MissionState.CANCELLED, Reason.CANCELLED, False)
    assert done.epoch > asked.epoch
    assert done.attempts[-1].failure is Failure.CANCELLED


def test_a_cancelled_mission_whose_soldier_died_ten_times_is_cancelled() -> None:
    mission = out()
    for _ in range(MAX_DEATHS - 1):
        mission = expired(claimed(mission))
    assert expired(cancelled(claimed(mission))).state is MissionState.CANCELLED


# Deadlines.


@pytest.mark.parametrize(
    ("mission", "seconds"),
    [
        pytest.param(out(deadline_seconds=100), 100, id="out: at the deadline"),
        pytest.param(waiting(deadline_seconds=100), 100, id="waiting: at the deadline"),
        pytest.param(suspended(out(deadline_seconds=100)), 100, id="suspended: at the deadline"),
        pytest.param(
            claimed(out(deadline_seconds=100)),
            100 + DEADLINE_GRACE_SECONDS,
            id="running: some time after it, so that its soldier speaks first",
        ),
    ],
)
def test_at_the_deadline_it_fails(mission: Mission, seconds: float) -> None:
    assert life.meet_deadline(mission, after(seconds - 0.1)) is None
    done = life.meet_deadline(mission, after(seconds))
    assert done is not None
    assert (done.state, done.reason, done.dead_letter) == (
        MissionState.FAILED,
        Reason.DEADLINE_EXCEEDED,
        True,
    )
    assert done.epoch > mission.epoch, "whoever still runs it learns that its claim is dead"


def test_a_final_mission_has_no_deadline() -> None:
    assert life.meet_deadline(completed(), after(10**7)) is None


def test_who_ran_into_the_deadline_stays_known() -> None:
    done = life.meet_deadline(claimed(out(deadline_seconds=100)), after(200))
    assert done is not None
    [attempt] = done.attempts
    assert (attempt.instance, attempt.failure) == (SOLDIER, Failure.TIMED_OUT)


def test_the_deadline_tells_what_was_last_heard() -> None:
    done = life.meet_deadline(failed(claimed(out(deadline_seconds=100)), message="disk full"), after(100))
    assert done is not None
    assert "within 100 s" in done.message
    assert "disk full" in done.message


# Acknowledging.


def test_a_final_mission_is_acknowledged_once() -> None:
    noted = life.acknowledge(completed(), after(9))
    assert noted is not None
    assert noted.acknowledged
    assert noted.sequence > completed().sequence
    assert life.acknowledge(noted, after(10)) is None


@pytest.mark.parametrize("mission", [out(), claimed(), waiting()], ids=["out", "running", "waiting"])
def test_only_a_final_mission_is_acknowledged(mission: Mission) -> None:
    assert life.acknowledge(mission, after(9)) is None


# Trying again.


RETRY = MissionId("m-2")


def test_a_dead_letter_that_is_redriven_is_one_no_longer_and_its_end_stays() -> None:
    dead = failed(claimed(out(retry=tries(1))))
    noted = life.retried(dead, RETRY, after(9))
    assert noted is not None
    assert (dead.dead_letter, noted.dead_letter, noted.retried_as) == (True, False, RETRY)
    assert (noted.phase, noted.state, noted.reason) == (Phase.FINAL, MissionState.FAILED, Reason.ATTEMPTS_EXHAUSTED)
    assert noted.sequence > dead.sequence


def test_a_retry_is_noted_once_and_another_one_anew() -> None:
    noted = life.retried(completed(), RETRY, after(9))
    assert noted is not None
    assert life.retried(noted, RETRY, after(10)) is None
    assert life.retried(noted, MissionId("m-3"), after(10)) is not None


@pytest.mark.parametrize("mission", [out(), claimed(), waiting()], ids=["out", "running", "waiting"])
def test_only_a_final_mission_is_tried_again(mission: Mission) -> None:
    assert life.retried(mission, RETRY, after(9)) is None


def test_another_soldier_may_run_what_a_lost_lease_set_free() -> None:
    again = claimed(expired(claimed()), 10, OTHER_SOLDIER)
    assert (again.holder, again.attempt) == (OTHER_SOLDIER, 1)
    assert life.wake(again, after(11), OPEN_FIELD) is None
