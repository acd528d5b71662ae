"""Patience begins small, grows while nobody answers, and is small again after an answer."""

from mission_contracts.patience import Patience


def a_patience() -> Patience:
    return Patience(first_seconds=1, most_seconds=5)


def test_it_grows_while_it_runs_out_up_to_its_bound() -> None:
    patience, found = a_patience(), []
    for _ in range(4):
        found.append(patience.seconds)
        patience.ran_out(patience.seconds)
    assert found == [1, 2, 4, 5]


def test_requests_that_run_out_together_count_once() -> None:
    patience = a_patience()
    for _ in range(3):
        patience.ran_out(1)
    assert patience.seconds == 2


def test_an_answer_brings_it_back() -> None:
    patience = a_patience()
    patience.ran_out(1)
    patience.answered()
    assert patience.seconds == 1
