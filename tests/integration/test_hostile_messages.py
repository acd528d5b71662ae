"""Whatever lies in a queue, whoever put it there: the next message is served, and no process ends."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import aiormq
import pytest
from pamqp import commands
from support import hostile
from support.hostile import Hostile
from support.rest_door import RestDoor
from support.world import Servers, World

from mission_contracts import messages, topology
from mission_contracts.mission import Epoch
from mission_contracts.testing import a_mission, an_order

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

QUEUES: Final = (topology.DEAD, topology.STATUS, *topology.queues_of("default", "default"))
FANOUTS: Final = (topology.CONTROL, topology.ACCEPTED)
MAX_BODY_BYTES: Final = 1_000_000
"""Longer bodies are in test_malformed_messages, where the bound is."""

ORDER: Final = messages.encode(an_order(a_mission("never-accepted"), epoch=Epoch(1), payload=b'"PAYLOAD"'))
REPORT: Final = (
    b'{"v": 1, "era": 1, "instance": %b, "reports": [{"kind": "completed", "mission_id": %b, "epoch": 1, '
    b'"secret": "x", "attempt": 1, "envelope": %b, "result": %b}]}'
)
ODD_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "no headers": {},
    "numbers and dates": {"headers": {"a": 1, "b": 1.5, "c": datetime(2030, 1, 1, tzinfo=UTC), "d": None, "e": True}},
    "tables and arrays": {"headers": {"a": {"b": [{"c": [1, "x", {"d": None}]}]}, "x-death": [{"count": "many"}]}},
    "deaths that are none": {"headers": {"x-death": "text", "x-delivery-count": "many", "x-first-death-queue": 5}},
    "odd properties": {
        "content_type": "\x00\x1b",
        "content_encoding": "gzip",
        "message_id": "",
        "correlation_id": "x" * 255,
        "expiration": "60000",
        "priority": 255,
        "message_type": "\n",
        "app_id": "\x7f",
        "timestamp": datetime(1970, 1, 1, tzinfo=UTC),
    },
}


@pytest.fixture(scope="module")
def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A Commander and a soldier that get all of it; in the end both live."""
    with World(servers, tmp_path_factory.mktemp("world")).running() as world:
        yield world
        world.assert_well()


@pytest.fixture
async def channel(world: World, servers: Servers) -> AsyncIterator[aiormq.abc.AbstractChannel]:
    async with aiormq.connect(servers.rabbitmq_url) as connection:
        yield await connection.channel()


async def flood(channel: aiormq.abc.AbstractChannel, body: bytes, **properties: Any) -> None:
    """Publish to every queue that a process of ours reads."""
    for queue in QUEUES:
        about = commands.Basic.Properties(delivery_mode=2, **properties)
        await channel.basic_publish(body, exchange=queue.bound_to.name, routing_key=queue.key, properties=about)
    for exchange in FANOUTS:
        about = commands.Basic.Properties(**properties)
        await channel.basic_publish(body, exchange=exchange.name, routing_key="", properties=about)


async def check_that_work_goes_on(rest: RestDoor) -> None:
    for priority in ("Normal", "High"):
        mission = await rest.submit("noop", priority=priority)
        assert (await rest.until_final([mission["mission_id"]]))[mission["mission_id"]]["state"] == "COMPLETED"


def bodies(document: bytes) -> Iterator[bytes]:
    yield document
    yield ORDER.replace(b'"PAYLOAD"', document)
    for place in range(4):
        yield REPORT % tuple(document if place == one else b'"x"' for one in range(4))
    yield b'{"v": %b}' % document
    yield b'{"v": 1, "cancel": %b}' % document
    yield b'{"v": 1, "accepted": [{"seal": "x", "acceptance": %b}], "heard": %b, "marker": %b}' % (
        document,
        document,
        document,
    )


@pytest.mark.parametrize("document", hostile.params(hostile.DOCUMENTS))
async def test_a_hostile_message_stops_nobody(
    channel: aiormq.abc.AbstractChannel, rest: RestDoor, world: World, document: Hostile[bytes]
) -> None:
    made = document.make()
    if len(made) <= MAX_BODY_BYTES:
        for body in bodies(made):
            await flood(channel, body)
    await check_that_work_goes_on(rest)
    world.assert_well()


@pytest.mark.parametrize("name", ODD_HEADERS)
async def test_odd_headers_and_properties_stop_nobody(
    channel: aiormq.abc.AbstractChannel, rest: RestDoor, world: World, name: str
) -> None:
    for body in (b"{", ORDER.replace(b'"PAYLOAD"', b"{}"), messages.encode(messages.StatusMessage(v=messages.VERSION))):
        await flood(channel, body, **ODD_HEADERS[name])
    await check_that_work_goes_on(rest)
    world.assert_well()
