"""What a seed decides: the same every time, all missions shared out, and every fault in its turn."""

from collections import Counter

import pytest
from chaos.faults import FAULTS
from chaos.history import Door, Kind
from chaos.schedule import FEWEST, plan, plans

KINDS = list(FAULTS.values())


def test_the_same_seed_gives_the_same_run() -> None:
    assert plans(KINDS, missions=5_000, repeat=2, seed=7) == plans(KINDS, missions=5_000, repeat=2, seed=7)


def test_another_seed_gives_another_run() -> None:
    one, other = (plans(KINDS, missions=5_000, repeat=1, seed=seed) for seed in (7, 8))
    assert [each.fault for each in one] != [each.fault for each in other]
    assert {each.fault: each for each in one} != {each.fault: each for each in other}


def test_each_fault_has_its_turn_in_each_repetition() -> None:
    found = plans(KINDS, missions=5_000, repeat=3, seed=1)
    assert Counter(each.fault for each in found) == dict.fromkeys(FAULTS, 3)
    assert {each.fault for each in found[: len(FAULTS)]} == set(FAULTS)


@pytest.mark.parametrize("missions", [5_000, 20_000])
def test_all_missions_are_shared_out(missions: int) -> None:
    found = plans(KINDS, missions=missions, repeat=1, seed=1)
    assert sum(len(each.missions) for each in found) == missions


def test_no_round_has_too_few_to_prove_anything() -> None:
    [only] = plans(KINDS[:1], missions=1, repeat=1, seed=1)
    assert len(only.missions) == FEWEST


def test_keys_never_repeat_in_a_run() -> None:
    keys = [one.key for each in plans(KINDS, missions=5_000, repeat=2, seed=1) for one in each.missions]
    assert len(keys) == len(set(keys))


def test_the_waves_that_measure_are_alike_and_without_surprises() -> None:
    found = plan(KINDS[0], 1, 200, 1)
    assert len(found.before) == len(found.after) == 50
    assert {one.kind for one in (*found.before, *found.after)} == {Kind.WORK}


def test_missions_come_in_by_both_doors_and_some_fail_give_up_or_are_cancelled() -> None:
    caught = plan(KINDS[0], 1, 2_000, 1).caught
    assert {one.door for one in caught} == set(Door)
    assert {one.kind for one in caught} == {Kind.WORK, Kind.FLAKY, Kind.HOPELESS}
    assert any(one.cancels for one in caught)


def test_only_the_fault_that_brings_poison_has_some() -> None:
    poisoned = {each.fault for each in plans(KINDS, missions=5_000, repeat=1, seed=1) if _is_poisoned(each.missions)}
    assert poisoned == {"poison-mission"}


def _is_poisoned(missions: object) -> bool:
    return any(one.kind is Kind.POISON for one in missions)  # type: ignore[attr-defined]


def test_the_fault_strikes_while_missions_run() -> None:
    for each in plans(KINDS, missions=5_000, repeat=1, seed=1):
        assert 1 <= each.begun < len(each.running), each.fault
