"""A real broker for a test: a connection that is up, and the administrator's hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiormq
from tools.stack.tcp_proxy import TcpProxy
from yarl import URL

from mission_broker import aiopika, rabbitmq
from mission_contracts.topology import Queue

CONNECT_SECONDS = 15


@asynccontextmanager
async def connected_broker(
    *urls: str, name: str, heartbeat_seconds: int = 10, rpc_timeout_seconds: float = 10
) -> AsyncIterator[rabbitmq.RabbitMQBroker]:
    settings = rabbitmq.RabbitMQSettings(
        urls=urls, name=name, heartbeat_seconds=heartbeat_seconds, rpc_timeout_seconds=rpc_timeout_seconds
    )
    async with rabbitmq.connect(settings) as broker:
        assert await broker.wait_connected(CONNECT_SECONDS), f"RabbitMQ is not connected in {CONNECT_SECONDS} s"
        yield broker


@asynccontextmanager
async def connected_by_aiopika(url: str, *, name: str) -> AsyncIterator[aiopika.AioPikaBroker]:
    async with aiopika.connect(rabbitmq.RabbitMQSettings(urls=(url,), name=name, heartbeat_seconds=10)) as broker:
        assert await broker.wait_connected(CONNECT_SECONDS), f"RabbitMQ is not connected in {CONNECT_SECONDS} s"
        yield broker


async def delete_queue(url: str, queue: Queue) -> None:
    async with aiormq.connect(url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(queue.name)


async def purge_queue(url: str, queue: Queue) -> int:
    """Forget what waits in a queue; says how much that was."""
    async with aiormq.connect(url) as connection:
        channel = await connection.channel()
        return int((await channel.queue_purge(queue.name)).message_count or 0)


def through(proxy: TcpProxy, url: str) -> str:
    """The same broker, by way of a proxy."""
    return str(URL(url).with_host("127.0.0.1").with_port(proxy.port))
