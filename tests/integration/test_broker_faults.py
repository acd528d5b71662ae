"""What RabbitMQ does to an installation, and what users see of it: accepted stays accepted, and all of it runs once."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiormq
import httpx
import pytest
from support.patience import until
from support.rabbitmq_probe import delete_queue, through
from support.rest_door import RestDoor
from support.world import Servers, World
from tools.stack import RabbitServer, RedisServer
from tools.stack.tcp_proxy import TcpProxy
from yarl import URL

from mission_contracts import topology
from mission_contracts.mission import Priority

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

TIMES = {"heartbeat_seconds": "0.5", "lease_seconds": "3"}
"""Short, so that a fault can outlast a lease."""
LONGER_THAN_A_LEASE = 4.0
SLOTS = "6"


@pytest.fixture
def rabbitmq_url(rabbitmq_server: RabbitServer) -> str:
    """A virtual host of the test's own, on a broker that it may harm."""
    return rabbitmq_server.fresh_vhost()


@pytest.fixture
async def proxy(rabbitmq_url: str) -> AsyncIterator[TcpProxy]:
    """A network before the broker that can break."""
    async with TcpProxy("127.0.0.1", URL(rabbitmq_url).port or 0) as proxy:
        yield proxy


@pytest.fixture
def an_installation(redis_url: str, tmp_path: Path) -> "Installing":
    return Installing(redis_url, tmp_path)


class Installing:
    """Makes installations on given addresses of a broker."""

    def __init__(self, redis_url: str, state: Path) -> None:
        self._redis_url = redis_url
        self._state = state

    @asynccontextmanager
    async def on(self, *urls: str, well: bool = True) -> AsyncIterator[tuple[World, RestDoor]]:
        """Run a Commander and a soldier; in the end nothing has crashed."""
        servers = Servers(rabbitmq_url=",".join(urls), redis_url=self._redis_url)
        world = World(servers, self._state, times=TIMES)
        running = world.running(concurrency=SLOTS)
        await asyncio.to_thread(running.__enter__)
        try:
            async with world.door() as rest:
                yield world, rest
            if well:
                world.assert_well()
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


def taking(seconds: float) -> dict[str, Any]:
    return {"payload": {"min_seconds": seconds, "max_seconds": seconds, "success_rate": 1}}


async def health_of(world: World) -> Mapping[str, Any]:
    async with httpx.AsyncClient(base_url=world.url, trust_env=False) as client:
        return dict((await client.get("/health")).json())


async def until_health_says(world: World, broker: str, *, seconds: float = 20) -> Mapping[str, Any]:
    """Wait until /health tells this of the broker."""
    deadline = asyncio.get_running_loop().time() + seconds
    while (health := await health_of(world))["parts"]["broker"] != broker:
        assert asyncio.get_running_loop().time() < deadline, f"in {seconds:g} s the broker was never {broker}: {health}"
        await asyncio.sleep(0.1)
    return health


async def until_some_run(world: World, ids: list[str]) -> None:
    def begun() -> bool:
        return any(note.deed == "began" and note.mission_id in ids for note in world.notes)

    await until(begun, "some missions begin")


async def assert_all_complete_once(world: World, rest: RestDoor, ids: list[str], *, seconds: float = 60) -> None:
    """Each is Completed at its first attempt, and its handler ran once."""
    views = await rest.until_final(ids, seconds=seconds)
    assert Counter((view["state"], view["attempt"]) for view in views.values()) == {("COMPLETED", 1): len(ids)}
    began = Counter(note.mission_id for note in world.notes if note.deed == "began")
    assert {one: began[one] for one in ids} == dict.fromkeys(ids, 1)


# The list of addresses


async def test_of_three_addresses_the_right_one_is_found_and_found_again_when_it_comes_back(
    an_installation: Installing, rabbitmq_url: str, proxy: TcpProxy, redis_url: str
) -> None:
    wrong = str(URL(rabbitmq_url).with_port(URL(redis_url).port))
    async with an_installation.on(dead_address(rabbitmq_url), wrong, through(proxy, rabbitmq_url)) as (world, rest):
        await assert_all_complete_once(world, rest, await rest.submit_many(20, "noted", **taking(0)))

        running = await rest.submit_many(6, "noted", **taking(2))
        await until_some_run(world, running)
        await proxy.refuse()
        health = await until_health_says(world, "disconnected")
        assert health["status"] == "degraded"
        accepted = await rest.submit_many(20, "noted", **taking(0))
        await asyncio.sleep(LONGER_THAN_A_LEASE)
        await proxy.restore()

        await assert_all_complete_once(world, rest, [*running, *accepted])
        await until_health_says(world, "ok")


def dead_address(url: str) -> str:
    """Where nobody listens, and nobody will: the port stays bound to a socket that never listens."""
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    _RESERVED.append(reserved)
    return str(URL(url).with_port(reserved.getsockname()[1]))


_RESERVED: list[socket.socket] = []


