"""A soldier's word: every kind of report in every state, retries, and what ends a mission for good."""

import msgspec
import pytest
from support.records import (
    OTHER_SOLDIER,
    SOLDIER,
    START,
    after,
    applied,
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
from mission_commander.domain.life import OPEN_FIELD, Refused
from mission_commander.domain.record import KEPT_ATTEMPTS, Mission, Phase
from mission_commander.domain.retention import purgeable_since
from mission_contracts.messages import ReportKind
from mission_contracts.mission import Epoch, Failure, MissionState, Reason
from mission_contracts.soldiering import DropReason
from mission_contracts.spec import MAX_RESULT_BYTES

EVERY_KIND = list(ReportKind)


def asked_to_stop() -> Mission:
    return cancelled(claimed(), 1.5)


# Refusals: what was said too late, or of another epoch.


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize(
    ("mission", "older_by", "why"),
    [
        pytest.param(completed(), 0, DropReason.FINAL, id="it is completed"),
        pytest.param(cancelled(), 0, DropReason.FINAL, id="it is cancelled"),
        pytest.param(completed(), 3, DropReason.FINAL, id="it is completed, in a later epoch"),
        pytest.param(claimed(), 1, DropReason.STALE, id="a later epoch runs"),
        pytest.param(out(), 1, DropReason.STALE, id="a later epoch is out"),
        pytest.param(failed(), 0, DropReason.SPENT, id="this epoch ended before"),
        pytest.param(suspended(), 0, DropReason.SPENT, id="it was suspended before anybody claimed it"),
    ],
)
def test_a_report_changes_nothing(mission: Mission, older_by: int, why: DropReason, kind: ReportKind) -> None:
    late = said(mission, kind, epoch=mission.epoch - older_by)  # type: ignore[arg-type]
    assert life.report(mission, late, SOLDIER, after(5), chance=0) == Refused(why)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_word_of_another_instance_than_the_holder_changes_nothing(kind: ReportKind) -> None:
    """After a wipe the same epoch may have been claimed twice; the later claim is the one on record."""
    running = claimed(instance=OTHER_SOLDIER)
    assert life.report(running, said(running, kind), SOLDIER, after(5), chance=0) == Refused(DropReason.SPENT)


# Progress.


def test_progress_is_shown_and_changes_nothing_else() -> None:
    before = claimed()
    shown = applied(before, said(before, ReportKind.PROGRESS, progress=40.0, note="resizing"))
    assert (shown.progress, shown.message, shown.reason) == (40.0, "resizing", Reason.RUNNING)
    assert (shown.phase, shown.state, shown.holder, shown.epoch) == (
        before.phase,
        before.state,
        before.holder,
        before.epoch,
    )


def test_progress_after_the_request_to_stop_does_not_hide_the_request() -> None:
    before = asked_to_stop()
    assert applied(before, said(before, ReportKind.PROGRESS, progress=50.0)).reason is Reason.CANCEL_REQUESTED


# Completed.


def test_completed_is_final_and_keeps_the_result() -> None:
    mission = completed(result=b'{"width":640}')
    assert (mission.phase, mission.state, mission.reason) == (
        Phase.FINAL,
        MissionState.COMPLETED,
        Reason.COMPLETED,
    )
    assert mission.result == b'{"width":640}'
    assert not mission.dead_letter


def test_the_end_is_what_the_soldier_measured_however_late_the_report_arrives() -> None:
    mission = completed(claimed(seconds=1), seconds=60, ran_seconds=4.0)
    assert mission.finished_at == START + 5
    assert purgeable_since(mission) == START + 60, "its retention begins when its end is known"


def test_the_end_is_never_in_the_future() -> None:
    assert completed(claimed(seconds=1), seconds=2, ran_seconds=400.0).finished_at == START + 2


def test_completed_stays_completed_though_it_was_asked_to_stop() -> None:
    assert completed(asked_to_stop()).state is MissionState.COMPLETED


def test_completed_counts_also_after_the_deadline() -> None:
    late = claimed(out(deadline_seconds=5))
    assert completed(late, seconds=9).state is MissionState.COMPLETED


def test_progress_ends_at_a_hundred_only_where_there_was_some() -> None:
    told = applied(claimed(), said(claimed(), ReportKind.PROGRESS, progress=40.0))
    assert completed(told).progress == 100.0
    assert completed().progress is None


def test_who_ran_it_stays_known() -> None:
    [attempt] = completed().attempts
    assert (attempt.number, attempt.instance, attempt.failure) == (1, SOLDIER, None)


# Failed.


@pytest.mark.parametrize("failure", [Failure.ERROR, Failure.TIMED_OUT, Failure.PROCESS_DIED, Failure.CANCELLED])
def test_a_failure_is_tried_again_after_a_while(failure: Failure) -> None:
    mission = failed(claimed(), failure)
    assert (mission.phase, mission.state, mission.reason) == (
        Phase.WAITING,
        MissionState.QUEUED,
        Reason.RETRY_BACKOFF,
    )
    assert mission.attempt == 1
    assert "no luck" in mission.message


@pytest.mark.parametrize("failure", [Failure.GIVE_UP, Failure.BAD_PAYLOAD])
def test_a_failure_for_good_is_a_dead_letter_at_once(failure: Failure) -> None:
    mission = failed(claimed(), failure, message="no such bucket")
    assert (mission.state, mission.reason, mission.message) == (
        MissionState.FAILED,
        Reason.GAVE_UP,
        "no such bucket",
    )
    assert mission.dead_letter


def test_the_last_attempt_is_the_end() -> None:
    mission = failed(claimed(out(retry=tries(1))), message="disk full")
    assert (mission.state, mission.reason, mission.dead_letter) == (
        MissionState.FAILED,
        Reason.ATTEMPTS_EXHAUSTED,
        True,
    )
    assert "attempt 1 of 1" in mission.message
    assert "disk full" in mission.message


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_it_is_tried_exactly_as_often_as_it_may_be(attempts: int) -> None:
    mission, runs = out(retry=tries(attempts)), 0
    while not mission.is_final:
        mission, runs = failed(claimed(mission)), runs + 1
        mission = life.wake(mission, after(9_000), OPEN_FIELD) or mission
    assert runs == attempts
    assert mission.attempt == attempts


def test_a_failure_without_a_word_still_has_a_sentence() -> None:
    assert "Error" in failed(message="").message


def test_a_failure_after_the_request_to_stop_is_a_cancellation() -> None:
    assert failed(asked_to_stop()).state is MissionState.CANCELLED


def test_a_retry_after_the_request_to_stop_is_a_cancellation() -> None:
    assert failed(asked_to_stop(), Failure.RETRY_LATER).state is MissionState.CANCELLED


def test_a_failure_after_the_deadline_is_the_deadline() -> None:
    mission = failed(claimed(out(deadline_seconds=5)), seconds=6, message="too slow")
    assert (mission.state, mission.reason) == (MissionState.FAILED, Reason.DEADLINE_EXCEEDED)
    assert len(mission.attempts) == 1


def test_a_failure_after_the_deadline_still_tells_why() -> None:
    assert "last: too slow" in failed(claimed(out(deadline_seconds=5)), seconds=6, message="too slow").message


@pytest.mark.parametrize(
    ("failure", "attempts", "reason"),
    [
        pytest.param(Failure.GIVE_UP, 3, Reason.GAVE_UP, id="the handler gave up"),
        pytest.param(Failure.ERROR, 1, Reason.ATTEMPTS_EXHAUSTED, id="it was the last attempt"),
    ],
)
def test_what_would_not_be_tried_again_anyway_does_not_blame_the_deadline(
    failure: Failure, attempts: int, reason: Reason
) -> None:
    running = claimed(out(deadline_seconds=5, retry=tries(attempts)))
    assert failed(running, failure, seconds=6).reason is reason


def test_only_the_newest_attempts_are_kept() -> None:
    mission = out(retry=tries(KEPT_ATTEMPTS + 5))
    while not mission.is_final:
        mission = failed(claimed(mission))
        mission = life.wake(mission, after(9_000), OPEN_FIELD) or mission
    assert [attempt.number for attempt in mission.attempts] == list(range(6, KEPT_ATTEMPTS + 6))


# Backoff: full jitter below a bound that grows.


@pytest.mark.parametrize(
    ("attempt", "bound"),
    [(1, 2), (2, 6), (3, 18), (4, 54), (5, 60), (99, 60)],
)
def test_the_bound_grows_with_each_attempt_up_to_its_limit(attempt: int, bound: float) -> None:
    policy = tries(100, initial_delay_seconds=2, multiplier=3, max_delay_seconds=60)
    mission = out(retry=policy)
    for _ in range(attempt - 1):
        mission = failed(claimed(mission), chance=0)
        mission = life.wake(mission, after(2 + life.DEFAULT_LATER_SECONDS), OPEN_FIELD) or mission
    assert life.backoff_bound(claimed(mission)) == bound


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.999])
def test_the_delay_is_drawn_between_nothing_and_the_bound(chance: float) -> None:
    mission = failed(claimed(out(retry=tries(3, initial_delay_seconds=8))), seconds=2, chance=chance)
    assert mission.due_at == START + 2 + 8 * chance


