"""What a ledger that went back took with it and nobody remembers, except the soldier that said it.

What else a ledger can lose while missions run, `python -m chaos` tries: redis-wiped, redis-rolled-back.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from chaos.sink import BEGAN, applied
from support.patience import until
from support.rest_door import RestDoor
from support.world import Servers, World
from tools import stack
from tools.stack import RedisServer
from tools.stack.ports import LOOPBACK
from tools.stack.tcp_proxy import TcpProxy
from yarl import URL

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

MISSIONS = 3
TIMES = {"heartbeat_seconds": "0.5", "lease_seconds": "5"}
A_SECOND = {"min_seconds": 1.0, "max_seconds": 1.0, "success_rate": 1}


@pytest.fixture
def redis(redis_url: str, stack_state: Path) -> Iterator[RedisServer]:
    """A Redis whose data nobody else misses; where the shared one cannot run, this one cannot either."""
    assert redis_url
    with stack.redis_server(stack_state / "losses") as server:
        yield server


@pytest.fixture
def world(redis: RedisServer, amqp_url: str, tmp_path: Path) -> World:
    return World(Servers(rabbitmq_url=amqp_url, redis_url=redis.url), tmp_path, times=TIMES)


@pytest.fixture
async def soldiers_line(world: World) -> AsyncIterator[TcpProxy]:
    """The soldier's line to the Commander: claims and heartbeats. Its reports go through the broker."""
    async with TcpProxy(LOOPBACK, URL(world.url).port or 0) as line:
        yield line


@pytest.fixture
async def rest(world: World, soldiers_line: TcpProxy) -> AsyncIterator[RestDoor]:
    """A Commander and a soldier at work; in the end nothing has crashed."""
    running = world.running(commander_url=f"http://{LOOPBACK}:{soldiers_line.port}")
    await asyncio.to_thread(running.__enter__)
    try:
        async with world.door() as door:
            yield door
        world.assert_well()
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def until_all_run(world: World, ids: list[str]) -> None:
    def began() -> set[str]:
        return {note.mission_id for note in world.notes if note.deed == BEGAN}

    await until(lambda: began() >= set(ids), "all missions begin")


async def until_asked_again(rest: RestDoor, times: int) -> None:
    """Wait until the Commander has asked for so many reports again."""
    for _ in range(300):
        if (await rest.status())["counts"].get("reports asked again", 0) >= times:
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"in 30 s the Commander did not ask for {times} reports again")


async def test_a_report_that_the_ledger_forgot_is_told_again_by_its_soldier(
    world: World, rest: RestDoor, redis: RedisServer, soldiers_line: TcpProxy, tmp_path: Path
) -> None:
    """Applied and acknowledged, then rolled back, and the Commander that applied it is dead: only the soldier knows."""
    ids = await rest.submit_many(MISSIONS, "noted", payload=A_SECOND)
    await until_all_run(world, ids)
    await asyncio.to_thread(redis.copy_data, tmp_path / "while-they-ran")
    await soldiers_line.refuse()  # so that the soldier never hears that its reports are applied
    before = await rest.until_final(ids, seconds=30)

    await world.kill(world.commander)
    await asyncio.to_thread(redis.kill)
    await asyncio.to_thread(redis.go_back_to, tmp_path / "while-they-ran")
    await asyncio.to_thread(redis.start)
    await world.start(world.commander)
    forgotten = [view and view["state"] for view in await rest.look_up(ids)]
    assert forgotten == ["IN_PROGRESS"] * MISSIONS, "the ledger forgot nothing, which proves nothing"
    await soldiers_line.restore()

    after = await rest.until_final(ids, seconds=60)
    await until_asked_again(rest, MISSIONS)
    assert {one: outcome(view) for one, view in after.items()} == {one: outcome(view) for one, view in before.items()}
    assert Counter(note.mission_id for note in world.notes if note.deed == BEGAN) == dict.fromkeys(ids, 1)
    assert Counter(deed.mission_id for deed in applied(world.notes)) == dict.fromkeys(ids, 1)


def outcome(view: dict[str, object]) -> tuple[object, ...]:
    return view["state"], view["reason"], view["epoch"], view["attempt"], view["result"]
