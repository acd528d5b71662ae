"""Which of two records stands, and that nobody who saw the other one sees it go back."""

from collections.abc import Callable

import msgspec
import pytest
from support.records import START, after, cancelled, claimed, completed, out, suspended, waiting

from mission_commander.domain.life import Moment
from mission_commander.domain.record import Mission
from mission_commander.domain.retention import Retention
from mission_commander.domain.standing import is_newer, knows_more, lifted, stands_against
from mission_contracts.envelope import Door
from mission_contracts.mission import NUMBERS_PER_ERA, Epoch, Era, Sequence
from mission_contracts.testing import ERA

WEEK = Retention(7 * 86_400)

Made = Callable[[], Mission]
"""Made by the test, not beside it: mutation testing sees only what a test itself does."""


def with_numbers(mission: Mission, *, epoch: int, sequence: int) -> Mission:
    return msgspec.structs.replace(mission, epoch=Epoch(epoch), sequence=Sequence(sequence))


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(
            lambda: with_numbers(completed(), epoch=1, sequence=1),
            lambda: with_numbers(claimed(), epoch=9, sequence=9),
            id="final wins",
        ),
        pytest.param(
            lambda: with_numbers(out(), epoch=2, sequence=1),
            lambda: with_numbers(claimed(), epoch=1, sequence=9),
            id="a later hand-out",
        ),
        pytest.param(
            lambda: with_numbers(suspended(), epoch=2, sequence=9),
            lambda: with_numbers(out(), epoch=2, sequence=8),
            id="of one hand-out, the later change",
        ),
        pytest.param(
            lambda: with_numbers(completed(), epoch=2, sequence=5),
            lambda: with_numbers(cancelled(), epoch=1, sequence=9),
            id="of two ends, that of the later hand-out",
        ),
        pytest.param(
            lambda: with_numbers(out(accepted_at=START + 2 + WEEK.seconds), epoch=1, sequence=1),
            lambda: with_numbers(completed(), epoch=9, sequence=9),
            id="a later life, whatever the numbers",
        ),
        pytest.param(
            lambda: with_numbers(cancelled(out(accepted_at=START + 9 * WEEK.seconds)), epoch=1, sequence=1),
            lambda: with_numbers(completed(), epoch=9, sequence=9),
            id="the end of a later life",
        ),
        pytest.param(
            lambda: with_numbers(completed(), epoch=1, sequence=1),
            lambda: with_numbers(out(accepted_at=START + 1 + WEEK.seconds), epoch=9, sequence=9),
            id="within its retention, the end",
        ),
    ],
)
def test_which_of_two_stands(better: Made, worse: Made) -> None:
    assert stands_against(better(), worse(), WEEK)
    assert not stands_against(worse(), better(), WEEK)


def test_memory_follows_the_later_life_and_within_it_the_later_change() -> None:
    first, second = completed(), with_numbers(out(accepted_at=START + 2 + WEEK.seconds), epoch=1, sequence=1)
    assert is_newer(second, first, WEEK)
    assert not is_newer(first, second, WEEK)
    assert is_newer(claimed(), out(), WEEK)
    assert not is_newer(out(), claimed(), WEEK)
    assert not is_newer(out(), out(), WEEK)


def test_no_live_record_of_its_life_follows_an_end_however_high_its_number() -> None:
    """A Commander that had not heard of the end restored it so after a loss."""
    ended, restored = completed(), with_numbers(claimed(), epoch=9, sequence=ERA * NUMBERS_PER_ERA + 99)
    assert not is_newer(restored, ended, WEEK)
    assert not is_newer(ended, restored, WEEK), "it is raised above the other one first"
    assert knows_more(ended, restored, WEEK)
    assert not knows_more(restored, ended, WEEK)


def test_an_object_has_one_life() -> None:
    """Its uid is never used again, so what looks like a later life is a copy with another time."""
    ended = msgspec.structs.replace(completed(claimed(out(door=Door.CLUSTER))), acknowledged=True)
    assert WEEK.is_over(ended, START + 2 + WEEK.seconds)
    assert not WEEK.is_earlier_life(ended, out(accepted_at=START + 9 * WEEK.seconds, door=Door.CLUSTER))


def test_an_end_that_its_object_does_not_show_yet_is_not_over() -> None:
    assert not WEEK.is_over(completed(claimed(out(door=Door.CLUSTER))), START + 9 * WEEK.seconds)


def test_of_equals_the_first_stands() -> None:
    assert stands_against(out(), out(), WEEK)


def test_the_record_that_stands_rises_above_the_other_one() -> None:
    winner = with_numbers(completed(), epoch=2, sequence=5)
    shown = lifted(winner, with_numbers(claimed(), epoch=1, sequence=8), Moment(START, Era(0)))
    assert shown == msgspec.structs.replace(winner, sequence=Sequence(9))


def test_of_the_same_sequence_only_one_is_lifted() -> None:
    winner, loser = with_numbers(completed(), epoch=2, sequence=8), with_numbers(claimed(), epoch=2, sequence=8)
    assert lifted(winner, loser, Moment(START, Era(0))).sequence == 9


def test_a_lifted_record_is_of_the_new_era() -> None:
    winner, loser = with_numbers(completed(), epoch=2, sequence=5), with_numbers(claimed(), epoch=1, sequence=8)
    assert lifted(winner, loser, after(3)).sequence == ERA * NUMBERS_PER_ERA + 1


@pytest.mark.parametrize(
    ("winner", "loser"), [(claimed, out), (waiting, waiting)], ids=["an earlier change", "the same record"]
)
def test_what_is_above_already_stays_as_it_is(winner: Made, loser: Made) -> None:
    record = winner()
    assert lifted(record, loser(), after(3)) is record
