"""What stays of every attempt that has ended, and the sentence that people read, whichever way it ended."""

from collections.abc import Callable

import pytest
from support.records import (
    NO_POOL,
    SOLDIER,
    START,
    accepted,
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
from mission_commander.domain.life import DEADLINE_GRACE_SECONDS, OPEN_FIELD, Dropped
from mission_commander.domain.record import Attempt, Mission, Phase
from mission_contracts.messages import ReportKind
from mission_contracts.mission import Failure, MissionState, Reason
from mission_contracts.rest import Floor

Made = Callable[[], Mission]
"""Made by the test, not beside it: mutation testing sees only what a test itself does."""

CANCEL_DEADLINE = 30.0
SHORT = {"deadline_seconds": 100}
GRACE = 100 + DEADLINE_GRACE_SECONDS


def known(mission: Mission | None) -> Mission:
    assert mission is not None, "nothing was decided"
    return mission


def given_back(mission: Mission, seconds: float = 5) -> Mission:
    return known(life.release(mission, mission.epoch, after(seconds)))


def expired(mission: Mission, seconds: float = 9) -> Mission:
    return known(life.expire(mission, mission.epoch, after(seconds)))


def overdue(mission: Mission, seconds: float) -> Mission:
    return known(life.cancel_overdue(mission, after(seconds), CANCEL_DEADLINE))


def late(mission: Mission, seconds: float) -> Mission:
    return known(life.meet_deadline(mission, after(seconds)))


@pytest.mark.parametrize(
    ("mission", "seconds", "failure", "message"),
    [
        pytest.param(lambda: completed(ran_seconds=0.5), 1.5, None, "", id="completed"),
        pytest.param(lambda: failed(ran_seconds=0.5, message="no luck"), 1.5, Failure.ERROR, "no luck", id="failed"),
        pytest.param(lambda: given_back(claimed()), 5, None, "released", id="given back"),
        pytest.param(
            lambda: expired(claimed()),
            9,
            Failure.PROCESS_DIED,
            "soldier soldier-1 was not heard of for a whole lease",
            id="died",
        ),
        pytest.param(
            lambda: overdue(cancelled(claimed(), 5), 35),
            35,
            Failure.CANCELLED,
            "cancelled; its soldier gave no answer within 30 s",
            id="silent after the request to stop",
        ),
        pytest.param(
            lambda: late(claimed(out(**SHORT)), GRACE),
            GRACE,
            Failure.TIMED_OUT,
            "still running at the deadline",
            id="too slow",
        ),
        pytest.param(
            lambda: late(cancelled(claimed(out(**SHORT)), 95), GRACE),
            GRACE,
            Failure.CANCELLED,
            "cancelled; its soldier gave no answer before the deadline",
            id="silent until the deadline",
        ),
    ],
)
def test_an_ended_attempt_tells_who_ran_it_from_when_to_when_and_how_it_ended(
    mission: Made, seconds: float, failure: Failure | None, message: str
) -> None:
    assert mission().attempts == (
        Attempt(
            number=1,
            epoch=out().epoch,
            instance=SOLDIER,
            started_at=START + 1,
            ended_at=START + seconds,
            failure=failure,
            message=message,
        ),
    )


@pytest.mark.parametrize(
    ("mission", "message"),
    [
        pytest.param(completed, "", id="completed"),
        pytest.param(
            lambda: given_back(claimed()), "given back by a soldier that leaves; it runs again", id="given back"
        ),
        pytest.param(
            lambda: expired(claimed()),
            "soldier soldier-1 was not heard of for a whole lease; it runs again, alone in a process",
            id="lease lost",
        ),
        pytest.param(cancelled, "cancelled before it ran", id="cancelled"),
        pytest.param(lambda: cancelled(claimed()), "told to stop; waiting for its handler", id="asked to stop"),
        pytest.param(
            lambda: failed(cancelled(claimed())), "cancelled while it ran", id="failed after the request to stop"
        ),
        pytest.param(
            lambda: given_back(cancelled(claimed())),
            "cancelled while it ran",
            id="given back after the request to stop",
        ),
        pytest.param(
            lambda: overdue(cancelled(claimed(), 5), 35),
            "cancelled; its soldier gave no answer within 30 s",
            id="no answer",
        ),
        pytest.param(
            lambda: late(cancelled(claimed(out(**SHORT)), 95), GRACE),
            "cancelled; its soldier gave no answer before the deadline",
            id="no answer before the deadline",
        ),
        pytest.param(
            lambda: accepted(ordering_key="k"), 'an earlier mission of ordering key "k" comes first', id="in its lane"
        ),
    ],
)
def test_people_read_what_happened_and_what_comes_next(mission: Made, message: str) -> None:
    assert mission().message == message


def without_handler(*known_types: str) -> Mission:
    answer = life.claim(out(), out().epoch, SOLDIER, after(1), has_handler=False, known_types=known_types)
    assert isinstance(answer, Dropped)
    return known(answer.mission)


@pytest.mark.parametrize(
    ("types", "named"),
    [
        pytest.param((), "nothing yet", id="none"),
        pytest.param(tuple("abc"), "a, b, c", id="few"),
        pytest.param(tuple("abcdefghij"), "a, b, c, d, e, f, g, h, i, j", id="as many as are named"),
        pytest.param(tuple("abcdefghijk"), "a, b, c, d, e, f, g, h, i, j, …", id="more than are named"),
    ],
)
def test_a_type_without_handler_is_told_which_types_have_one(types: tuple[str, ...], named: str) -> None:
    assert without_handler(*types).message == (
        f'no soldier of pool "default" handles type "noop"; it handles {named}: '
        "correct the type, or deploy soldiers with a handler for it"
    )


def test_why_it_waited_is_not_said_of_a_mission_that_is_out() -> None:
    assert known(life.wake(accepted(NO_POOL), after(1), OPEN_FIELD)).message == ""


def test_a_failure_that_brings_no_error_is_an_unexpected_one() -> None:
    running = claimed()
    assert applied(running, said(running, ReportKind.FAILED)).attempts[-1].failure is Failure.ERROR


def test_who_never_ran_leaves_no_attempt_behind() -> None:
    assert late(out(**SHORT), 100).attempts == ()


# Attempts are charged one by one.


def second_attempt() -> Mission:
    return claimed(known(life.wake(failed(), after(60), OPEN_FIELD)), 60)


@pytest.mark.parametrize("ended", [lambda: given_back(second_attempt(), 70), lambda: expired(second_attempt(), 70)])
def test_an_end_that_is_not_charged_takes_back_one_attempt_and_no_more(ended: Made) -> None:
    assert (second_attempt().attempt, ended().attempt) == (2, 1)


def test_an_object_that_shows_the_first_attempt_running_charges_nothing() -> None:
    running = Floor(state=MissionState.IN_PROGRESS, epoch=7, sequence=9, attempt=1)
    assert accepted(floor=running).attempt == 0


# Nothing of the past sticks to a record.


@pytest.mark.parametrize("mission", [failed, lambda: expired(claimed()), completed, lambda: suspended(out())])
def test_who_runs_no_more_has_no_holder(mission: Made) -> None:
    assert (mission().holder, mission().claimed_at) == ("", None)


def test_a_final_mission_is_due_no_more() -> None:
    assert cancelled(waiting()).due_at is None


def test_the_moment_of_the_deadline_is_too_late_for_another_attempt() -> None:
    running = claimed(out(deadline_seconds=5, retry=tries(3)))
    assert failed(running, seconds=5).reason is Reason.DEADLINE_EXCEEDED
    assert failed(running, seconds=4.9).phase is Phase.WAITING
