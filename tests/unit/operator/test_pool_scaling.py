"""The autoscaler's decision: a table of cases, and what holds whatever the numbers are."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pool_builders import a_pool

from mission_operator.pools.scaling import (
    LONGEST_GAP_SECONDS,
    SHORTEST_CALM_SECONDS,
    Bounds,
    Calm,
    Demand,
    Peak,
    Scaling,
    decide,
)
from mission_operator.pools.sizing import most, size

NOTHING = Demand()
LOOK_SECONDS = 2.0


def bounds(least: int = 0, most: int = 10, per_soldier: int = 4, idle_seconds: float = 60) -> Bounds:
    return Bounds(least=least, most=most, per_soldier=per_soldier, idle_seconds=idle_seconds)


def calm_for(needed: int, seconds: float, now: float = 1000.0) -> Calm:
    """So many were needed for so long, and seen a moment ago."""
    return Calm((Peak(now - seconds, needed + 1), Peak(now - LOOK_SECONDS, needed)))


@pytest.mark.parametrize(
    ("limits", "current", "demand", "calm", "desired"),
    [
        pytest.param(bounds(), 0, Demand(ready=1), None, 1, id="from zero on the first mission"),
        pytest.param(bounds(), 0, Demand(ready=9), None, 3, id="as many at once as it is worth"),
        pytest.param(bounds(), 2, Demand(ready=9, in_flight=8), None, 5, id="what runs counts like what waits"),
        pytest.param(bounds(most=4), 2, Demand(ready=900), None, 4, id="never more than maxReplicas"),
        pytest.param(bounds(least=2), 0, NOTHING, None, 2, id="never fewer than minReplicas"),
        pytest.param(bounds(), 3, NOTHING, None, 3, id="after a start nobody knows how long it has been calm"),
        pytest.param(bounds(), 3, NOTHING, calm_for(0, 59), 1, id="not before fewer were enough for long enough"),
        pytest.param(bounds(), 3, NOTHING, calm_for(0, 60), 0, id="to zero after idleSeconds"),
        pytest.param(bounds(least=1), 3, NOTHING, calm_for(0, 60), 1, id="not to zero against minReplicas"),
        pytest.param(bounds(), 3, Demand(in_flight=1), calm_for(0, 60), 1, id="not to zero while one runs"),
        pytest.param(bounds(), 1, Demand(due_soon=1), calm_for(0, 60), 1, id="not to zero while one is due soon"),
        pytest.param(bounds(), 0, Demand(due_soon=50), None, 1, id="one soldier is up when a time comes"),
        pytest.param(bounds(), 0, Demand(in_broker=50), None, 1, id="orders that the ledger has lost want a soldier"),
        pytest.param(bounds(), 1, Demand(in_broker=1), calm_for(0, 60), 1, id="not to zero while the broker has one"),
        pytest.param(bounds(), 3, Demand(in_broker=None), calm_for(0, 90), 3, id="not in when the broker is not asked"),
        pytest.param(bounds(), 3, Demand(ready=30, in_broker=None), None, 8, id="out although the broker is not asked"),
        pytest.param(bounds(), 3, None, calm_for(0, 90), 3, id="nothing changes without numbers"),
        pytest.param(bounds(least=5), 3, None, None, 5, id="minReplicas needs no numbers"),
        pytest.param(bounds(most=2), 3, None, None, 3, id="a lowered maxReplicas waits for numbers"),
        pytest.param(bounds(most=2), 3, Demand(ready=90), None, 2, id="a lowered maxReplicas holds at once"),
        pytest.param(bounds(idle_seconds=0), 3, NOTHING, calm_for(0, 4), 1, id="a gap between missions is no calm"),
        pytest.param(bounds(idle_seconds=0), 3, NOTHING, calm_for(0, 5), 0, id="idleSeconds 0 is as soon as possible"),
    ],
)
def test_decision(limits: Bounds, current: int, demand: Demand | None, calm: Calm | None, desired: int) -> None:
    assert decide(limits, current, demand, calm, 1000.0).desired == desired


def test_after_a_gap_in_the_numbers_the_calm_begins_anew() -> None:
    calm = decide(bounds(), 3, NOTHING, None, 0.0).calm
    later = 59.0
    assert later > LONGEST_GAP_SECONDS
    scaled = decide(bounds(), 3, NOTHING, calm, later)
    assert scaled.desired == 3
    assert decide(bounds(), 3, NOTHING, scaled.calm, later + 2).desired == 3


@pytest.mark.parametrize(
    ("spec", "current", "expected", "at_most"),
    [
        pytest.param({"replicas": 7}, 2, 7, 7, id="pinned"),
        pytest.param({"replicas": 0}, 2, 0, 0, id="pinned to none"),
        pytest.param({"paused": True}, 2, 2, 10, id="paused: they stay"),
        pytest.param({"autoscaler": "None", "minReplicas": 3}, 2, 2, 2, id="nobody decides: left as it is"),
        pytest.param(
            {"autoscaler": "None", "minReplicas": 3}, None, 3, 3, id="nobody decides: a new pool has its least"
        ),
        pytest.param({"autoscaler": "KEDA"}, 2, 2, 2, id="not served yet: left as it is"),
        pytest.param({}, 2, 5, 10, id="automatic"),
        pytest.param({"missionsPerSoldier": 8}, 2, 10, 10, id="automatic, with a target of its own"),
        pytest.param({}, None, 5, 10, id="automatic, and new"),
    ],
)
def test_who_decides(spec: dict[str, Any], current: int | None, expected: int, at_most: int) -> None:
    pool = a_pool(**spec)
    chosen = size(pool, current, Demand(ready=80), None, 0.0)
    assert (chosen.desired, most(pool, chosen)) == (expected, at_most)


# What holds whatever comes.

limits = st.builds(
    lambda least, more, per, idle: bounds(least, max(1, least + more), per, idle),
    st.integers(0, 20), st.integers(0, 20), st.integers(1, 8), st.sampled_from([0, 3, 10, 60]),
)  # fmt: skip
counts = st.integers(0, 60)
demands = st.builds(
    Demand, ready=counts, in_flight=counts, due_soon=st.integers(0, 3), in_broker=st.one_of(st.none(), counts)
)
numbers = st.lists(st.one_of(st.none(), demands, st.just(NOTHING)), min_size=1, max_size=80)
gaps = st.sampled_from([0.5, 1.0, LOOK_SECONDS, 12.0])


def follow(limits: Bounds, current: int, seen: list[Demand | None], gap: float = LOOK_SECONDS) -> list[Scaling]:
    """Decide again and again; the soldiers there are follow at once."""
    decisions: list[Scaling] = []
    calm: Calm | None = None
    for number, demand in enumerate(seen):
        scaled = decide(limits, current, demand, calm, number * gap)
        decisions.append(scaled)
        current, calm = scaled.desired, scaled.calm
    return decisions


@given(limits, st.integers(0, 40), numbers, gaps)
def test_with_numbers_it_is_never_outside_the_bounds(
    limits: Bounds, current: int, seen: list[Demand | None], gap: float
) -> None:
    for demand, scaled in zip(seen, follow(limits, current, seen, gap), strict=True):
        if demand is not None and demand.is_sure:
            assert limits.least <= scaled.desired <= limits.most


@given(limits, st.integers(0, 40), numbers, gaps)
def test_it_is_never_in_without_sure_numbers(
    limits: Bounds, current: int, seen: list[Demand | None], gap: float
) -> None:
    before = current
    for demand, scaled in zip(seen, follow(limits, current, seen, gap), strict=True):
        if demand is None or not demand.is_sure:
            assert scaled.desired >= before
        before = scaled.desired


@given(limits, st.integers(0, 40), numbers, gaps)
def test_there_are_never_fewer_than_the_missions_are_worth(
    limits: Bounds, current: int, seen: list[Demand | None], gap: float
) -> None:
    for demand, scaled in zip(seen, follow(limits, current, seen, gap), strict=True):
        if demand is not None:
            assert scaled.desired >= min(demand.soldiers(limits.per_soldier), limits.most)


@given(limits, st.integers(0, 40), demands)
def test_constant_load_never_flaps(limits: Bounds, current: int, demand: Demand) -> None:
    sizes = [scaled.desired for scaled in follow(limits, current, [demand] * 60)]
    assert sizes == sorted(sizes, reverse=True), "once up at most, and then only down"
    assert len(set(sizes)) <= 2


@given(limits, st.integers(0, 40), numbers, gaps)
def test_fewer_only_after_fewer_were_enough_for_the_whole_while(
    limits: Bounds, current: int, seen: list[Demand | None], gap: float
) -> None:
    window = max(limits.idle_seconds, SHORTEST_CALM_SECONDS)
    before = min(max(current, limits.least), limits.most)
    for number, scaled in enumerate(follow(limits, current, seen, gap)):
        if scaled.desired < before:
            lately = [demand for index, demand in enumerate(seen[: number + 1]) if (number - index) * gap < window]
            assert len(lately) * gap >= window, "it was watched for that long"
            worth = [demand.soldiers(limits.per_soldier) for demand in lately if demand is not None]
            assert min(max(worth), limits.most) <= scaled.desired
        before = min(max(scaled.desired, limits.least), limits.most)
