"""A bucket: all at once, then as fast as it fills; too much in one draw is paid off; others' draws leave a debt."""

import pytest

from mission_commander.domain.rates import PASSED, Bucket, Rate

TEN = Rate(10, 5)  # two a second


def a_bucket(*, drawn: int = 0) -> Bucket:
    bucket = Bucket(TEN, 0)
    if drawn:
        assert bucket.draw(drawn, TEN, 0) == PASSED
    return bucket


def test_all_may_come_at_once_and_then_as_many_as_come_in() -> None:
    bucket = a_bucket()
    assert [bucket.draw(1, TEN, 0) for _ in range(11)] == [PASSED] * 10 + [0.5]
    assert bucket.draw(1, TEN, 0.4) == pytest.approx(0.1)
    assert bucket.draw(1, TEN, 0.5) == PASSED
    assert bucket.draw(1, TEN, 0.5) == 0.5


def test_what_is_refused_draws_nothing() -> None:
    bucket = a_bucket(drawn=8)
    assert [bucket.draw(3, TEN, 0) for _ in range(5)] == [0.5] * 5
    assert bucket.draw(2, TEN, 0) == PASSED


def test_it_holds_no_more_however_long_nobody_draws() -> None:
    bucket = a_bucket(drawn=10)
    assert bucket.fill(TEN, 1_000) == 10


def test_more_than_it_can_hold_passes_once_it_is_full_and_is_paid_off() -> None:
    bucket = a_bucket(drawn=1)
    assert bucket.draw(25, TEN, 0) == 0.5, "it is not full"
    assert bucket.draw(25, TEN, 0.5) == PASSED
    assert bucket.draw(1, TEN, 0.5) == 8.0, "fifteen are owed"


def test_to_ask_whether_anything_is_left_draws_nothing() -> None:
    bucket = a_bucket(drawn=9)
    assert bucket.draw(0, TEN, 0) == PASSED
    assert bucket.draw(1, TEN, 0) == PASSED
    assert bucket.draw(0, TEN, 0) == 0.5


def test_others_leave_a_debt_that_is_bounded() -> None:
    bucket = a_bucket()
    bucket.take_for_others(1_000_000, TEN)
    assert bucket.fill(TEN, 0) == -10
    assert bucket.draw(1, TEN, 0) == 5.5


def test_what_is_given_back_can_be_drawn_again() -> None:
    bucket = a_bucket(drawn=10)
    bucket.give_back(3)
    assert bucket.draw(3, TEN, 0) == PASSED
    bucket.give_back(100)
    assert bucket.fill(TEN, 0) == 10, "and it holds no more for it"


def test_a_tighter_rate_takes_effect_at_the_next_draw() -> None:
    bucket = a_bucket()
    assert bucket.fill(TEN.times(0.5), 0) == 5
    assert TEN.times(0.01).amount == 1, "never less than one: else nothing would ever pass"
