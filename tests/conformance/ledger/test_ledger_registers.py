"""What the ledger keeps beside missions: its era, pools, soldiers and their beats."""

import asyncio

from support.ledger_probe import ERA, Stage

from mission_commander.ports import Ledger, PoolRecord
from mission_contracts.mission import Epoch, Era, Instance, MissionId
from mission_contracts.soldiering import Beat, Registration, TypeInfo

# Era.


async def test_a_new_ledger_is_in_no_era(fresh: Ledger) -> None:
    assert await fresh.era() is None


async def test_an_era_begins_once_and_stays_in_force(fresh: Ledger) -> None:
    assert await fresh.begin_era(ERA) == ERA
    assert await fresh.begin_era(Era(ERA + 1)) == ERA
    assert await fresh.era() == ERA


async def test_of_two_commanders_that_begin_an_era_both_get_the_same(fresh: Ledger, stage: Stage) -> None:
    rival = await stage.another()
    ours, theirs = await asyncio.gather(fresh.begin_era(ERA), rival.begin_era(Era(ERA + 1)))
    assert ours == theirs == await fresh.era()


async def test_an_era_is_replaced_by_whoever_knows_it(ledger: Ledger) -> None:
    assert await ledger.begin_era(Era(ERA + 5), replaces=ERA) == ERA + 5
    assert await ledger.era() == ERA + 5


async def test_an_era_that_was_replaced_already_is_not_replaced_again(ledger: Ledger) -> None:
    await ledger.begin_era(Era(ERA + 5), replaces=ERA)
    assert await ledger.begin_era(Era(ERA + 9), replaces=ERA) == ERA + 5
    assert await ledger.era() == ERA + 5


async def test_of_two_commanders_that_replace_an_era_both_get_the_same(ledger: Ledger, stage: Stage) -> None:
    rival = await stage.another()
    ours, theirs = await asyncio.gather(
        ledger.begin_era(Era(ERA + 1), replaces=ERA), rival.begin_era(Era(ERA + 2), replaces=ERA)
    )
    assert ours == theirs == await ledger.era()


async def test_an_era_that_is_not_there_is_not_replaced(fresh: Ledger) -> None:
    assert await fresh.begin_era(Era(ERA + 1), replaces=ERA) == 0
    assert await fresh.era() is None


async def test_one_soldier_is_found_by_its_name_with_its_newest_beat(ledger: Ledger) -> None:
    assert await ledger.soldier(Instance("soldier-1")) is None
    registered = Registration(
        instance=Instance("soldier-1"),
        namespace="default",
        pool="default",
        types=(TypeInfo(name="noop"),),
        concurrency=4,
        owner="5e55",
    )
    await ledger.save_soldier(registered)
    assert await ledger.soldier(Instance("soldier-1")) == (registered, None)
    beat = Beat(beat=1, after=0, held=(), unclaimed=(), slots=4, taking=True)
    await ledger.save_beat(Instance("soldier-1"), beat)
    assert await ledger.soldier(Instance("soldier-1")) == (registered, beat)


async def test_what_takes_changes_can_be_touched_and_shows_nothing_of_it(ledger: Ledger) -> None:
    await ledger.touch()
    assert await ledger.last_event() == "0-0"
    assert await ledger.pools() == []


async def test_a_wiped_ledger_is_in_no_era_and_can_begin_another(ledger: Ledger, stage: Stage) -> None:
    await stage.wipe()
    assert await ledger.era() is None
    assert await ledger.begin_era(Era(ERA + 1)) == ERA + 1


# Pools.


async def test_pools_are_kept_by_namespace_and_name(ledger: Ledger) -> None:
    mine = PoolRecord(namespace="default", name="gpu", replicas=0, max_replicas=5, retire=("s-1",))
    other = PoolRecord(namespace="other", name="gpu", paused=True)
    await ledger.save_pool(other)
    await ledger.save_pool(mine)
    assert await ledger.pools() == [mine, other]


