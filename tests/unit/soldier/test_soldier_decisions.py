"""The soldier's pure decisions: how much to hold, how an attempt ends, how long to wait."""

import itertools

import pytest
from support.fake_commander import an_order

from mission_contracts.messages import ReportKind
from mission_contracts.mission import Era, Failure
from mission_contracts.soldiering import HeartbeatAnswer, Held, Hold
from mission_soldier import outcomes
from mission_soldier.backoff import Backoff
from mission_soldier.book import Book, Entry
from mission_soldier.outcomes import Outcome, Stop, ending
from mission_soldier.prefetch import Load, Pace, Plan, WorstPace, ahead, plan

COMPLETED = outcomes.completed(b"1")
ERROR = outcomes.failed(Failure.ERROR, "broke on the way out")
LATER = outcomes.failed(Failure.RETRY_LATER, "later")
GONE = outcomes.process_died(-9)


@pytest.mark.parametrize(
    ("mean_seconds", "expected"),
    [
        pytest.param(None, 0, id="nothing is known yet"),
        pytest.param(0.050, 0, id="50 ms hide the round trip"),
        pytest.param(0.040, 4, id="40 ms: one round trip's worth"),
        pytest.param(0.001, 64, id="at most 64"),
        pytest.param(0.0, 64, id="no time at all"),
    ],
)
def test_how_many_deliveries_are_held_ahead(mean_seconds: float | None, expected: int) -> None:
    assert ahead(16, mean_seconds) == expected


def test_one_slow_mission_makes_its_type_slow_at_once_and_fast_ones_win_it_back() -> None:
    pace = WorstPace()
    pace.note(0.001)
    assert pace.is_fast
    pace.note(0.5)
    assert not pace.is_fast
    for _ in range(100):
        pace.note(0.001)
    assert pace.is_fast


@pytest.mark.parametrize(
    ("mean_seconds", "high", "normal", "began_ago", "expected"),
    [
        pytest.param(None, 0, 0, 0, Plan(16, 16), id="at the start: a slot's worth each"),
        pytest.param(0.2, 16, 0, 0, Plan(16, 16), id="short missions: the same"),
        pytest.param(0.001, 0, 0, 0, Plan(80, 80), id="very short ones: some ahead"),
        pytest.param(60, 0, 0, 0, Plan(16, 16), id="long ones, all free"),
        pytest.param(60, 2, 10, 5, Plan(6, 14), id="long ones: what runs and what is free"),
        pytest.param(60, 0, 16, 0, Plan(0, 16), id="long ones, none free: no order waits here for nothing"),
        pytest.param(None, 0, 16, 0.3, Plan(0, 16), id="nothing has ended yet, and it takes long"),
        pytest.param(0.001, 1, 15, 0.3, Plan(1, 15), id="short ones until now, and long ones in every slot"),
        pytest.param(0.9, 0, 16, 0.5, Plan(16, 16), id="no longer than usual"),
        pytest.param(0.001, 0, 15, 9, Plan(80, 80), id="a free slot is never stalled"),
    ],
)
def test_the_prefetch_of_both_queues(
    mean_seconds: float | None, high: int, normal: int, began_ago: float, expected: Plan
) -> None:
    assert plan(Load(16, high, normal, began_ago, mean_seconds)) == expected


def test_the_pace_follows_the_newest() -> None:
    pace = Pace()
    assert pace.mean_seconds is None
    pace.note(10)
    assert pace.mean_seconds == 10
    for _ in range(50):
        pace.note(0)
    assert pace.mean_seconds is not None
    assert pace.mean_seconds < 0.1


@pytest.mark.parametrize(
    ("stop", "outcome", "expected"),
    [
        pytest.param(None, COMPLETED, COMPLETED, id="nobody stopped it"),
        pytest.param(Stop.DROPPED, COMPLETED, None, id="dropped: not a word"),
        pytest.param(Stop.CANCELLED, COMPLETED, COMPLETED, id="cancelled, yet completed"),
        pytest.param(Stop.CANCELLED, LATER, LATER, id="cancelled, with a word of its own"),
        pytest.param(Stop.RELEASED, COMPLETED, COMPLETED, id="leaving, yet completed"),
        pytest.param(Stop.RELEASED, ERROR, outcomes.RELEASED, id="leaving, broke on the way out: uncharged"),
        pytest.param(Stop.RELEASED, GONE, outcomes.RELEASED, id="leaving, its process was killed"),
        pytest.param(Stop.RELEASED, None, outcomes.RELEASED, id="leaving, still running"),
    ],
)
def test_what_is_reported_of_a_stopped_attempt(
    stop: Stop | None, outcome: Outcome | None, expected: Outcome | None
) -> None:
    assert ending(stop, outcome, timeout_seconds=1) == expected


