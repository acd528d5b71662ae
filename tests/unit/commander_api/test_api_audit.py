"""A whole Commander whose ledger is damaged by hand: the number is told, returns to 0, and the mission runs."""

from collections.abc import AsyncIterator

import pytest
from support.commander_api import Api, Soldier, serving
from support.commander_stage import eventually

from mission_commander.services import auditing
from mission_contracts.metrics import UNACCOUNTED
from mission_contracts.mission import MissionId


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """The looks are taken by the test."""
    monkeypatch.setattr(auditing, "LOOK_SECONDS", 3600.0)
    async with serving() as api:
        await api.declare_pool()
        await eventually(api.commander.auditor._is_on_duty, "this Commander is on duty")
        yield api


async def unaccounted(api: Api) -> float:
    await api.commander.auditor.look()
    lines = (await (await api.stranger()).get("/metrics")).text.splitlines()
    [line] = [line for line in lines if line.startswith(f"{UNACCOUNTED.name} ")]
    return float(line.split()[1])


async def runs_once_its_pool_is_there(api: Api, mission_id: MissionId) -> None:
    await api.declare_pool("later")
    soldier = Soldier(api, instance="soldier-2", pool="later")
    assert (await soldier.register()).status_code == 200
    async with soldier.taking():
        await soldier.run_one()
        assert (await api.get(mission_id, wait="10s"))["state"] == "COMPLETED"


async def test_a_mission_that_nobody_would_find_is_found_and_runs(api: Api) -> None:
    mission_id = MissionId((await api.submit(pool="later"))["mission_id"])
    assert await unaccounted(api) == 0
    del api.ledger.store.data.live[mission_id]
    api.commander.memory.forget(mission_id)
    numbers = [await unaccounted(api) for _ in range(5)]
    assert max(numbers) == 1
    assert numbers[-1] == 0
    assert mission_id in api.ledger.store.data.live
    await runs_once_its_pool_is_there(api, mission_id)


async def test_a_mission_whose_moment_was_lost_runs(api: Api) -> None:
    mission_id = MissionId((await api.submit(pool="later"))["mission_id"])
    api.commander.memory._due.arm(mission_id, None)
    assert [await unaccounted(api) for _ in range(3)] == [0, 1, 0]
    await runs_once_its_pool_is_there(api, mission_id)


async def test_a_record_that_was_deleted_is_restored_and_runs(api: Api, soldier: Soldier) -> None:
    await (await api.client("ada")).post("/scheduler/stop")
    mission_id = MissionId((await api.submit())["mission_id"])
    era = api.commander.recorder.era
    api.commander.eras._quiet_since = float("-inf")  # the era has settled
    del api.ledger.store.data.records[mission_id]
    assert [await unaccounted(api) for _ in range(2)] == [0, 1]
    await eventually(lambda: api.commander.recorder.era > era, "a new era began")
    await eventually(lambda: mission_id in api.ledger.store.data.records, "the mission is restored")
    await (await api.client("ada")).post("/scheduler/start")
    await soldier.run_one()
    assert (await api.get(mission_id, wait="10s"))["state"] == "COMPLETED"
    assert [await unaccounted(api) for _ in range(2)][-1] == 0
