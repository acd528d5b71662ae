"""What the auditor reads and mends: the index of live missions beside their records."""

import pytest
from support.ledger_probe import ERA, MemoryStage, RedisStage, Stage, a_mission, all_live, creation, finished, must, put

from mission_commander.ports import EraChangedError, Kept, Ledger, Listing
from mission_contracts.mission import Era, MissionId, Sequence


async def unlist(stage: Stage, mission_id: str) -> None:
    """Damage by hand: the index forgets a mission."""
    if isinstance(stage, RedisStage):
        await stage.command("ZREM", "test:live", mission_id)
    elif isinstance(stage, MemoryStage):
        del stage.store.data.live[MissionId(mission_id)]


async def list_by_hand(stage: Stage, mission_id: str) -> None:
    """Damage by hand: the index names a mission."""
    if isinstance(stage, RedisStage):
        await stage.command("ZADD", "test:live", 0, mission_id)
    elif isinstance(stage, MemoryStage):
        stage.store.data.live[MissionId(mission_id)] = None


async def test_the_index_is_read_in_pages(ledger: Ledger) -> None:
    await put(ledger, *(a_mission(name) for name in ("c", "a", "d", "b")))
    first = await ledger.live_ids(None, 3)
    assert first == ["a", "b", "c"]
    assert await ledger.live_ids(first[-1], 3) == ["d"]
    assert await ledger.live_ids(MissionId("d"), 3) == []


async def test_records_and_indexes_are_told_of_each_mission(stage: Stage, ledger: Ledger) -> None:
    waiting, out, over = a_mission("waiting"), a_mission("out"), finished(a_mission("over"))
    await must(ledger, creation(waiting), creation(out, hands_out=True), creation(over))
    await list_by_hand(stage, "ghost")
    ids = [waiting.id, out.id, over.id, MissionId("ghost"), MissionId("unknown")]
    assert await ledger.kept(ids) == [
        Kept(waiting, is_listed=True, is_unconfirmed=False),
        Kept(out, is_listed=True, is_unconfirmed=True),
        Kept(over, is_listed=False, is_unconfirmed=False),
        Kept(None, is_listed=True, is_unconfirmed=False),
        Kept(None, is_listed=False, is_unconfirmed=False),
    ]
    assert await ledger.kept([]) == []


async def test_the_index_is_mended(stage: Stage, ledger: Ledger) -> None:
    live, over = a_mission("live"), finished(a_mission("over"))
    await put(ledger, live, over)
    await unlist(stage, "live")
    await list_by_hand(stage, "over")
    await list_by_hand(stage, "ghost")
    await ledger.relist(
        ERA,
        [
            Listing(live.id, live.sequence, is_live=True),
            Listing(over.id, over.sequence, is_live=False),
            Listing(MissionId("ghost"), Sequence(0), is_live=False),
        ],
    )
    assert await ledger.live_ids(None, 10) == ["live"]
    assert await all_live(ledger) == {live.id: live}


async def test_what_has_moved_meanwhile_is_left_as_it_is(ledger: Ledger) -> None:
    mission = a_mission()
    await put(ledger, mission)
    await ledger.relist(
        ERA,
        [
            Listing(mission.id, Sequence(mission.sequence - 1), is_live=False),
            Listing(mission.id, Sequence(0), is_live=False),
            Listing(MissionId("unknown"), Sequence(5), is_live=True),
        ],
    )
    assert await ledger.live_ids(None, 10) == [mission.id]


async def test_nothing_is_mended_in_another_era(stage: Stage, ledger: Ledger) -> None:
    await list_by_hand(stage, "ghost")
    with pytest.raises(EraChangedError):
        await ledger.relist(Era(ERA + 1), [Listing(MissionId("ghost"), Sequence(0), is_live=False)])
    assert await ledger.live_ids(None, 10) == ["ghost"]