@pytest.mark.parametrize("outcome", [ERROR, GONE, None])
def test_a_cancelled_attempt_without_a_word_of_its_own_is_cancelled(outcome: Outcome | None) -> None:
    ended = ending(Stop.CANCELLED, outcome, timeout_seconds=1)
    assert ended is not None
    assert ended.error is not None
    assert ended.error.failure is Failure.CANCELLED


@pytest.mark.parametrize("outcome", [COMPLETED, ERROR, LATER, GONE, None])
def test_an_attempt_out_of_time_is_timed_out_whatever_it_says(outcome: Outcome | None) -> None:
    ended = ending(Stop.TIMED_OUT, outcome, timeout_seconds=2)
    assert ended is not None
    assert ended.kind is ReportKind.FAILED
    assert ended.error is not None
    assert ended.error.failure is Failure.TIMED_OUT


@pytest.mark.parametrize(
    ("exit_code", "words"), [(3, "exit code 3"), (-9, "SIGKILL"), (-11, "signal 11"), (None, "did not exit")]
)
def test_the_death_of_a_process_is_described(exit_code: int | None, words: str) -> None:
    error = outcomes.process_died(exit_code).error
    assert error is not None
    assert words in error.message


def test_messages_and_tracebacks_are_bounded() -> None:
    def deep(levels: int) -> None:
        if levels == 0:
            raise ValueError("x" * 5000)
        deep(levels - 1)

    try:
        deep(200)
    except ValueError as error:
        ended = outcomes.of_exception(error)
    assert ended.error is not None
    assert len(ended.error.message) == 1024
    assert len(ended.error.traceback.encode()) <= 8192
    assert ended.error.traceback.rstrip().endswith("x" * 100)


def test_delays_double_to_a_bound_with_jitter_and_start_over() -> None:
    backoff = Backoff(1, 8)
    bounds = [1, 2, 4, 8, 8]
    for bound in bounds:
        assert bound / 2 <= backoff.next() <= bound
    backoff.reset()
    assert backoff.next() <= 1
    assert len({round(Backoff(1, 8).next(), 6) for _ in itertools.repeat(None, 20)}) > 1


# The book


def an_entry(mission_id: str) -> tuple[tuple[str, int], Entry]:
    hold = Hold(mission_id=mission_id, epoch=1, secret="s")  # type: ignore[arg-type]
    return (mission_id, 1), Entry(hold, an_order(mission_id=mission_id).envelope, "5ea1")


def test_the_book_moves_a_mission_from_unclaimed_to_held_to_reported_to_gone() -> None:
    book = Book(slots=4)
    key, entry = an_entry("m")
    book.add_unclaimed([key])  # type: ignore[list-item]
    assert [unclaimed.mission_id for unclaimed in book.next_beat().unclaimed] == ["m"]
    book.hold([(key, entry)])  # type: ignore[list-item]
    beat = book.next_beat()
    assert (beat.unclaimed, [hold.reported for hold in beat.held]) == ((), [False])
    book.mark_reported([key])  # type: ignore[list-item]
    assert [hold.reported for hold in book.next_beat().held] == [True]
    book.apply(HeartbeatAnswer(now=1, era=Era(1), applied=(Held(mission_id=key[0], epoch=key[1]),)))  # type: ignore[arg-type]
    assert book.next_beat().held == ()


def test_what_was_applied_first_is_not_listed_again_when_its_confirm_comes_late() -> None:
    book = Book(slots=4)
    key, entry = an_entry("m")
    book.hold([(key, entry)])  # type: ignore[list-item]
    book.apply(HeartbeatAnswer(now=1, era=Era(1), drops=(Held(mission_id=key[0], epoch=key[1]),)))  # type: ignore[arg-type]
    book.mark_reported([key])  # type: ignore[list-item]
    assert book.next_beat().held == ()


def test_an_era_never_falls() -> None:
    book = Book(slots=1)
    book.heard_era(Era(5))
    book.apply(HeartbeatAnswer(now=1, era=Era(4)))
    assert book.next_beat().era == 5