# RetryLater: asked for by the handler.


def test_retry_later_costs_no_attempt_and_waits_as_long_as_asked() -> None:
    mission = failed(claimed(), Failure.RETRY_LATER, seconds=2, message="quota", retry_after_seconds=30)
    assert (mission.phase, mission.attempt, mission.laters) == (Phase.WAITING, 0, 1)
    assert (mission.due_at, mission.message) == (START + 32, "quota")


def test_retry_later_is_allowed_on_the_last_attempt_too() -> None:
    assert not failed(claimed(out(retry=tries(1))), Failure.RETRY_LATER).is_final


def test_retry_later_is_bounded_then_it_costs_attempts() -> None:
    mission, runs = out(retry=tries(2), deadline_seconds=10**7), 0
    while not mission.is_final:
        mission, runs = failed(claimed(mission), Failure.RETRY_LATER, chance=0), runs + 1
        mission = life.wake(mission, after(2 + life.DEFAULT_LATER_SECONDS), OPEN_FIELD) or mission
    assert runs == life.MAX_LATERS + 2
    assert mission.reason is Reason.ATTEMPTS_EXHAUSTED


@pytest.mark.parametrize("asked", [1e6, 1e300])
def test_retry_later_never_waits_beyond_the_deadline(asked: float) -> None:
    mission = failed(claimed(out(deadline_seconds=100)), Failure.RETRY_LATER, retry_after_seconds=asked)
    assert mission.due_at == START + 100