@pytest.fixture(autouse=True)
def _no_address_stays_reserved() -> Iterator[None]:
    yield
    while _RESERVED:
        _RESERVED.pop().close()


async def test_a_half_open_connection_is_noticed_within_seconds_and_another_address_serves(
    an_installation: Installing, rabbitmq_url: str, proxy: TcpProxy
) -> None:
    async with an_installation.on(through(proxy, rabbitmq_url), rabbitmq_url) as (world, rest):
        await assert_all_complete_once(world, rest, await rest.submit_many(5, "noted", **taking(0)))
        proxy.stall()

        accepted = await rest.submit_many(20, "noted", **taking(0))

        await assert_all_complete_once(world, rest, accepted, seconds=60)


async def test_a_wrong_password_is_told_without_it_and_mended_without_a_restart(
    an_installation: Installing, rabbitmq_url: str, rabbitmq_server: RabbitServer
) -> None:
    user = f"late-{URL(rabbitmq_url).path[1:]}"
    rabbitmq_server.control("add_user", user, "the-right-secret")
    rabbitmq_server.control("set_permissions", "-p", URL(rabbitmq_url).path[1:], user, ".*", ".*", ".*")
    theirs = str(URL(rabbitmq_url).with_user(user).with_password("the-right-secret"))
    async with an_installation.on(theirs) as (world, rest):
        await asyncio.to_thread(rabbitmq_server.control, "change_password", user, "another-secret")
        await asyncio.to_thread(rabbitmq_server.evaluate, CLOSE_ALL)
        health = await until_health_says(world, "disconnected")
        accepted = await rest.submit_many(5, "noted", **taking(0))
        await asyncio.to_thread(rabbitmq_server.control, "change_password", user, "the-right-secret")

        await assert_all_complete_once(world, rest, accepted)
        said = world.commander.launch.log.read_text()
        assert "ACCESS_REFUSED" in said
        assert "the-right-secret" not in said + str(health)


CLOSE_ALL = '[rabbit_networking:close_connection(Pid, "test") || Pid <- rabbit_networking:connections()].'


# The broker is short of something

ALARMS = {
    "memory": (("set_vm_memory_high_watermark", "0"), ("set_vm_memory_high_watermark", "0.6")),
    "disk": (("set_disk_free_limit", "900000GB"), ("set_disk_free_limit", "50MB")),
}


@asynccontextmanager
async def alarm(server: RabbitServer, kind: str) -> AsyncIterator[None]:
    begin, end = ALARMS[kind]
    await asyncio.to_thread(server.control, *begin)
    try:
        yield
    finally:
        await asyncio.to_thread(server.control, *end)


@pytest.mark.parametrize("kind", ALARMS)
async def test_what_is_submitted_during_an_alarm_is_accepted_and_runs_when_it_is_over(
    an_installation: Installing, rabbitmq_url: str, rabbitmq_server: RabbitServer, kind: str
) -> None:
    async with an_installation.on(rabbitmq_url) as (world, rest):
        running = await rest.submit_many(6, "noted", **taking(1.5))
        await until_some_run(world, running)
        async with alarm(rabbitmq_server, kind):
            accepted = await rest.submit_many(50, "noted", **taking(0))
            health = await until_health_says(world, "blocked")
            assert health["status"] == "degraded"
            assert (await rest.get(accepted[0]))["state"] == "QUEUED"
            await asyncio.sleep(LONGER_THAN_A_LEASE)

        await assert_all_complete_once(world, rest, [*running, *accepted])
        await until_health_says(world, "ok")


async def test_with_redis_away_too_nothing_is_accepted_and_the_answer_says_when_to_come_back(
    an_installation: Installing, rabbitmq_url: str, rabbitmq_server: RabbitServer, redis_server: RedisServer
) -> None:
    async with an_installation.on(rabbitmq_url) as (world, rest):
        async with alarm(rabbitmq_server, "memory"):
            before = await rest.submit_many(3, "noted", **taking(0))
            await until_health_says(world, "blocked")
            await asyncio.to_thread(redis_server.kill)
            refused = await rest.post({"type": "noted", "payload": {}})
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) >= 1
            await asyncio.to_thread(redis_server.start)

        await assert_all_complete_once(world, rest, before)


# The broker takes something away


@pytest.mark.parametrize(
    "queue",
    [
        topology.orders_of("default", "default"),
        topology.orders_of("default", "default", Priority.HIGH),
        *topology.FIXED_QUEUES,
    ],
    ids=lambda queue: queue.name,
)
async def test_a_deleted_queue_is_made_again_and_its_consumers_come_back(
    an_installation: Installing, rabbitmq_url: str, queue: topology.Queue
) -> None:
    async with an_installation.on(rabbitmq_url) as (world, rest):
        await assert_all_complete_once(world, rest, await rest.submit_many(5, "noted", **taking(0)))
        await delete_queue(rabbitmq_url, queue)

        priorities = [await rest.submit("noted", priority=one, **taking(0)) for one in ("High", "Normal")]

        await assert_all_complete_once(world, rest, [view["mission_id"] for view in priorities], seconds=20)


