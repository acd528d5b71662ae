"""Pools over HTTP: numbers for whoever scales them, and word of work the moment it comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
from support.commander_api import Api, Soldier
from support.commander_stage import eventually

from mission_contracts.mission import Reason
from mission_contracts.rest import PoolView
from mission_contracts.soldiering import Verdict


@asynccontextmanager
async def hearing(api: Api, who: str = "operator") -> AsyncIterator[AsyncIterator[PoolView]]:
    """Subscribed when the context opens."""
    client = await api.client(who)
    async with client.stream("GET", "/pools/events") as answer:
        assert answer.status_code == 200
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith(":")
        yield _views(lines)


async def _views(lines: AsyncIterator[str]) -> AsyncIterator[PoolView]:
    async for line in lines:
        if line.startswith("data: "):
            yield msgspec.json.decode(line.removeprefix("data: "), type=PoolView)


async def test_the_first_mission_of_a_pool_without_soldiers_is_told_of(api: Api) -> None:
    await api.declare_pool("render", replicas=0, max_replicas=3)
    async with hearing(api) as views, asyncio.timeout(10):
        await api.submit(pool="render")
        view = await anext(views)
    assert (view.name, view.queued, view.in_flight, view.soldiers) == ("render", 1, 0, ())


async def test_strangers_hear_nothing_of_pools(api: Api) -> None:
    answer = await (await api.stranger()).get("/pools/events")
    assert answer.status_code == httpx.codes.UNAUTHORIZED


async def test_a_paused_pool_hands_out_nothing_until_it_is_freed(api: Api) -> None:
    await api.declare_pool(paused=True)
    soldier = Soldier(api)
    await soldier.register()
    async with soldier.taking():
        mission = await api.submit()
        order = await soldier.next_order()
        assert (await soldier.claim(order)).verdict is Verdict.WAIT
        shown = await api.get(mission["mission_id"])
        assert shown["state"] == "QUEUED"
        await api.declare_pool()
        granted = await soldier.claim(order)
        await soldier.report(order, granted)
    await eventually(lambda: api.commander.memory.live_count() == 0, "it is done")


async def test_what_waits_in_a_deleted_pool_is_kept_and_says_why(api: Api) -> None:
    await api.declare_pool()
    before, operator = await api.submit(), await api.client("operator")
    assert (await operator.delete("/pools/default/default")).status_code == httpx.codes.NO_CONTENT
    after = await api.submit()
    memory = api.commander.memory

    def reasons() -> set[str]:
        return {mission.reason for mission in memory.live()}

    await eventually(lambda: reasons() == {Reason.NO_POOL}, "both say that there is no pool")
    await api.declare_pool()
    soldier = Soldier(api)
    await soldier.register()
    async with soldier.taking():
        done = {(await soldier.run_one()).envelope.mission_id for _ in range(2)}
    assert done == {before["mission_id"], after["mission_id"]}