@pytest.mark.parametrize("asked", [-5, 0, 0.001, -float("inf")])
def test_a_retry_later_is_never_a_hot_loop(asked: float) -> None:
    mission = failed(claimed(), Failure.RETRY_LATER, seconds=2, retry_after_seconds=asked)
    assert mission.due_at is not None
    assert mission.due_at >= START + 2 + life.MIN_LATER_SECONDS


@pytest.mark.parametrize("asked", [None, float("inf"), float("nan")])
def test_a_retry_later_without_a_delay_that_is_a_number_waits_for_the_default(asked: float | None) -> None:
    mission = failed(claimed(), Failure.RETRY_LATER, seconds=2, retry_after_seconds=asked)
    assert mission.due_at == START + 2 + life.DEFAULT_LATER_SECONDS


# Released: given back unfinished.


def test_what_a_leaving_soldier_gives_back_runs_again_at_once_and_uncharged() -> None:
    before = claimed()
    mission = applied(before, said(before, ReportKind.RELEASED))
    assert (mission.phase, mission.reason, mission.attempt) == (Phase.OUT, Reason.RELEASED, 0)
    assert mission.epoch > before.epoch


def test_what_is_given_back_after_the_request_to_stop_is_cancelled() -> None:
    before = asked_to_stop()
    assert applied(before, said(before, ReportKind.RELEASED)).state is MissionState.CANCELLED


