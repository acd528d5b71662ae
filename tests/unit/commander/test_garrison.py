"""Who is there: pools and soldiers, as the ledger knows them and as this Commander hears them."""

import asyncio

import pytest
from support.commander_stage import HEARTBEAT_SECONDS, SOLDIER, Stage, a_beat, a_pool, a_soldier, running

from mission_commander.ports import LedgerAwayError, PoolRecord
from mission_contracts.mission import Instance

POOL = ("default", "default")


async def test_a_declared_pool_is_known_to_every_commander(stage: Stage) -> None:
    other = stage.another()
    assert await stage.garrison.declare(a_pool()) is True
    assert not other.garrison.knows(POOL)
    await other.garrison.refresh()
    assert other.garrison.pool(POOL) == a_pool()


async def test_a_pool_that_is_declared_again_is_not_new(stage: Stage) -> None:
    await stage.garrison.declare(a_pool())
    assert await stage.garrison.declare(a_pool(paused=True)) is False
    assert stage.store.data.pools[POOL].paused


async def test_a_removed_pool_is_unknown_to_every_commander(stage: Stage) -> None:
    other = stage.another()
    await stage.garrison.declare(a_pool())
    await other.garrison.refresh()
    assert await stage.garrison.remove(POOL) == a_pool()
    await other.garrison.refresh()
    assert not other.garrison.knows(POOL)
    assert not stage.garrison.knows(POOL)


async def test_a_wiped_ledger_makes_nobody_forget_the_pools(stage: Stage) -> None:
    await stage.garrison.declare(a_pool())
    await stage.garrison.register(a_soldier())
    stage.store.wipe()
    await stage.garrison.refresh()
    assert stage.garrison.knows(POOL)
    assert stage.garrison.soldier(SOLDIER) is not None


async def test_a_list_from_before_a_declaration_does_not_undo_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    read, let_go = asyncio.Event(), asyncio.Event()
    pools = stage.ledger.pools

    async def slowly() -> list[PoolRecord]:
        found = list(await pools())
        read.set()
        await let_go.wait()
        return found

    monkeypatch.setattr(stage.ledger, "pools", slowly)
    refresh = asyncio.create_task(stage.garrison.refresh())
    await read.wait()
    await stage.garrison.declare(a_pool())
    let_go.set()
    await refresh
    assert stage.garrison.knows(POOL)


async def test_without_ledger_a_pool_cannot_be_declared_and_what_is_known_stays(stage: Stage) -> None:
    await stage.garrison.declare(a_pool())
    stage.ledger.cut()
    with pytest.raises(LedgerAwayError):
        await stage.garrison.declare(a_pool("gpu"))
    with pytest.raises(LedgerAwayError):
        await stage.garrison.refresh()
    assert stage.garrison.knows(POOL)
    assert not stage.garrison.knows(("default", "gpu"))


async def test_who_never_registered_has_no_heartbeat(stage: Stage) -> None:
    assert await stage.garrison.beat(SOLDIER, a_beat(1)) is False


async def test_a_beat_of_a_soldier_that_registered_elsewhere_is_heard(stage: Stage) -> None:
    other = stage.another()
    await other.garrison.register(a_soldier())
    assert await stage.garrison.beat(SOLDIER, a_beat(1)) is True
    seen = stage.garrison.soldier(SOLDIER)
    assert seen is not None
    assert seen.beat == a_beat(1)


async def test_a_beat_that_was_overtaken_does_not_count(stage: Stage) -> None:
    await stage.garrison.register(a_soldier())
    await stage.garrison.beat(SOLDIER, a_beat(5))
    moved_at = stage.clock.monotonic()
    stage.clock.turn(1)
    await stage.garrison.beat(SOLDIER, a_beat(4))
    seen = stage.garrison.soldier(SOLDIER)
    assert seen is not None
    assert (seen.moved_at, seen.beat) == (moved_at, a_beat(5))


async def test_a_soldier_that_registers_again_keeps_its_beat_and_brings_its_news(stage: Stage) -> None:
    await stage.garrison.register(a_soldier())
    await stage.garrison.beat(SOLDIER, a_beat(5))
    await stage.garrison.register(a_soldier(SOLDIER, "noop", "resize"))
    seen = stage.garrison.soldier(SOLDIER)
    assert seen is not None
    assert seen.beat == a_beat(5)
    assert stage.garrison.types_of(POOL) == ["noop", "resize"]


async def test_only_hearts_that_beat_count_as_a_pools_soldiers(stage: Stage) -> None:
    await stage.garrison.register(a_soldier("one"))
    stage.clock.turn(3 * HEARTBEAT_SECONDS)
    await stage.garrison.register(a_soldier("two"))
    await stage.garrison.register(a_soldier("elsewhere", pool="gpu"))
    assert [seen.registration.instance for seen in stage.garrison.soldiers_of(POOL)] == ["two"]


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        pytest.param([], True, id="nobody is there: somebody may come"),
        pytest.param(["resize"], True, id="one handles it"),
        pytest.param(["noop", "resize"], True, id="one of two handles it"),
        pytest.param(["noop"], False, id="those who are there do not"),
    ],
)
async def test_whether_a_type_is_handled(stage: Stage, types: list[str], expected: bool) -> None:
    for number, name in enumerate(types):
        await stage.garrison.register(a_soldier(f"soldier-{number}", name))
    assert stage.garrison.handles(POOL, "resize") is expected


async def test_who_was_dismissed_by_another_commander_is_forgotten_here(stage: Stage) -> None:
    other = stage.another()
    await stage.garrison.register(a_soldier())
    await other.garrison.dismiss(SOLDIER)
    await stage.garrison.refresh()
    assert stage.garrison.soldier(SOLDIER) is None


async def test_starting_anew_gives_everybody_a_whole_lease(stage: Stage) -> None:
    await stage.garrison.register(a_soldier())
    stage.clock.turn(100)
    assert not stage.garrison.soldiers_of(POOL)
    stage.garrison.start_anew()
    assert stage.garrison.soldiers_of(POOL)


async def test_an_odd_name_is_a_name(stage: Stage) -> None:
    odd = "ünïcode with spaces/and:more"
    await stage.garrison.register(a_soldier(odd))
    assert await stage.garrison.beat(Instance(odd), a_beat(1))


async def test_a_soldier_says_what_is_in_hand_for_its_own_pool_only(stage: Stage) -> None:
    """Else a soldier of one pool could keep lost orders of another from being handed out again."""
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1")
    await stage.garrison.register(a_soldier(pool="other"))
    await stage.garrison.beat(SOLDIER, a_beat(1, unclaimed=[mission]))
    in_hand = stage.garrison.in_hand()
    assert in_hand.get(("default", "other")) == {(mission.id, mission.epoch)}
    assert ("default", "default") not in in_hand
