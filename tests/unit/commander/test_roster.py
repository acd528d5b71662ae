"""How many instances may be registered, and how much they may bring along: each bound is filled and then exceeded."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from support.commander_stage import Stage, a_soldier

from mission_commander.domain import roster as module
from mission_commander.domain.roster import Roster, Seen, size_of
from mission_commander.ports import LedgerAwayError
from mission_contracts import bounds
from mission_contracts.mission import Epoch, Instance, MissionId
from mission_contracts.soldiering import Beat, Registration, TypeInfo

SMALL = 4
"""Stands for each bound in number: what is tried is that it holds, not how large it is."""


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OF_AN_OWNER", SMALL)
    monkeypatch.setattr(module, "MAX_OF_A_POOL", 2 * SMALL)
    monkeypatch.setattr(module, "MAX_INSTANCES", 3 * SMALL)


def of_one_pod() -> Iterator[Registration]:
    return (a_soldier(f"pod-{number:08x}", pod="pod") for number in count())


def of_one_pool() -> Iterator[Registration]:
    return (a_soldier(f"soldier-{number}") for number in count())


def of_all_pools() -> Iterator[Registration]:
    return (a_soldier(f"soldier-{number}", pool=f"pool-{number}") for number in count())


def seen(registration: Registration, beat: Beat | None = None) -> Seen:
    return Seen(registration=registration, beat=beat, moved_at=0, size_bytes=size_of(registration))


@pytest.mark.parametrize(
    ("instances", "most", "why"),
    [
        pytest.param(of_one_pod, SMALL, "this pod or login has 4", id="of a pod"),
        pytest.param(of_one_pool, 2 * SMALL, "pool default has 8", id="of a pool"),
        pytest.param(of_all_pools, 3 * SMALL, "12 instances are registered already, in all pools", id="in all"),
    ],
)
def test_instances_are_bounded_in_number(instances: Callable[[], Iterator[Registration]], most: int, why: str) -> None:
    roster, more = Roster(), instances()
    for _ in range(most):
        registration = next(more)
        assert roster.objection(registration) is None
        roster.put(seen(registration))
    refused = roster.objection(next(more))
    assert refused is not None
    assert (refused.status, refused.code) == (429, "TooManySoldiers")
    assert why in refused.detail
    assert roster.objection(registration) is None, "one that is there already may register again"
    roster.remove(registration.instance)
    assert roster.objection(next(more)) is None, "one that is gone makes room"


def test_registrations_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    one = a_soldier("soldier-1", *(f"type-{number}" for number in range(100)))
    monkeypatch.setattr(module, "MAX_POOL_BYTES", 2 * size_of(one))
    roster = Roster()
    for number in (1, 2):
        roster.put(seen(a_soldier(f"soldier-{number}", *(info.name for info in one.types))))
    refused = roster.objection(a_soldier("soldier-3"))
    assert refused is not None
    assert "may have" in refused.detail
    assert roster.objection(a_soldier("soldier-3", pool="other")) is None, "another pool's are counted apart"


def schema(size: int) -> dict[str, str]:
    return {"description": "x" * size}


@pytest.mark.parametrize(
    "types",
    [
        pytest.param((TypeInfo(name="t", schema=schema(bounds.MAX_SCHEMA_BYTES)),), id="one large schema"),
        pytest.param(tuple(TypeInfo(name=f"t-{n}", schema=schema(60_000)) for n in range(5)), id="many schemas"),
        pytest.param(tuple(TypeInfo(name=f"{n}" * 100) for n in range(1_000, 2_000)), id="many long names"),
    ],
)
def test_a_registration_is_bounded_in_bytes(types: tuple[TypeInfo, ...]) -> None:
    asked = Registration(instance=Instance("i"), namespace="default", pool="default", types=types, concurrency=1)
    refused = Roster().objection(asked)
    assert refused is not None
    assert (refused.status, refused.code) == (413, bounds.REGISTRATION_TOO_LARGE)


def test_what_heartbeats_list_is_bounded_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HELD", 20)
    roster = Roster()
    for number in range(3):
        roster.put(seen(a_soldier(f"soldier-{number}"), a_beat_of(4)))
    assert not roster.may_hold(Instance("soldier-0"), 5), "half of all is one pool's"
    assert roster.may_hold(Instance("soldier-0"), 3), "less than before is always taken"
    roster.remove(Instance("soldier-1"))
    assert roster.may_hold(Instance("soldier-0"), 6)


def a_beat_of(held: int) -> Beat:
    missions = tuple((MissionId(f"m-{number}"), Epoch(1)) for number in range(held))
    return Beat(beat=1, after=0, held=missions, unclaimed=(), slots=1, taking=True)


async def test_what_is_refused_is_in_no_memory_and_no_ledger(stage: Stage) -> None:
    pod = of_one_pod()
    answers = [await stage.garrison.register(next(pod)) for _ in range(SMALL + 3)]
    assert [answer is None for answer in answers] == [True] * SMALL + [False] * 3
    assert len(stage.garrison.soldiers()) == len(stage.store.data.registrations) == SMALL


async def test_a_registration_that_the_ledger_did_not_take_frees_its_place(stage: Stage) -> None:
    stage.ledger.cut()
    for _ in range(SMALL + 1):
        with pytest.raises(LedgerAwayError):
            await stage.garrison.register(a_soldier("pod-00000001", pod="pod"))
    assert not stage.garrison.soldiers()