async def test_a_pool_declared_again_replaces_the_first(ledger: Ledger) -> None:
    await ledger.save_pool(PoolRecord(namespace="default", name="gpu"))
    paused = PoolRecord(namespace="default", name="gpu", paused=True)
    await ledger.save_pool(paused)
    assert await ledger.pools() == [paused]


async def test_a_deleted_pool_is_gone_and_may_be_deleted_again(ledger: Ledger) -> None:
    stays = PoolRecord(namespace="default", name="cpu")
    await ledger.save_pool(PoolRecord(namespace="default", name="gpu"))
    await ledger.save_pool(stays)
    await ledger.delete_pool("default", "gpu")
    await ledger.delete_pool("default", "gpu")
    assert await ledger.pools() == [stays]


# Soldiers.

SOLDIER = Instance("soldier-1")


def a_registration(instance: Instance = SOLDIER, *, concurrency: int = 16) -> Registration:
    schema = {"type": "object", "properties": {"width": {"type": "integer"}}}
    return Registration(
        instance=instance,
        namespace="default",
        pool="gpu",
        types=(TypeInfo(name="resize", schema=schema), TypeInfo(name="noop")),
        concurrency=concurrency,
    )


def a_beat(number: int = 1) -> Beat:
    return Beat(
        beat=number,
        after=1.5,
        held=((MissionId("m-1"), Epoch(3)),),
        unclaimed=((MissionId("m-2"), Epoch(4)),),
        slots=16,
        taking=True,
    )


async def test_a_registered_soldier_has_no_beat_yet(ledger: Ledger) -> None:
    await ledger.save_soldier(a_registration())
    assert await ledger.soldiers() == {SOLDIER: (a_registration(), None)}


async def test_the_newest_beat_is_kept(ledger: Ledger) -> None:
    await ledger.save_soldier(a_registration())
    assert await ledger.save_beat(SOLDIER, a_beat(1))
    assert await ledger.save_beat(SOLDIER, a_beat(2))
    assert await ledger.soldiers() == {SOLDIER: (a_registration(), a_beat(2))}


async def test_a_beat_that_comes_late_does_not_replace_a_newer_one(ledger: Ledger) -> None:
    await ledger.save_soldier(a_registration())
    await ledger.save_beat(SOLDIER, a_beat(10))
    assert await ledger.save_beat(SOLDIER, a_beat(9))
    assert await ledger.soldiers() == {SOLDIER: (a_registration(), a_beat(10))}


async def test_a_beat_of_an_unknown_soldier_is_refused_and_leaves_nothing(ledger: Ledger) -> None:
    assert not await ledger.save_beat(SOLDIER, a_beat())
    await ledger.save_soldier(a_registration())
    assert await ledger.soldiers() == {SOLDIER: (a_registration(), None)}


async def test_a_soldier_that_registers_again_keeps_its_beat(ledger: Ledger) -> None:
    await ledger.save_soldier(a_registration())
    await ledger.save_beat(SOLDIER, a_beat())
    await ledger.save_soldier(a_registration(concurrency=1))
    assert await ledger.soldiers() == {SOLDIER: (a_registration(concurrency=1), a_beat())}


async def test_a_removed_soldier_is_gone_with_its_beat(ledger: Ledger) -> None:
    stays = a_registration(Instance("soldier-2"))
    await ledger.save_soldier(stays)
    await ledger.save_soldier(a_registration())
    await ledger.save_beat(SOLDIER, a_beat())
    await ledger.remove_soldier(SOLDIER)
    await ledger.remove_soldier(SOLDIER)
    assert await ledger.soldiers() == {stays.instance: (stays, None)}
    await ledger.save_soldier(a_registration())
    assert (await ledger.soldiers())[SOLDIER] == (a_registration(), None)


async def test_a_wiped_ledger_knows_no_pool_and_no_soldier(ledger: Ledger, stage: Stage) -> None:
    await ledger.save_pool(PoolRecord(namespace="default", name="gpu"))
    await ledger.save_soldier(a_registration())
    await stage.wipe()
    assert await ledger.pools() == []
    assert await ledger.soldiers() == {}
    assert not await ledger.save_beat(SOLDIER, a_beat())
