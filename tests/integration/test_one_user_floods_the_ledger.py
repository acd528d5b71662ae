"""One user sends large payloads as fast as they can, to a Redis of 24 MB: everybody else goes on."""

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from support.patience import until
from support.rest_door import RestDoor
from support.world import Servers, World
from tools import stack
from tools.stack import RedisServer

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

MAX_MEMORY = 24 * 1024 * 1024
LARGE = {"x": "y" * 250_000}
FLOOD_SECONDS = 6.0
FLOODERS = 4
LONG = {"min_seconds": 600.0, "max_seconds": 600.0, "success_rate": 1}
TIMES = {"heartbeat_seconds": "0.5", "lease_seconds": "5", "retention_seconds": "60"}


@pytest.fixture
def small_redis(redis_url: str, stack_state: Path) -> Iterator[RedisServer]:
    assert redis_url
    with stack.redis_server(stack_state / "flooded") as server:
        tell(server, "CONFIG", "SET", "maxmemory", MAX_MEMORY)
        yield server


@pytest.fixture
async def world(small_redis: RedisServer, amqp_url: str, tmp_path: Path) -> AsyncIterator[World]:
    world = World(Servers(rabbitmq_url=amqp_url, redis_url=small_redis.url), tmp_path, times=TIMES)
    running = world.running()
    await asyncio.to_thread(running.__enter__)
    try:
        yield world
        world.assert_well()
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


def tell(server: RedisServer, *command: str | int) -> Any:
    with contextlib.closing(redis.Redis.from_url(server.url)) as client:
        return client.execute_command(*command)  # type: ignore[no-untyped-call]


def used(server: RedisServer) -> int:
    with contextlib.closing(redis.Redis.from_url(server.url)) as client:
        return int(client.info("memory")["used_memory"])


def in_an_hour() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


@dataclass
class Flood:
    """What one user was told who sent large payloads that wait for an hour."""

    accepted: list[str] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    degraded: int = 0

    def note(self, answer: httpx.Response) -> None:
        self.degraded += "Ledger" in answer.headers
        if answer.status_code == 202:
            self.accepted.append(answer.json()["mission_id"])
            self.told["202"] += 1
            return
        assert int(answer.headers["Retry-After"]) > 0, answer.text
        self.told[f"{answer.status_code} {answer.json()['code']}"] += 1

    async def run(self, door: RestDoor, **fields: Any) -> None:
        """Send for some seconds, from several connections."""
        loop = asyncio.get_running_loop()
        end = loop.time() + FLOOD_SECONDS

        async def send() -> None:
            while loop.time() < end:
                self.note(await door.post({"type": "noop", "payload": LARGE, **fields}))

        await asyncio.gather(*(send() for _ in range(FLOODERS)))


async def others_work(door: RestDoor, flood: "asyncio.Task[None]") -> int:
    """Another user's missions, one after the other, while the flood lasts; gives how many were done."""
    for done in itertools.count():
        if flood.done():
            return done
        mission = await door.submit("noop")
        await door.until_final([mission["mission_id"]], seconds=20)
    raise AssertionError("a count has no end")


async def cancelled(door: RestDoor, ids: Sequence[str]) -> None:
    for mission_id in ids:
        answer = await door.client.post(f"/missions/{mission_id}/cancel")
        assert answer.status_code == 200, answer.text


async def test_a_flood_of_large_payloads_is_refused_to_its_sender_alone(world: World, small_redis: RedisServer) -> None:
    async with world.door("user") as greedy, world.door("admin") as ben:
        running = await ben.submit("simulate", payload=LONG)
        await ben.until_it_is(running["mission_id"], "IN_PROGRESS")

        flood = Flood()
        sending = asyncio.create_task(flood.run(greedy, start_after=in_an_hour()))
        done = await others_work(ben, sending)
        await sending

        assert done > 5, "others' missions are submitted, claimed, reported and ended meanwhile"
        assert flood.told["202"] > 5
        assert flood.told["429 QuotaReached"] > 0
        assert set(flood.told) <= {"202", "429 QuotaReached", "429 TooManyRequests"}, flood.told
        assert not flood.degraded, "the ledger is there"
        assert used(small_redis) < 0.8 * MAX_MEMORY, "one user cannot bring it to the watermark"
        assert (await ben.client.get("/health")).json()["status"] == "ok"

        answer = await ben.client.post(f"/missions/{running['mission_id']}/cancel")
        assert answer.status_code == 200
        await ben.until_it_is(running["mission_id"], "CANCELLED")

        views = await greedy.look_up(flood.accepted)
        assert [view["state"] for view in views if view] == ["QUEUED"] * len(flood.accepted), "each 202 is kept"
        before = used(small_redis)
        await cancelled(greedy, flood.accepted)
        await until(lambda: used(small_redis) < before - 200_000 * len(flood.accepted), "their payloads are dropped")
        await greedy.until_final([await accepted_soon(greedy, {"type": "noop", "payload": LARGE})])


async def health_when(rest: RestDoor, status: str) -> dict[str, Any]:
    """Return the health once it says so: its parts are asked once a second."""
    deadline = time.monotonic() + 20
    while (health := dict((await rest.client.get("/health")).json()))["status"] != status:
        assert time.monotonic() < deadline, health
        await asyncio.sleep(0.1)
    return health


async def accepted_soon(rest: RestDoor, mission: dict[str, Any]) -> str:
    """Submit, as the refusals say, until there is room: what is left is counted every half second."""
    deadline = time.monotonic() + 20
    while (answer := await rest.post(mission)).status_code == 429:
        assert time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.2)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["mission_id"])


async def test_beyond_maxmemory_nothing_new_comes_in_and_all_that_is_there_ends(
    world: World, small_redis: RedisServer
) -> None:
    async with world.door("user") as greedy, world.door("admin") as ben:
        running = await ben.submit("simulate", payload=LONG | {"min_seconds": 3.0, "max_seconds": 3.0})
        other = await ben.submit("simulate", payload=LONG)
        await ben.until_it_is(other["mission_id"], "IN_PROGRESS")
        await ben.until_it_is(running["mission_id"], "IN_PROGRESS")
        tell(small_redis, "CONFIG", "SET", "maxmemory", 1)

        answers = [await greedy.post({"type": "noop", "payload": {}}) for _ in range(20)]
        assert {one.status_code for one in answers} == {503}
        assert {one.json()["code"] for one in answers} == {"LedgerFull"}
        assert all(int(one.headers["Retry-After"]) > 0 for one in answers)
        health = await health_when(ben, "degraded")
        assert health["parts"]["ledger"] == "full"
        assert "maxmemory raised" in health["detail"]["ledger"]

        ended = await ben.until_it_is(running["mission_id"], "COMPLETED")
        assert ended["attempt"] == 1, "its report was applied, its lease was kept"
        cancel = await ben.client.post(f"/missions/{other['mission_id']}/cancel")
        assert cancel.status_code == 200
        await ben.until_it_is(other["mission_id"], "CANCELLED")
        async with world.door("user"):
            pass  # a login

        tell(small_redis, "CONFIG", "SET", "maxmemory", MAX_MEMORY)

        async def is_accepted() -> bool:
            return (await greedy.post({"type": "noop", "payload": {}})).status_code == 202

        for _ in range(100):
            if await is_accepted():
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("within 10 s nothing new comes in although there is room")
        await health_when(ben, "ok")
