"""Which orders have vanished: what two looks at a queue prove, and what they do not."""

from itertools import pairwise

import pytest

from mission_commander.domain.vanishing import (
    LONGEST_PAUSE_SECONDS,
    OVERTAKEN_SECONDS,
    Hand,
    Sight,
    pause_seconds,
    seen,
    vanished,
    without,
)
from mission_contracts.mission import Epoch, MissionId

ONE: Hand = (MissionId("one"), Epoch(1))
TWO: Hand = (MissionId("two"), Epoch(1))
ONE_AGAIN: Hand = (MissionId("one"), Epoch(2))
NEVER = 0.0


def empty(**since: float) -> Sight:
    return Sight(True, {(MissionId(name), Epoch(1)): at for name, at in since.items()})


def filled(**since: float) -> Sight:
    return Sight(False, {(MissionId(name), Epoch(1)): at for name, at in since.items()})


@pytest.mark.parametrize(
    ("before", "now", "newest_claimed", "expected"),
    [
        pytest.param(None, empty(one=0), NEVER, [], id="one look proves nothing"),
        pytest.param(empty(one=0), empty(one=0), NEVER, [ONE], id="twice nowhere, twice nothing ready: it vanished"),
        pytest.param(empty(), empty(one=5), NEVER, [], id="at the first look somebody had it, or it was not confirmed"),
        pytest.param(empty(one=0), empty(), NEVER, [], id="by the second look somebody has it"),
        pytest.param(empty(one=0), filled(one=0), NEVER, [], id="the second time something is ready: it may be that"),
        pytest.param(filled(one=0), empty(one=0), NEVER, [], id="the first time something was ready: it was that"),
        pytest.param(filled(one=0), filled(one=0), OVERTAKEN_SECONDS, [ONE], id="a much later one was claimed"),
        pytest.param(filled(one=1), filled(one=1), OVERTAKEN_SECONDS, [], id="a little later one was claimed"),
        pytest.param(filled(), filled(one=0), OVERTAKEN_SECONDS, [], id="overtaken, but seen nowhere only once"),
        pytest.param(empty(one=0, two=0), empty(one=0, two=0), NEVER, [ONE, TWO], id="all that were in it vanish"),
        pytest.param(Sight(True, {ONE: 0}), Sight(True, {ONE_AGAIN: 0}), NEVER, [], id="a new hand-out begins anew"),
    ],
)
def test_vanished(before: Sight | None, now: Sight, newest_claimed: float, expected: list[Hand]) -> None:
    assert vanished(before, now, newest_claimed) == expected


def test_a_sight_keeps_since_when_each_is_nowhere() -> None:
    first = seen(None, is_empty=True, nowhere=[ONE], now=10)
    second = seen(first, is_empty=False, nowhere=[ONE, TWO], now=20)
    assert second == Sight(False, {ONE: 10, TWO: 20})
    assert seen(second, is_empty=True, nowhere=[], now=30) == empty()


def test_what_is_published_again_begins_anew() -> None:
    assert without(empty(one=1, two=2), {ONE}) == empty(two=2)


def test_what_vanishes_each_time_is_published_ever_more_seldom() -> None:
    pauses = [pause_seconds(times) for times in range(20)]
    assert all(earlier <= later <= LONGEST_PAUSE_SECONDS for earlier, later in pairwise(pauses))
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    assert pause_seconds(10**9) == LONGEST_PAUSE_SECONDS
