"""The hook into aiormq, held against the real thing: these fail when aiormq changes underneath."""

import asyncio
from collections.abc import AsyncIterator
from importlib.metadata import version

import pytest
from pamqp import commands
from support.broker_probe import eventually
from tools import stack

from mission_broker.rabbitmq import RabbitMQSettings
from mission_broker.rabbitmq.channel import Channel, ChannelLostError
from mission_broker.rabbitmq.connection import Connection, open_connection
from mission_broker.rabbitmq.tap import ConnectionLostError

pytestmark = pytest.mark.real


@pytest.fixture
async def connection(amqp_url: str) -> AsyncIterator[Connection]:
    settings = RabbitMQSettings(urls=(amqp_url,), name="tap", heartbeat_seconds=2)
    connection = await open_connection(amqp_url, "test", settings)
    yield connection
    await connection.close()


def test_aiormq_is_of_the_kind_that_the_tap_knows() -> None:
    assert version("aiormq").startswith("7.")


async def test_aiormq_keeps_channel_0_and_sees_none_of_ours(connection: Connection) -> None:
    channel = await connection.channel(Channel)
    await channel.rpc(commands.Basic.Qos(prefetch_count=1))

    assert connection._connection.is_opened
    assert connection._connection.channels == {}
    assert connection._connection.connection_tune.heartbeat == 2


async def test_a_lost_connection_ends_aiormqs_tasks_and_our_channels(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    channel = await connection.channel(Channel)
    underneath = connection._connection
    connection._tap.abort(ConnectionLostError("pulled"))

    assert not channel.is_open
    assert not connection.is_open
    await eventually(lambda: underneath.is_closed, "aiormq knows that its connection is closed")
    await eventually(lambda: underneath._reader_task.done() and underneath._writer_task.done(), "its tasks end")
    assert not [record for record in caplog.records if record.name.startswith("aiormq")]


async def test_a_farewell_is_answered_by_the_broker(connection: Connection) -> None:
    async with asyncio.timeout(2):
        await connection.close()

    assert "closed by its user" not in str(connection.lost.result()), "the broker closed first, as it was asked to"


async def test_answers_go_to_their_questions_also_when_asked_together(connection: Connection) -> None:
    channel = await connection.channel(Channel)
    declared = [channel.ask(commands.Queue.Declare(queue=f"tap.{n}", exclusive=True, arguments={})) for n in range(20)]

    names = [(await answer).queue for answer in declared]  # type: ignore[attr-defined]
    assert names == [f"tap.{n}" for n in range(20)]


async def test_an_error_costs_its_channel_and_its_number_is_used_again(connection: Connection) -> None:
    channel, neighbour = await connection.channel(Channel), await connection.channel(Channel)

    with pytest.raises(ChannelLostError, match="404"):
        await channel.rpc(commands.Queue.Declare(queue="nobody", passive=True, arguments={}))
    with pytest.raises(ChannelLostError):
        await channel.rpc(commands.Basic.Qos(prefetch_count=1))

    assert neighbour.is_open
    assert (await connection.channel(Channel)).number == channel.number


async def test_a_question_without_an_answer_ends_its_channel(connection: Connection) -> None:
    channel = await connection.channel(Channel)
    channel.timeout_seconds = 0.05

    with pytest.raises(ChannelLostError, match="no answer"):
        await channel.rpc(commands.Basic.Qos(prefetch_count=1), commands.Queue.Declare(queue="q", nowait=True))
    assert not channel.is_open


async def test_the_broker_sees_who_we_are(rabbitmq_server: stack.RabbitServer) -> None:
    url = rabbitmq_server.fresh_vhost()
    connection = await open_connection(url, "publish", RabbitMQSettings(urls=(url,), name="commander-7"))
    try:
        known = await asyncio.to_thread(
            rabbitmq_server.evaluate, "rabbit_networking:connection_info_all([client_properties])."
        )
    finally:
        await connection.close()

    assert "commander-7 publish" in known
