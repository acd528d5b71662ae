"""Attack 22: what a stolen RabbitMQ credential of a soldier can do, and that nobody is granted what nobody uses."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import aiormq
import httpx
import msgspec
import pytest
from support.ability import unless
from support.broker_users import ASKS_OVER_HTTP, MANAGEMENT, Judge, judging
from support.patience import until
from support.rest_door import RestDoor, View
from support.world import Servers, World
from tools import stack
from tools.stack import pairs
from yarl import URL

from mission_commander.adapters import rabbitmq_management
from mission_contracts import broker_rights, messages, topology
from mission_contracts.broker_rights import Grants, PoolUsers, UserLimits
from mission_contracts.envelope import Envelope
from mission_contracts.install_key import InstallKey
from mission_contracts.messages import Report, ReportKind, StatusMessage
from mission_contracts.mission import Epoch, Instance, MissionId, era_of
from mission_contracts.topology import QueueBound

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]  # two brokers of its own are started

NOBODY: Final = "nobody:has-no-such-password"
ORDERS: Final = topology.orders_of("default", "default").name
STOLEN: Final = {"was": "stolen"}
HERS: Final = "missions.control.default.default.thief"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack.RabbitServer]:
    """A RabbitMQ with its management API, which the session's broker does without."""
    unless(pairs.why_not(pairs.chosen()))
    with stack.rabbitmq_server(tmp_path_factory.mktemp("users"), plugins=(MANAGEMENT,)) as server:
        yield server


