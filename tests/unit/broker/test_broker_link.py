"""How long a link waits before its next try: as short as nobody is burdened by it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import aiormq
import pytest
from support.patience import until
from tools.stack.ports import LOOPBACK

from mission_broker.rabbitmq import RabbitMQSettings
from mission_broker.rabbitmq.link import Link, nobody_listens

FOR_EVER = 3600.0
MANY_TRIES = 20
"""With doubling pauses they would take days."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(ConnectionRefusedError(), True, id="refused"),
        pytest.param(ConnectionResetError(), True, id="hung up on in the middle of a handshake"),
        pytest.param(aiormq.AMQPConnectionError("Read 0 bytes"), True, id="hung up on without a word"),
        pytest.param(TimeoutError(), False, id="a node that accepts and says nothing"),
        pytest.param(aiormq.exceptions.ProbableAuthenticationError("no"), False, id="a wrong password"),
        pytest.param(aiormq.exceptions.ConnectionClosed(530, "no such vhost"), False, id="closed with a reason"),
        pytest.param(socket.gaierror("no such name"), False, id="a name that nobody knows"),
    ],
)
def test_nobody_listens(error: Exception, expected: bool) -> None:
    assert nobody_listens(error) is expected


async def test_while_nobody_listens_the_pauses_stay_short() -> None:
    async with _a_proxy_without_a_node() as (port, tries), _kept(_link(port, absence=0.02, otherwise=FOR_EVER)):
        await until(lambda: len(tries) >= MANY_TRIES, f"{MANY_TRIES} tries reach the proxy")


def _link(port: int, *, absence: float, otherwise: float) -> Link:
    settings = RabbitMQSettings(
        urls=(f"amqp://guest:guest@{LOOPBACK}:{port}/",),
        name="test",
        backoff_min_seconds=0.01,
        backoff_max_seconds=otherwise,
        absence_max_seconds=absence,
    )
    return Link(settings, "publish", lambda: None)


@contextlib.asynccontextmanager
async def _a_proxy_without_a_node() -> AsyncIterator[tuple[int, list[None]]]:
    """Accepts, and hangs up; gives its port and the tries so far."""
    tries: list[None] = []

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tries.append(None)
        writer.close()

    async with await asyncio.start_server(hang_up, LOOPBACK, 0) as server:
        yield server.sockets[0].getsockname()[1], tries


@contextlib.asynccontextmanager
async def _kept(link: Link) -> AsyncIterator[None]:
    task = asyncio.create_task(link.keep())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