def test_what_is_given_back_while_suspended_is_held() -> None:
    before = suspended(claimed())
    mission = applied(before, said(before, ReportKind.RELEASED))
    assert (mission.phase, mission.reason) == (Phase.WAITING, Reason.SUSPENDED)


# Suspects.


def suspect() -> Mission:
    expired = life.expire(claimed(), claimed().epoch, after(8))
    assert expired is not None
    return claimed(expired, 9)


def test_a_suspect_that_is_given_back_is_still_one() -> None:
    running = suspect()
    assert applied(running, said(running, ReportKind.RELEASED), 10).solo


def test_a_suspect_whose_process_died_alone_is_tried_alone_again() -> None:
    assert failed(suspect(), Failure.PROCESS_DIED, seconds=10).solo


@pytest.mark.parametrize("failure", [Failure.ERROR, Failure.TIMED_OUT, Failure.RETRY_LATER])
def test_a_suspect_that_ends_otherwise_is_cleared(failure: Failure) -> None:
    assert not failed(suspect(), failure, seconds=10).solo


# A ledger that was rolled back knows less than a genuine report.


@pytest.mark.parametrize(
    "mission",
    [
        pytest.param(out(), id="it thinks that the order is still out"),
        pytest.param(waiting(), id="it thinks that it waits, in an earlier epoch"),
        pytest.param(claimed(instance=OTHER_SOLDIER), id="it thinks that another runs it, in an earlier epoch"),
    ],
)
def test_a_genuine_report_of_a_later_epoch_counts(mission: Mission) -> None:
    epoch = mission.epoch if mission.phase is Phase.OUT else type(mission.epoch)(mission.epoch + 4)
    report = said(mission, ReportKind.COMPLETED, epoch=epoch, attempt=3, ran_seconds=1.0)
    done = life.report(mission, report, SOLDIER, after(5), chance=0)
    assert not isinstance(done, Refused)
    assert (done.state, done.epoch, done.attempt) == (MissionState.COMPLETED, epoch, 3)
    assert done.attempts[-1].instance == SOLDIER


def test_progress_that_the_ledger_had_no_claim_for_shows_a_running_mission() -> None:
    before = waiting()
    report = said(before, ReportKind.PROGRESS, epoch=Epoch(before.epoch + 4), progress=5.0, ran_seconds=2.0)
    running = applied(before, report, 6)
    assert (running.phase, running.state, running.reason) == (
        Phase.CLAIMED,
        MissionState.IN_PROGRESS,
        Reason.RUNNING,
    )
    assert (running.holder, running.claimed_at, running.started_at) == (SOLDIER, START + 4, START + 4)
    assert running.due_at is None, "it waits for no time any more"


def test_progress_of_a_later_epoch_does_not_hide_the_request_to_stop() -> None:
    before = asked_to_stop()
    later = said(before, ReportKind.PROGRESS, epoch=Epoch(before.epoch + 4), progress=5.0)
    assert applied(before, later).reason is Reason.CANCEL_REQUESTED


# Results.


def test_a_result_is_kept() -> None:
    done = completed(result=msgspec.Raw(b'{"pages":3}'))
    assert (done.result, done.message) == (b'{"pages":3}', "")


@pytest.mark.parametrize(
    ("result", "why"),
    [
        pytest.param(b'"' + b"x" * MAX_RESULT_BYTES + b'"', "store it elsewhere", id="too long"),
        pytest.param(b"[" * 102 + b"]" * 102, "return it flatter", id="too deep"),
        pytest.param(b"{not json", "not JSON", id="not JSON"),
    ],
)
def test_a_mission_completes_without_a_result_that_cannot_be_kept_and_says_so(result: bytes, why: str) -> None:
    done = completed(result=msgspec.Raw(result))
    assert (done.state, done.reason, done.result) == (MissionState.COMPLETED, Reason.COMPLETED, None)
    assert done.message.startswith("completed, but ")
    assert why in done.message
