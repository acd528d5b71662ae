"""Numbers of rounds: counts add up, times are medians, and the last line says it all."""

from typing import Any

import pytest
from chaos.judge import Verdict, Violation, Wrong
from chaos.measures import Caught, Outcome, closing_line, recovery, rows


def an_outcome(fault: str = "a", *wrongs: Wrong, **fields: Any) -> Outcome:
    violations = tuple(Violation(wrong, f"m-{index}", "as forged") for index, wrong in enumerate(wrongs))
    known: dict[str, Any] = {
        "number": 1,
        "verdict": Verdict(accepted=10, final=9, extra_executions=2, violations=violations),
        "first_seconds": 0.5,
        "recovered_seconds": 1.0,
        "before_per_second": 100.0,
        "after_per_second": 95.0,
        "took_seconds": 5.0,
    }
    return Outcome(fault=fault, **known | fields)


def test_counts_are_sums_and_times_are_medians() -> None:
    [row] = rows([an_outcome(recovered_seconds=seconds) for seconds in (1.0, 9.0, 2.0)])
    assert (row.rounds, row.accepted, row.final, row.extra_executions) == (3, 30, 27, 6)
    assert (row.first_seconds, row.recovered_seconds, row.throughput_ratio) == (0.5, 2.0, 0.95)


def test_a_round_that_held_nothing_up_has_no_say_in_the_times() -> None:
    [row] = rows([an_outcome(recovered_seconds=None), an_outcome(recovered_seconds=3.0)])
    assert row.recovered_seconds == 3.0


def test_each_violation_has_its_column() -> None:
    [row] = rows([an_outcome("a", Wrong.LOST, Wrong.STUCK, Wrong.DOUBLE, Wrong.BLAME, Wrong.REPEATS)])
    assert (row.lost, row.stuck, row.double, row.other) == (1, 1, 1, 2)


def test_a_mission_that_is_wrong_in_two_ways_of_one_kind_counts_once() -> None:
    twice = tuple(Violation(Wrong.LOST, "m-1", sentence) for sentence in ("by REST", "as object"))
    assert Verdict(accepted=1, final=0, extra_executions=0, violations=twice).count(Wrong.LOST) == 1


@pytest.mark.parametrize(
    ("wrongs", "expected"),
    [
        ((), "20 missions, 2 faults: 0 lost, 0 stuck, 0 double"),
        ((Wrong.LOST, Wrong.LOST, Wrong.DOUBLE), "20 missions, 2 faults: 2 lost, 0 stuck, 1 double"),
        ((Wrong.BACKWARDS,), "20 missions, 2 faults: 0 lost, 0 stuck, 0 double, 1 backwards"),
    ],
)
def test_the_last_line(wrongs: tuple[Wrong, ...], expected: str) -> None:
    assert closing_line([an_outcome("a", *wrongs), an_outcome("b")]) == expected


def caught(final_at: float, *, accepted_at: float = 9.0, redone: float = 0.0) -> Caught:
    return Caught(accepted_at=accepted_at, final_at=final_at, redone=redone)


def test_recovery_is_over_when_the_last_of_what_was_caught_is_final() -> None:
    assert recovery(10.0, [caught(12.0), caught(11.5), caught(14.0)]) == (1.5, 4.0)


def test_what_came_later_counts_from_its_acceptance() -> None:
    assert recovery(10.0, [caught(12.0), caught(14.0, accepted_at=13.0)]) == (2.0, 2.0)


def test_what_has_to_run_anew_is_not_charged_with_its_own_work() -> None:
    assert recovery(10.0, [caught(19.0, redone=6.0)]) == (9.0, 3.0)


def test_a_fault_that_caught_nothing_has_no_times() -> None:
    assert recovery(10.0, []) == (None, None)
