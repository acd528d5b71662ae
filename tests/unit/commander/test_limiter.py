"""Replicas draw from buckets of their own, and hear of each other afterwards."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from mission_commander.domain.rates import Rate
from mission_commander.services import limiting
from mission_commander.services.limiting import Alone, Limit, Limiter, Tally, TallyAwayError
from mission_contracts.testing import FakeClock

HUNDRED = Rate(100, 10)


class SharedTally(Tally):
    """What several replicas tell, as Redis would count it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.is_away = False
        self.calls = 0

    async def add(self, drawn: Mapping[str, int], *, keep_seconds: int) -> Mapping[str, int]:
        assert keep_seconds >= 2
        self.calls += 1
        if self.is_away:
            raise TallyAwayError("cut off by the test")
        self.counts.update(drawn)
        return {name: self.counts[name] for name in drawn}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def tally() -> SharedTally:
    return SharedTally()


def a_limiter(clock: FakeClock, tally: Tally, **rates: Any) -> Limiter:
    told = dict.fromkeys(Limit) | {Limit(name): rate for name, rate in rates.items()}
    return Limiter(told, tally, clock, share_while_away=0.25)


def passed(limiter: Limiter, count: int, who: str = "anna", limit: Limit = Limit.SUBMIT) -> int:
    """How many single draws of so many go through."""
    return sum(limiter.draw(limit, who) is None for _ in range(count))


def test_one_subject_does_not_use_up_what_is_anothers(clock: FakeClock) -> None:
    limiter = a_limiter(clock, Alone(), submit=HUNDRED, read=HUNDRED)
    assert passed(limiter, 150) == 100
    assert passed(limiter, 150, "ben") == 100
    assert passed(limiter, 150, limit=Limit.READ) == 100, "nor one limit what is another's"


def test_a_refusal_tells_which_rate_and_how_long(clock: FakeClock) -> None:
    limiter = a_limiter(clock, Alone(), submit=HUNDRED)
    passed(limiter, 100)
    refused = limiter.draw(Limit.SUBMIT, "anna", 20)
    assert refused is not None
    assert (refused.rate, refused.after_seconds) == (HUNDRED, 2.0)
    clock.turn(2)
    assert limiter.draw(Limit.SUBMIT, "anna", 20) is None


def test_what_has_no_rate_is_not_limited(clock: FakeClock) -> None:
    limiter = a_limiter(clock, Alone())
    assert passed(limiter, 10_000) == 10_000
    assert not limiter._held


async def test_what_one_replica_grants_the_others_do_not(clock: FakeClock, tally: SharedTally) -> None:
    one, other = (a_limiter(clock, tally, submit=HUNDRED) for _ in range(2))
    for limiter in (one, other):
        passed(limiter, 10)
        await limiter.tell()
    await one.tell()  # the first words of one came before the other's
    passed(one, 60)
    await one.tell()
    passed(other, 1)
    await other.tell()
    assert passed(other, 100) == 100 - 10 - 60 - 1, "its own ten and one, and the other's sixty since"


async def test_who_asks_every_replica_at_once_gets_the_limit_and_what_replicas_draw_in_one_interval(
    clock: FakeClock, tally: SharedTally
) -> None:
    replicas = [a_limiter(clock, tally, submit=HUNDRED) for _ in range(4)]
    granted = 0
    for _ in range(200):  # for a hundred seconds
        granted += sum(passed(limiter, 20) for limiter in replicas)
        for limiter in replicas:
            await limiter.tell()
        clock.turn(limiting.TELL_SECONDS)
    fair = 100 + 10 * 100
    assert granted <= fair + 4 * 20 * 4, "the bucket, what comes in, and a few intervals of all replicas"
    assert granted >= fair * 0.7, "and who is limited by four is not starved by them"


async def test_a_count_that_began_anew_charges_nobody_for_what_is_long_paid_off(
    clock: FakeClock, tally: SharedTally
) -> None:
    limiter = a_limiter(clock, tally, submit=HUNDRED)
    passed(limiter, 90)
    await limiter.tell()
    clock.turn(60)
    tally.counts.clear()
    tally.counts["submit:anna"] = 5
    passed(limiter, 10)
    await limiter.tell()
    assert passed(limiter, 200) == 100 - 10 - 5


async def test_alone_it_is_tighter_until_the_others_are_heard_again(clock: FakeClock, tally: SharedTally) -> None:
    limiter = a_limiter(clock, tally, submit=HUNDRED)
    tally.is_away = True
    passed(limiter, 10)
    await limiter.tell()
    assert passed(limiter, 100) == 25
    tally.is_away = False
    clock.turn(10)
    assert passed(limiter, 100) == 25, "nobody told it yet"
    await limiter.tell()
    clock.turn(10)
    assert passed(limiter, 200) == 100


async def test_it_notices_that_the_others_are_back_though_nobody_draws(clock: FakeClock, tally: SharedTally) -> None:
    limiter = a_limiter(clock, tally, submit=HUNDRED)
    tally.is_away = True
    passed(limiter, 10)
    await limiter.tell()
    await limiter.tell()
    assert limiter._is_alone
    tally.is_away = False
    await limiter.tell()
    assert not limiter._is_alone


async def test_who_draws_little_is_not_told_of(clock: FakeClock, tally: SharedTally) -> None:
    limiter = a_limiter(clock, tally, submit=Rate(50_000, 10))
    limiter.draw(Limit.SUBMIT, "anna", 499)
    await limiter.tell()
    assert tally.calls == 0, "less than one in a hundred of what the bucket holds"
    limiter.draw(Limit.SUBMIT, "anna", 1)
    await limiter.tell()
    assert tally.counts == {"submit:anna": 500}, "but it adds up"


async def test_what_was_given_back_was_never_drawn(clock: FakeClock, tally: SharedTally) -> None:
    limiter = a_limiter(clock, tally, login_user=Rate(10, 60))
    for _ in range(100):
        assert limiter.draw(Limit.LOGIN_USER, "anna") is None
        limiter.give_back(Limit.LOGIN_USER, "anna")
    await limiter.tell()
    assert not tally.counts


async def test_memory_is_bounded(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiting, "MOST_BUCKETS", 2_000)
    limiter = a_limiter(clock, Alone(), login_user=Rate(10, 60))
    for number in range(5_000):
        limiter.draw(Limit.LOGIN_USER, f"made up {number}")
    assert len(limiter._held) == len(limiter._untold) == 2_000
    clock.turn(60)
    limiter._sweep()
    assert not limiter._held, "a full bucket is as good as none"
    assert not limiter._untold