@pytest.fixture(scope="module")
def world(broker: stack.RabbitServer, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An installation whose soldiers' own setting opens nothing: they live on what the Commander hands out."""
    servers = Servers(rabbitmq_url=broker.url, redis_url=redis_url)
    told = {"rabbitmq_management_url": broker.management_url}
    one = World(servers, tmp_path_factory.mktemp("world"), times=told)
    with one.running(soldiers=1, rabbitmq_urls=_as(broker.url, NOBODY)):
        yield one


@pytest.fixture
async def stolen(world: World) -> str:
    """The address that a soldier of the pool `default` was told."""
    async with world.door("soldier") as door:
        asked = {"instance": "thief", "namespace": "default", "pool": "default", "types": [], "concurrency": 1}
        answer = await door.client.post("/soldiers", json=asked)
    [url] = answer.json()["broker_urls"]
    return str(url)


@pytest.fixture
async def thief(stolen: str) -> AsyncIterator[aiormq.abc.AbstractConnection]:
    async with aiormq.connect(stolen) as connection:
        yield connection


def _as(url: str, credentials: str) -> str:
    user, password = credentials.split(":")
    return str(URL(url).with_user(user).with_password(password))


# Why it is not in the way


async def test_a_soldier_with_a_users_password_of_its_pool_runs_missions(world: World) -> None:
    async with world.door() as door:
        ids = await door.submit_many(20)
        views = await door.until_final(ids, seconds=60)
    assert {view["state"] for view in views.values()} == {"COMPLETED"}


# What it cannot do

Deed = Callable[[aiormq.abc.AbstractChannel], Awaitable[object]]


async def _take(_: object) -> None:
    raise AssertionError("it was given a message")


REFUSED: Final[dict[str, Deed]] = {
    "publish an order": lambda one: one.basic_publish(b"{}", exchange="missions", routing_key=ORDERS),
    "publish past the exchange": lambda one: one.basic_publish(b"{}", exchange="", routing_key=ORDERS),
    "cancel what others run": lambda one: one.basic_publish(b"{}", exchange="missions.control", routing_key=""),
    "publish straight to a control queue": lambda one: one.basic_publish(b"{}", exchange="", routing_key=HERS),
    "declare a queue": lambda one: one.queue_declare("mine", durable=True),
    "declare another pool's control queue": lambda one: one.queue_declare("missions.control.default.other.one"),
    "declare one of a pool whose name goes on": lambda one: one.queue_declare("missions.control.default.default-2.x"),
    "declare its pool's orders": lambda one: one.queue_declare(ORDERS, durable=True),
    "delete its pool's orders": lambda one: one.queue_delete(ORDERS),
    "delete the reports": lambda one: one.queue_delete(topology.STATUS.name),
    "declare an exchange": lambda one: one.exchange_declare("mine"),
    "delete an exchange": lambda one: one.exchange_delete("missions"),
    "unbind its pool's orders": lambda one: one.queue_unbind(ORDERS, "missions", ORDERS),
    "read dead letters": lambda one: one.basic_get(topology.DEAD.name),
    "consume dead letters": lambda one: one.basic_consume(topology.DEAD.name, _take),
    "read others' reports": lambda one: one.basic_get(topology.STATUS.name),
    "read what was rejected": lambda one: one.basic_get(topology.REJECTED.name),
    "read another pool's orders": lambda one: one.basic_get("missions.orders.default.other"),
    "purge the reports": lambda one: one.queue_purge(topology.STATUS.name),
}


@pytest.mark.parametrize("deed", REFUSED.values(), ids=REFUSED)
async def test_attack_22_a_soldiers_credential_is_refused(
    world: World, thief: aiormq.abc.AbstractConnection, deed: Deed
) -> None:
    world.declare_pool("other")
    channel = await thief.channel(publisher_confirms=True)
    with pytest.raises(aiormq.exceptions.ChannelAccessRefused):
        await deed(channel)


async def test_attack_22_nothing_listens_in_on_reports_or_orders(thief: aiormq.abc.AbstractConnection) -> None:
    for exchange in ("missions", "missions.reports"):
        channel = await thief.channel()
        await channel.queue_declare(f"{HERS}.{exchange}", exclusive=True)
        with pytest.raises(aiormq.exceptions.ChannelAccessRefused):
            await channel.queue_bind(f"{HERS}.{exchange}", exchange, ORDERS)


async def test_attack_22_the_management_api_stays_shut(broker: stack.RabbitServer, stolen: str) -> None:
    own = URL(stolen)
    async with httpx.AsyncClient(trust_env=False) as client:
        url = URL(broker.management_url).with_user(None).with_password(None) / "api/overview"
        answer = await client.get(str(url), auth=(own.user or "", own.password or ""))
    assert answer.status_code == 401


async def test_attack_22_a_report_on_anothers_mission_changes_nothing(
    world: World, thief: aiormq.abc.AbstractConnection
) -> None:
    """It may write reports, and nobody but the claim's holder knows the claim's secret."""
    async with world.door() as door:
        mission = await door.submit("simulate", payload={"min_seconds": 2, "max_seconds": 2, "success_rate": 1})
        view = await door.until_it_is(mission["mission_id"], "IN_PROGRESS")
        channel = await thief.channel(publisher_confirms=True)
        for report in _forged(view):
            await channel.basic_publish(report, exchange="missions.reports", routing_key=topology.STATUS.key)
        ended = (await door.until_final([view["mission_id"]]))[view["mission_id"]]
    assert (ended["state"], ended["epoch"]) == ("COMPLETED", view["epoch"])
    assert ended["result"] != STOLEN


def _forged(view: View) -> Iterator[bytes]:
    """Reports that end it, with secrets that a thief could think of."""
    mission = MissionId(view["mission_id"])
    envelope = Envelope(mission_id=mission, namespace="default", pool="default", type="simulate", accepted_at=1.0)
    for secret in ("", "0" * 32, view["mission_id"]):
        report = Report(
            kind=ReportKind.COMPLETED,
            mission_id=mission,
            epoch=Epoch(view["epoch"]),
            secret=secret,
            attempt=1,
            envelope=envelope,
            result=msgspec.Raw(msgspec.json.encode(STOLEN)),
        )
        instance = Instance(view.get("soldier") or "soldier")
        yield messages.encode(
            StatusMessage(v=messages.VERSION, era=era_of(report.epoch), instance=instance, reports=(report,))
        )


# Lost and found


async def test_a_user_that_rabbitmq_lost_is_made_again_and_missions_go_on(
    world: World, broker: stack.RabbitServer
) -> None:
    user = PoolUsers(InstallKey(world.install_key.encode())).name_of("default", "default")
    broker.control("delete_user", user)
    async with world.door() as door:
        views = await door.until_final(await door.submit_many(5), seconds=60)
    assert {view["state"] for view in views.values()} == {"COMPLETED"}
    assert user in broker.control("list_users")


# Nothing is granted that is not used


async def test_every_permission_granted_in_rabbitmq_is_used(
    redis_server: stack.RedisServer, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = Judge()
    with contextlib.ExitStack() as stack_of:
        more = stack_of.enter_context(judging(judge))
        broker = stack_of.enter_context(
            stack.rabbitmq_server(tmp_path, plugins=(MANAGEMENT, ASKS_OVER_HTTP), more_settings=more)
        )
        broker.control("add_user", "commander", "of-this-test")
        told = {"rabbitmq_management_url": broker.management_url}
        servers = Servers(rabbitmq_url=_as(broker.url, "commander:of-this-test"), redis_url=redis_url)
        world = World(servers, tmp_path, times=told)
        soldiers = PoolUsers(InstallKey(world.install_key.encode())).name_of("default", "default")
        judge.grants = {"commander": broker_rights.COMMANDER, soldiers: broker_rights.of_pool("default", "default")}
        stack_of.enter_context(world.running(soldiers=1, rabbitmq_urls=_as(broker.url, NOBODY)))
        async with world.door() as door:
            views = await door.until_final(await door.submit_many(10), seconds=60)
            assert {view["state"] for view in views.values()} == {"COMPLETED"}
            await _cancel_one_that_runs(door)
            await _submit_without_the_ledger(door, redis_server)
        await _send_what_cannot_be_read(broker.url)
        async with world.door("admin") as door:
            await _read_what_was_rejected(door)
        with contextlib.suppress(AssertionError):  # below is said what is missing
            await until(lambda: judge.used.get("commander") == _all_of(broker_rights.COMMANDER), "all of it is used")
    granted = {user: _all_of(grants) for user, grants in judge.grants.items()}
    with capsys.disabled():
        sys.stdout.write("\n" + _table(granted, judge.used) + "\n")
    assert judge.refused == set(), "what they ask for, they may"
    assert judge.used == granted


async def _cancel_one_that_runs(door: RestDoor) -> None:
    mission = await door.submit("simulate", payload={"min_seconds": 60, "max_seconds": 60})
    await door.until_it_is(mission["mission_id"], "IN_PROGRESS")
    (await door.client.post(f"/missions/{mission['mission_id']}/cancel", json={})).raise_for_status()
    await door.until_it_is(mission["mission_id"], "CANCELLED")


async def _submit_without_the_ledger(door: RestDoor, ledger: stack.RedisServer) -> None:
    ledger.freeze()
    mission = await door.submit()
    ledger.thaw()
    await door.until_final([mission["mission_id"]])


async def _send_what_cannot_be_read(url: str) -> None:
    async with aiormq.connect(url) as connection:
        channel = await connection.channel()
        await channel.basic_publish(b"no JSON", exchange="missions.reports", routing_key=topology.STATUS.key)


async def _read_what_was_rejected(door: RestDoor) -> None:
    deadline = time.monotonic() + 30
    while not (page := (await door.client.get("/rejected")).raise_for_status().json())["rejected"]:
        assert time.monotonic() < deadline, "what cannot be read was not rejected"
        await asyncio.sleep(0.05)
    assert page["rejected"][0]["body"] == "no JSON"


def _all_of(grants: Grants) -> set[tuple[str, str]]:
    return {(permission, pattern) for permission in ("configure", "write", "read")
            for pattern in getattr(grants, permission)}  # fmt: skip


def _table(granted: dict[str, set[tuple[str, str]]], used: dict[str, set[tuple[str, str]]]) -> str:
    lines = []
    for user, ones in granted.items():
        seen = used.get(user, set())
        lines.append(f"RabbitMQ permissions of {user}: granted {len(ones)}, seen {len(seen)}")
        lines += [f"  {'seen  ' if one in seen else 'UNUSED'} {one[0]:<9} {one[1]}" for one in sorted(ones)]
    return "\n".join(lines)


# How much it may have open, and fill

SMALL: Final = UserLimits(connections=2, channels=3)
A_USER: Final = "soldiers.default.limited.of-this-test"


async def _limited(broker: stack.RabbitServer) -> str:
    async with rabbitmq_management.connect(broker.management_url, broker.url) as api:
        await api.put(A_USER, "password", broker_rights.of_pool("default", "limited").rights(), SMALL)
        assert (await api.limits())[A_USER] == SMALL
    return _as(broker.url, f"{A_USER}:password")


async def test_attack_22_a_pools_user_has_so_many_connections_and_channels_and_no_more(
    broker: stack.RabbitServer,
) -> None:
    url = await _limited(broker)
    async with aiormq.connect(url) as one, aiormq.connect(url):
        with pytest.raises(aiormq.exceptions.AMQPError):
            await aiormq.connect(url)
        for _ in range(SMALL.channels):
            await one.channel()
        with pytest.raises(aiormq.exceptions.AMQPError):
            await one.channel()


@pytest.mark.parametrize("drops_oldest", [True, False], ids=["the oldest give way", "the newest are refused"])
async def test_attack_22_a_queue_that_a_soldier_may_fill_is_bounded(
    broker: stack.RabbitServer, drops_oldest: bool
) -> None:
    name = f"bounded.{drops_oldest}"
    bound = QueueBound(
        name=name, pattern=f"^{name}$", max_messages=10, max_bytes=1024 * 1024, drops_oldest=drops_oldest
    )
    arguments = topology.REJECTED.arguments()
    async with aiormq.connect(broker.url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        await channel.queue_declare(name, durable=True, arguments=arguments)
        async with rabbitmq_management.connect(broker.management_url, broker.url) as api:
            for _ in range(2):
                await api.bound([bound])
        count = 0
        with contextlib.suppress(aiormq.exceptions.DeliveryError):
            for count in range(1, 101):
                await channel.basic_publish(b"%d" % count, exchange="", routing_key=name)
                await asyncio.sleep(0.01)  # a quorum queue tells its publisher's channel a little later that it is full
        held = (await channel.queue_declare(name, passive=True)).message_count or 0
        first = (await channel.basic_get(name)).body
        await channel.queue_delete(name)
    assert (count == 100) is drops_oldest
    assert held <= bound.max_messages + 5, "a quorum queue may exceed its bound by what was in flight"
    assert (first == b"1") is not drops_oldest


async def test_attack_22_an_installation_bounds_its_queues_and_users(
    broker: stack.RabbitServer,
    world: World,
    thief: aiormq.abc.AbstractConnection,
) -> None:
    assert thief is not None
    async with rabbitmq_management.connect(broker.management_url, broker.url) as api:
        limits = await api.limits()
    name = PoolUsers(InstallKey(world.install_key.encode())).name_of("default", "default")
    assert limits[name] == broker_rights.POOL_LIMITS
    async with httpx.AsyncClient(trust_env=False) as client:
        found = (await client.get(f"{broker.management_url}/api/policies")).json()
    assert {one.name: one.definition() for one in topology.QUEUE_BOUNDS}.items() <= {
        one["name"]: one["definition"] for one in found
    }.items()
