"""A node that hangs up in the middle of a handshake is a node that cannot be reached, and nothing worse."""

import asyncio

import aiormq
import pytest
from support.patience import until
from tools.stack.ports import LOOPBACK
from yarl import URL

from mission_broker.rabbitmq.connection import _shake_hands
from mission_broker.rabbitmq.link import CANNOT_CONNECT
from mission_broker.rabbitmq.tap import TapFactory


async def test_a_node_that_hung_up_before_it_was_read_is_one_that_cannot_be_reached() -> None:
    """As a balancer does that has no broker to offer: aiormq's word for it is StopAsyncIteration."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), LOOPBACK, 0)
    async with server:
        factory = TapFactory()
        url = URL(f"amqp://guest:guest@{LOOPBACK}:{server.sockets[0].getsockname()[1]}/")
        connection = aiormq.Connection(url, transport_factory=factory)
        tap = await factory.open(connection, dead_after_seconds=10)
        await until(tap._reader.at_eof, "the end is heard")
        with pytest.raises(CANNOT_CONNECT):
            await _shake_hands(connection, tap, 5)
