"""amqps: a node's certificate is checked before a byte of AMQP, and with it the password, is sent."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from aiormq.exceptions import AMQPConnectionError
from tools.stack import certificates
from tools.stack.ports import free_port

from mission_broker.rabbitmq.connection import open_connection
from mission_broker.rabbitmq.settings import RabbitMQSettings

GREETING: Final = b"AMQP\x00\x00\x09\x01"


class Node:
    """A TLS server that notes what it is told, and hangs up."""

    def __init__(self, port: int) -> None:
        self.heard = b""
        self.port = port

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard += await reader.read(len(GREETING))
        writer.close()


@asynccontextmanager
async def a_node(pair: certificates.Certificates) -> AsyncIterator[Node]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.serving, pair.serving_key)
    node = Node(free_port())
    async with await asyncio.start_server(node.answer, ["127.0.0.1", "127.0.0.2"], node.port, ssl=context) as server:
        assert len(server.sockets) == 2
        yield node


def settings(authority: Path | None) -> RabbitMQSettings:
    return RabbitMQSettings(urls=("amqps://unused",), name="test", authority_file=authority, connect_timeout_seconds=5)


async def test_a_node_of_the_given_authority_is_spoken_to(tmp_path: Path) -> None:
    pair = certificates.write(tmp_path)
    async with a_node(pair) as node:
        with pytest.raises((AMQPConnectionError, OSError)):  # this node hangs up in the middle of the handshake
            await open_connection(f"amqps://127.0.0.1:{node.port}/", "test", settings(pair.serving))
    assert node.heard == GREETING


@pytest.mark.parametrize("believes_another", [False, True], ids=["the system's authorities", "another authority"])
async def test_a_node_of_any_other_authority_hears_nothing(tmp_path: Path, believes_another: bool) -> None:
    pair = certificates.write(tmp_path)
    (tmp_path / "other").mkdir()
    authority = certificates.write(tmp_path / "other").serving if believes_another else None
    async with a_node(pair) as node:
        with pytest.raises(ssl.SSLCertVerificationError):
            await open_connection(f"amqps://127.0.0.1:{node.port}/", "test", settings(authority))
    assert node.heard == b""


async def test_a_certificate_of_another_name_is_not_believed(tmp_path: Path) -> None:
    pair = certificates.write(tmp_path)
    async with a_node(pair) as node:
        with pytest.raises(ssl.SSLCertVerificationError, match=r"127\.0\.0\.2"):
            await open_connection(f"amqps://127.0.0.2:{node.port}/", "test", settings(pair.serving))
    assert node.heard == b""
