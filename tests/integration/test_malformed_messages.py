"""Messages that nobody can use, in every queue of an installation at work: kept with the reason, in nobody's way."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import aiormq
import pytest
from pamqp import commands
from support.malformed import MALFORMED, SECRET, Malformed
from support.rest_door import RestDoor
from support.world import Servers, World

from mission_broker.rejecting import MOST_KEPT_BYTES
from mission_contracts import messages, topology
from mission_contracts.mission import Epoch, MissionId, Priority
from mission_contracts.testing import a_mission, an_order
from mission_contracts.topology import Exchange, Queue

pytestmark = [pytest.mark.real, pytest.mark.timeout(90)]

PATIENCE_SECONDS = 20.0
GOOD_ORDER = messages.encode(
    an_order(a_mission("never-accepted"), epoch=Epoch(1), payload=b'{"key":"%b"}' % SECRET.encode())
)
GOOD = {
    topology.orders_of("default", "default").name: GOOD_ORDER,
    topology.orders_of("default", "default", Priority.HIGH).name: GOOD_ORDER,
    topology.DEAD.name: GOOD_ORDER,
    topology.STATUS.name: messages.encode(messages.StatusMessage(v=messages.VERSION)),
}
QUEUES = [topology.DEAD, topology.STATUS, *topology.queues_of("default", "default")]
GOOD_HINT = messages.encode(messages.ControlMessage(v=messages.VERSION, cancel=(MissionId("nobody"),)))
FANOUTS = [
    (topology.CONTROL, GOOD_HINT),
    (topology.ACCEPTED, messages.encode(messages.StatusMessage(v=messages.VERSION))),
]


@pytest.fixture(scope="module")
def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A Commander and a soldier that get all of it; in the end both live, and have told nobody what was in it."""
    with World(servers, tmp_path_factory.mktemp("world")).running() as world:
        yield world
        world.assert_well()
        for process in world.processes:
            said = process.launch.log.read_text()
            assert "cannot be used; it goes to missions.rejected" in said
            assert SECRET not in said


class Broker:
    """The broker as somebody who has its password may use it."""

    def __init__(self, channel: aiormq.abc.AbstractChannel) -> None:
        self._channel = channel

    async def publish(self, what: Malformed, good: bytes, *, exchange: str, key: str) -> bytes:
        body = what.of(good)
        properties = commands.Basic.Properties(
            content_type=what.content_type, headers=dict(what.headers), delivery_mode=2
        )
        await self._channel.basic_publish(body, exchange=exchange, routing_key=key, properties=properties)
        return body

    async def next_rejected(self) -> aiormq.abc.DeliveredMessage:
        """Take the next copy out of `missions.rejected`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not isinstance(  # noqa: ASYNC110  # the broker sets no event of ours
                (got := await self._channel.basic_get(topology.REJECTED.name, no_ack=True)).delivery,
                commands.Basic.GetOk,
            ):
                await asyncio.sleep(0.02)
        return got

    async def count(self, queue: Queue) -> int:
        return int((await self._channel.queue_declare(queue.name, passive=True)).message_count or 0)


@pytest.fixture
async def broker(world: World, servers: Servers) -> AsyncIterator[Broker]:
    async with aiormq.connect(servers.rabbitmq_url) as connection:
        yield Broker(await connection.channel())


def assert_says_why(got: aiormq.abc.DeliveredMessage, what: Malformed, body: bytes, queue: str) -> None:
    headers = got.header.properties.headers or {}
    assert bytes(got.body) == body[:MOST_KEPT_BYTES]
    assert (headers["queue"], headers["defect"], headers["bytes"]) == (queue, what.defect.value, str(len(body)))
    assert len(str(headers["reason"])) > len("not a")
    assert SECRET not in str(headers)


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
async def test_what_cannot_be_read_is_kept_with_its_reason_and_the_queue_goes_on(
    broker: Broker, rest: RestDoor, queue: Queue, name: str
) -> None:
    what = MALFORMED[name]
    body = await broker.publish(what, GOOD[queue.name], exchange=queue.bound_to.name, key=queue.key)
    assert_says_why(await broker.next_rejected(), what, body, queue.name)
    mission = await rest.submit("noop", priority="High" if queue.name.endswith(".high") else "Normal")
    assert (await rest.until_final([mission["mission_id"]]))[mission["mission_id"]]["state"] == "COMPLETED"


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize(("exchange", "good"), FANOUTS, ids=lambda one: getattr(one, "name", ""))
async def test_what_comes_by_a_fanout_and_cannot_be_read_is_kept_too(
    broker: Broker, name: str, exchange: Exchange, good: bytes
) -> None:
    what = MALFORMED[name]
    body = await broker.publish(what, good, exchange=exchange.name, key="")
    got = await broker.next_rejected()
    queue = str((got.header.properties.headers or {})["queue"])
    assert queue.startswith(f"{exchange.name}.")
    assert_says_why(got, what, body, queue)


async def test_a_content_type_is_no_reason_to_refuse_what_can_be_read(
    broker: Broker, rest: RestDoor, world: World
) -> None:
    odd = Malformed(lambda good: good, MALFORMED["nothing"].defect, content_type="application/x-python-serialize")
    queue = topology.STATUS
    before = dict((await rest.status())["counts"])
    await broker.publish(odd, GOOD[queue.name], exchange=queue.bound_to.name, key=queue.key)
    mission = await rest.submit("noop")
    await rest.until_final([mission["mission_id"]])
    assert await broker.count(topology.REJECTED) == 0
    after = dict((await rest.status())["counts"])
    assert {key: after[key] for key in after if key.startswith("rejected")} == {
        key: before[key] for key in before if key.startswith("rejected")
    }


async def test_the_status_says_how_many_wait_to_be_looked_at_whatever_they_are(broker: Broker, rest: RestDoor) -> None:
    for what in MALFORMED.values():
        await broker.publish(what, GOOD_ORDER, exchange=topology.REJECTED.bound_to.name, key=topology.REJECTED.key)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await rest.status())["rejected"] != len(MALFORMED):  # noqa: ASYNC110  # nor does the Commander
            await asyncio.sleep(0.05)
    for what in MALFORMED.values():
        assert bytes((await broker.next_rejected()).body) == what.of(GOOD_ORDER)