async def test_a_broker_that_ends_long_deliveries_harms_no_soldier_that_is_busy(
    an_installation: Installing, rabbitmq_url: str, rabbitmq_server: RabbitServer
) -> None:
    """RabbitMQ from 3.12 on knows our queues' own limit; before that it closes the channel, and the mission runs on."""
    await asyncio.to_thread(rabbitmq_server.evaluate, IMPATIENT % 1_000)
    try:
        async with an_installation.on(rabbitmq_url) as (world, rest):
            long = await rest.submit_many(3, "noted", **taking(5))
            await until_some_run(world, long)
            short = await rest.submit_many(3, "noted", **taking(0))
            await assert_all_complete_once(world, rest, [*long, *short])
            knows_our_limit = int(rabbitmq_server.evaluate(MAJOR_VERSION)) >= 4
            assert ("timed out" in world.soldiers[0].launch.log.read_text()) != knows_our_limit
    finally:
        await asyncio.to_thread(rabbitmq_server.evaluate, PATIENT)


IMPATIENT = (
    "application:set_env(rabbit, channel_tick_interval, 200), application:set_env(rabbit, consumer_timeout, %d)."
)
PATIENT = (
    "application:set_env(rabbit, channel_tick_interval, 60000), "
    "application:set_env(rabbit, consumer_timeout, 34560000000)."
)
MAJOR_VERSION = 'list_to_integer(hd(string:split(rabbit_misc:version(), "."))).'


LOSE_LEADER = (
    '{ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"%s">>, queue, <<"%s">>)), '
    "ra:stop_server(quorum_queues, amqqueue:get_pid(Queue))."
)


@pytest.mark.timeout(180)
async def test_a_queue_without_a_leader_delays_no_other_pool_is_told_and_made_anew(
    an_installation: Installing, rabbitmq_url: str, rabbitmq_server: RabbitServer
) -> None:
    """What a crash of the broker leaves of a queue that was declared less than half a second before.

    No soldier is there yet: the broker gives a stopped leader back to whoever consumes.
    """
    queue = topology.orders_of("default", "silent")
    async with an_installation.on(rabbitmq_url) as (world, rest):
        await asyncio.to_thread(world.declare_pool, "silent")
        await asyncio.to_thread(rabbitmq_server.evaluate, LOSE_LEADER % (URL(rabbitmq_url).path[1:], queue.name))
        waiting = await rest.submit_many(20, "noted", pool="silent", **taking(0))
        health = await until_health_says(world, "troubled", seconds=40)
        assert f"takes no orders for {queue.name}" in health["detail"]["broker"]

        for _ in range(3):
            others = await rest.submit_many(5, "noted", **taking(0))
            await assert_all_complete_once(world, rest, others, seconds=20)

        with world.another_soldier(probe="livez", pool="silent", concurrency=SLOTS):
            await assert_all_complete_once(world, rest, waiting, seconds=90)
            await until_health_says(world, "ok", seconds=30)


# Somebody else's queues


async def test_a_queue_of_other_arguments_is_used_and_the_log_says_what_to_do(
    an_installation: Installing, rabbitmq_url: str
) -> None:
    queue = topology.orders_of("default", "default")
    async with aiormq.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        await channel.queue_declare(queue.name, durable=True, arguments={"x-queue-type": "classic"})
        await channel.exchange_declare(queue.bound_to.name, exchange_type="direct", durable=True)
        await channel.queue_bind(queue.name, queue.bound_to.name, queue.key)
    async with an_installation.on(rabbitmq_url) as (world, rest):
        await assert_all_complete_once(world, rest, await rest.submit_many(5, "noted", **taking(0)))
        health = await health_of(world)
        for said in (world.commander.launch.log.read_text(), str(health)):
            assert "PRECONDITION_FAILED" in said
            assert f"{queue.name}" in said
            assert "delete it when it is empty" in said


async def test_a_queue_that_another_program_owns_stops_its_pool_only_and_only_for_as_long(
    an_installation: Installing, rabbitmq_url: str
) -> None:
    async with AsyncExitStack() as theirs:
        connection = await theirs.enter_async_context(aiormq.connect(rabbitmq_url))
        channel = await connection.channel()
        queue = topology.orders_of("default", "locked")
        await channel.queue_declare(queue.name, exclusive=True)
        async with an_installation.on(rabbitmq_url) as (world, rest):
            await asyncio.to_thread(world.declare_pool, "locked")
            with world.another_soldier(probe="livez", pool="locked") as soldier:
                waiting = await rest.submit("noted", pool="locked", **taking(0))
                await assert_all_complete_once(world, rest, await rest.submit_many(5, "noted", **taking(0)))
                assert (await rest.get(waiting["mission_id"]))["state"] == "QUEUED"
                assert "RESOURCE_LOCKED" in str(await health_of(world))
                await theirs.aclose()
                await assert_all_complete_once(world, rest, [waiting["mission_id"]])
                assert soldier.is_running
