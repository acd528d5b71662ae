"""What RabbitMQ and the network do to us, and what is left of it afterwards. Every fault is real."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiormq
import pytest
from pamqp.common import FieldValue
from support.broker_probe import AckingInbox, Inbox, a_queue, consuming, eventually, ready_becomes, several, to
from support.rabbitmq_probe import connected_broker, delete_queue, through
from tools import stack
from tools.stack.tcp_proxy import TcpProxy
from yarl import URL

from mission_broker import rabbitmq
from mission_broker.port import Away, BrokerAwayError, Outcome
from mission_broker.rabbitmq import consuming as consuming_module
from mission_broker.rabbitmq import publishing, topology
from mission_contracts.topology import CONTROL, Queue

pytestmark = pytest.mark.real

SET_ALARM = "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})."
CLEAR_ALARM = "rabbit_alarm:clear_alarm({resource_limit, memory, node()})."
LAME = (
    '{ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"%s">>, queue, <<"%s">>)), '
    "ra:stop_server(quorum_queues, amqqueue:get_pid(Queue))."
)
CLOSE_ALL = (
    '[rabbit_networking:close_connection(Pid, "closed by an administrator") || Pid <- rabbit_networking:connections()].'
)

AT_ONCE_SECONDS = 2.0
"""Far below any timeout of ours, far above what an idle machine needs."""


@pytest.fixture
async def proxy(amqp_url: str) -> AsyncIterator[TcpProxy]:
    url = URL(amqp_url)
    async with TcpProxy(url.host or "", url.port or 5672) as proxy:
        yield proxy


@pytest.fixture
async def broker(
    amqp_url: str, proxy: TcpProxy, request: pytest.FixtureRequest
) -> AsyncIterator[rabbitmq.RabbitMQBroker]:
    """A broker behind a network that can break."""
    async with connected_broker(through(proxy, amqp_url), name=request.node.name) as broker:
        yield broker


@pytest.fixture
async def steady(amqp_url: str) -> AsyncIterator[rabbitmq.RabbitMQBroker]:
    """Somebody else, on a network that holds."""
    async with connected_broker(amqp_url, name="steady") as broker:
        yield broker


# The connection is cut


async def test_after_a_cut_publishing_and_consuming_go_on(
    broker: rabbitmq.RabbitMQBroker, proxy: TcpProxy, steady: rabbitmq.RabbitMQBroker
) -> None:
    await broker.declare([a_queue()])
    async with consuming(broker, a_queue(), AckingInbox()) as (inbox, consumer):
        for round_ in range(3):
            proxy.cut()
            await eventually(lambda: broker.away is Away.DISCONNECTED, "the cut is noticed")
            assert await broker.wait_connected(10)
            await eventually(lambda: consumer.is_consuming, "the consumer is back")
            assert await broker.publish([to(a_queue(), f"a{round_}")]) == [Outcome.CONFIRMED]
            await inbox.holds(2 * round_ + 1)
            assert await steady.publish([to(a_queue(), f"b{round_}")]) == [Outcome.CONFIRMED]
            await inbox.holds(2 * round_ + 2)


async def test_what_was_held_at_a_cut_is_delivered_again_and_the_old_words_are_silent(
    broker: rabbitmq.RabbitMQBroker, proxy: TcpProxy
) -> None:
    await broker.declare([a_queue()])
    await broker.publish(several(a_queue(), 3))
    async with consuming(broker, a_queue()) as (inbox, _):
        first = [*await inbox.holds(3)]
        proxy.cut()
        await eventually(lambda: not any(delivery.is_alive for delivery in first), "the deliveries are dead")
        for delivery in first:
            delivery.ack()
        again = (await inbox.holds(6))[3:]

        assert all(delivery.redelivered for delivery in again)
        assert sorted(inbox.bodies[3:]) == ["0", "1", "2"]
        for delivery in again:
            delivery.ack()
        await ready_becomes(broker, a_queue(), 0)
    await ready_becomes(broker, a_queue(), 0)


async def test_publishes_in_flight_are_unknown_at_once_when_the_connection_is_cut(
    broker: rabbitmq.RabbitMQBroker, proxy: TcpProxy
) -> None:
    await broker.declare([a_queue()])
    await broker.publish([to(a_queue(), "warm")])
    proxy.stall_answers()
    publishes = [asyncio.create_task(broker.publish(several(a_queue(), 600), 60)) for _ in range(3)]
    await asyncio.sleep(0.1)
    assert not any(task.done() for task in publishes)

    proxy.cut()
    async with asyncio.timeout(AT_ONCE_SECONDS):
        for task in publishes:
            assert await task == [Outcome.UNKNOWN] * 600


async def test_while_nobody_answers_everything_is_unknown_at_once_and_comes_back_by_itself(
    broker: rabbitmq.RabbitMQBroker, proxy: TcpProxy
) -> None:
    await broker.declare([a_queue()])
    await proxy.refuse()
    await eventually(lambda: broker.away is Away.DISCONNECTED, "the loss is noticed")

    async with asyncio.timeout(AT_ONCE_SECONDS):
        assert await broker.publish(several(a_queue(), 2)) == [Outcome.UNKNOWN] * 2
        assert not await broker.wait_connected(0.05)
        with pytest.raises(BrokerAwayError, match="being tried again"):
            await broker.ready_count(a_queue())
        with pytest.raises(BrokerAwayError):
            await broker.declare([a_queue("later")])

    await proxy.restore()
    assert await broker.wait_connected(10)
    assert await broker.ready_count(a_queue("later")) == 0


async def test_a_consumer_may_begin_before_there_is_a_connection(
    broker: rabbitmq.RabbitMQBroker, proxy: TcpProxy, steady: rabbitmq.RabbitMQBroker
) -> None:
    await proxy.refuse()
    await eventually(lambda: broker.away is Away.DISCONNECTED, "the loss is noticed")
    inbox = Inbox()
    async with broker.consume(a_queue(), inbox, prefetch=5) as consumer:
        assert not consumer.is_consuming
        await proxy.restore()
        await eventually(lambda: consumer.is_consuming, "it consumes")
        await steady.publish([to(a_queue(), "x")])
        await inbox.one()


async def test_a_paused_consumer_stays_paused_over_a_cut(broker: rabbitmq.RabbitMQBroker, proxy: TcpProxy) -> None:
    await broker.declare([a_queue()])
    async with consuming(broker, a_queue()) as (inbox, consumer):
        await consumer.pause()
        proxy.cut()
        await eventually(lambda: broker.away is Away.DISCONNECTED, "the cut is noticed")
        assert await broker.wait_connected(10)
        await broker.publish([to(a_queue(), "x")])
        await ready_becomes(broker, a_queue(), 1)
        assert inbox.bodies == []


async def test_a_changed_prefetch_holds_after_a_cut(broker: rabbitmq.RabbitMQBroker, proxy: TcpProxy) -> None:
    await broker.declare([a_queue()])
    async with consuming(broker, a_queue(), prefetch=1) as (inbox, consumer):
        consumer.set_prefetch(3)
        proxy.cut()
        await eventually(lambda: broker.away is Away.DISCONNECTED, "the cut is noticed")
        assert await broker.wait_connected(10)
        await eventually(lambda: consumer.is_consuming, "the consumer is back")
        await broker.publish(several(a_queue(), 5))
        await inbox.holds(3)
        await ready_becomes(broker, a_queue(), 2)


# The connection is half open


async def test_a_half_open_connection_is_dropped_after_some_seconds_of_silence(
    amqp_url: str, proxy: TcpProxy, steady: rabbitmq.RabbitMQBroker
) -> None:
    async with connected_broker(through(proxy, amqp_url), name="half open", heartbeat_seconds=2) as broker:
        await broker.declare([a_queue()])
        async with consuming(broker, a_queue(), AckingInbox()) as (inbox, _):
            in_flight = asyncio.create_task(broker.publish([to(a_queue(), "x")], 60))
            await in_flight
            await inbox.holds(1)
            proxy.stall()
            lost = asyncio.create_task(broker.publish([to(a_queue(), "y")], 60))
            await eventually(lambda: broker.away is Away.DISCONNECTED, "silence is taken for loss", 8)
            assert await lost == [Outcome.UNKNOWN]

            proxy.cut()
            proxy.flow()
            assert await broker.wait_connected(10)
            await steady.publish([to(a_queue(), "z")])
            await eventually(lambda: "z" in inbox.bodies, "the consumer is back")


async def test_a_busy_and_an_idle_connection_both_outlive_many_heartbeats(amqp_url: str) -> None:
    async with connected_broker(amqp_url, name="steady heart", heartbeat_seconds=1) as broker:
        await broker.declare([a_queue()])
        async with consuming(broker, a_queue(), AckingInbox()) as (inbox, _):
            lost = asyncio.create_task(eventually(lambda: broker.away is not None, "never lost", 7))
            while not lost.done():
                await broker.publish([to(a_queue(), "x")])
                await asyncio.sleep(0.05)
            with pytest.raises(AssertionError, match="never lost"):
                await lost
            assert all(not delivery.redelivered for delivery in inbox.deliveries)


async def test_a_publish_that_nobody_answers_is_unknown_when_its_time_is_over(
    broker: rabbitmq.RabbitMQBroker, proxy: TcpProxy
) -> None:
    await broker.declare([a_queue()])
    proxy.stall_answers()
    async with asyncio.timeout(AT_ONCE_SECONDS):
        assert await broker.publish(several(a_queue(), 3), 0.2) == [Outcome.UNKNOWN] * 3

    proxy.flow()
    await ready_becomes(broker, a_queue(), 3)
    assert await broker.publish(several(a_queue(), 3)) == [Outcome.CONFIRMED] * 3


async def test_a_slow_network_costs_time_and_nothing_else(broker: rabbitmq.RabbitMQBroker, proxy: TcpProxy) -> None:
    await broker.declare([a_queue()])
    proxy.delay_seconds = 0.05
    async with consuming(broker, a_queue(), AckingInbox()) as (inbox, _):
        assert await broker.publish(several(a_queue(), 1_000)) == [Outcome.CONFIRMED] * 1_000
        await inbox.holds(1_000)
        assert inbox.bodies == [str(n) for n in range(1_000)]


# Nodes


async def test_a_dead_first_node_is_passed_over(amqp_url: str, proxy: TcpProxy) -> None:
    dead = through(proxy, amqp_url)
    await proxy.refuse()
    async with connected_broker(dead, amqp_url, name="second choice") as broker:
        await broker.declare([a_queue()])
        assert await broker.publish([to(a_queue(), "x")]) == [Outcome.CONFIRMED]


async def test_a_node_that_accepts_and_says_nothing_is_passed_over(amqp_url: str, proxy: TcpProxy) -> None:
    proxy.stall()
    settings = rabbitmq.RabbitMQSettings(
        urls=(through(proxy, amqp_url), amqp_url), name="third choice", connect_timeout_seconds=0.5
    )
    async with rabbitmq.connect(settings) as broker:
        assert await broker.wait_connected(10)


async def test_when_its_node_goes_the_next_one_is_used(amqp_url: str, proxy: TcpProxy) -> None:
    async with connected_broker(through(proxy, amqp_url), amqp_url, name="moves on") as broker:
        await broker.declare([a_queue()])
        async with consuming(broker, a_queue(), AckingInbox()) as (inbox, _):
            await proxy.refuse()
            await eventually(lambda: broker.away is Away.DISCONNECTED, "the loss is noticed")
            assert await broker.wait_connected(10)
            await broker.publish([to(a_queue(), "x")])
            await inbox.one()


async def test_a_wrong_password_is_tried_again_and_never_told(amqp_url: str, caplog: pytest.LogCaptureFixture) -> None:
    wrong = str(URL(amqp_url).with_password("not-the-secret"))
    async with rabbitmq.connect(rabbitmq.RabbitMQSettings(urls=(wrong,), name="stranger")) as broker:
        assert not await broker.wait_connected(1)
        assert broker.away is Away.DISCONNECTED

    assert "cannot connect" in caplog.text
    assert "not-the-secret" not in caplog.text


# The broker says no


async def test_a_channel_that_the_broker_closes_is_opened_again(broker: rabbitmq.RabbitMQBroker, amqp_url: str) -> None:
    await broker.declare([a_queue()])
    await broker.publish([to(a_queue(), "before")])
    async with aiormq.connect(amqp_url) as connection:
        await (await connection.channel()).exchange_delete(a_queue().bound_to.name)

    async with asyncio.timeout(AT_ONCE_SECONDS):
        assert await broker.publish([to(a_queue(), "x")], 60) == [Outcome.UNKNOWN]
    assert await broker.wait_connected(10)
    assert await broker.publish([to(a_queue(), "y")]) == [Outcome.CONFIRMED]


async def test_an_error_on_one_consumers_channel_leaves_its_neighbour_alone(broker: rabbitmq.RabbitMQBroker) -> None:
    await broker.declare([a_queue(), a_queue("neighbour")])
    await broker.publish([to(a_queue(), "x"), to(a_queue("neighbour"), "y")])
    async with consuming(broker, a_queue()) as (inbox, consumer), consuming(broker, a_queue("neighbour")) as (near, _):
        mine, held = await inbox.one(), await near.one()
        mine.tag += 1_000  # type: ignore[attr-defined]
        mine.ack()  # 406, unknown delivery tag
        again = (await inbox.holds(2))[1]

        assert again.redelivered
        assert held.is_alive
        # The broker's "consuming" and its first delivery may come in one read, and the consumer hears of both in turn.
        await eventually(lambda: consumer.is_consuming, "the consumer's channel is back")


async def test_a_consumer_that_the_broker_leaves_deaf_is_made_again(
    broker: rabbitmq.RabbitMQBroker, steady: rabbitmq.RabbitMQBroker, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quorum queue that is declared again right after its deletion keeps its consumers, and tells them nothing."""
    monkeypatch.setattr(consuming_module, "SILENT_SECONDS", 0.5)
    queue, inbox = a_queue(), AckingInbox()
    await broker.declare([queue])
    async with consuming(broker, queue, inbox, prefetch=4):
        await steady.publish(several(queue, 20))
        await inbox.holds(20)
        await delete_queue(amqp_url, queue)
        await steady.declare([queue])
        assert set(await steady.publish([to(queue, "after")] * 20)) == {Outcome.CONFIRMED}
        # Some of them may be lost, as all that was in the deleted queue is; the Commander publishes such orders again.
        await eventually(lambda: "after" in inbox.bodies, "it hears again")
        assert list(await steady.publish([to(queue, "at last")])) == [Outcome.CONFIRMED]
        await eventually(lambda: "at last" in inbox.bodies, "it goes on hearing")


async def test_a_queue_with_other_arguments_is_told_and_the_others_are_declared(
    broker: rabbitmq.RabbitMQBroker, steady: rabbitmq.RabbitMQBroker, proxy: TcpProxy, caplog: pytest.LogCaptureFixture
) -> None:
    await steady.declare([a_queue(delivery_limit=3)])

    await broker.declare([a_queue("before"), a_queue(delivery_limit=4), a_queue("after")])
    assert "refused to declare probe.work" in caplog.text
    assert "x-delivery-limit" in caplog.text
    assert await broker.ready_count(a_queue("after")) == 0

    proxy.cut()
    await eventually(lambda: broker.away is Away.DISCONNECTED, "the cut is noticed")
    assert await broker.wait_connected(10), "a refused queue must not keep the rest from coming back"


async def test_a_channel_full_of_unanswered_messages_starts_over(
    broker: rabbitmq.RabbitMQBroker, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "MAX_IN_FLIGHT", 300)
    await broker.declare([a_queue()])
    proxy.stall_answers()
    assert await broker.publish(several(a_queue(), 1_000), 0.3) == [Outcome.UNKNOWN] * 1_000
    proxy.flow()

    assert await broker.wait_connected(10)
    assert await broker.publish(several(a_queue(), 1_000)) == [Outcome.CONFIRMED] * 1_000


async def test_a_queue_that_is_full_refuses(broker: rabbitmq.RabbitMQBroker, amqp_url: str) -> None:
    async with aiormq.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.exchange_declare("probe", exchange_type="direct", durable=True)
        arguments: dict[str, FieldValue] = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}
        await channel.queue_declare("probe.full", durable=True, arguments=arguments)
        await channel.queue_bind("probe.full", "probe", "probe.full")

    outcomes = [outcome for _ in range(20) for outcome in await broker.publish([to(a_queue("full"), "x")])]
    assert outcomes[0] is Outcome.CONFIRMED
    assert outcomes[-1] is Outcome.REFUSED


async def test_a_message_that_does_not_fit_the_wire_is_refused_alone(broker: rabbitmq.RabbitMQBroker) -> None:
    await broker.declare([a_queue()])
    bad = to(a_queue(), "bad", **{"k" * 300: "v"})

    outcomes = await broker.publish([to(a_queue(), "a"), bad, to(a_queue(), "b")])

    assert outcomes == [Outcome.CONFIRMED, Outcome.REFUSED, Outcome.CONFIRMED]


# The broker itself


async def test_messages_and_consumers_outlive_a_killed_broker(rabbitmq_server: stack.RabbitServer) -> None:
    url = rabbitmq_server.fresh_vhost()
    async with connected_broker(url, name="survivor") as broker:
        await broker.declare([a_queue()])
        await asyncio.to_thread(rabbitmq_server.settle)
        async with consuming(broker, a_queue(), prefetch=2) as (inbox, consumer):
            assert await broker.publish(several(a_queue(), 5)) == [Outcome.CONFIRMED] * 5
            await inbox.holds(2)
            await asyncio.to_thread(rabbitmq_server.kill)
            await eventually(lambda: broker.away is Away.DISCONNECTED, "the kill is noticed")
            await asyncio.to_thread(rabbitmq_server.start)
            assert await broker.wait_connected(30)
            await eventually(lambda: consumer.is_consuming, "the consumer is back", 30)
            consumer.set_prefetch(10)
            await inbox.holds(7)

    assert sorted(inbox.bodies[2:]) == ["0", "1", "2", "3", "4"]


async def test_a_broker_short_of_memory_is_away_until_it_recovers(rabbitmq_server: stack.RabbitServer) -> None:
    url = rabbitmq_server.fresh_vhost()
    async with connected_broker(url, name="patient") as broker:
        await broker.declare([a_queue()])
        await broker.publish([to(a_queue(), "before")])
        async with consuming(broker, a_queue(), AckingInbox()) as (inbox, _):
            await asyncio.to_thread(rabbitmq_server.evaluate, SET_ALARM)
            try:
                # It says so to those who publish once the alarm has reached it, and to nobody else.
                async with asyncio.timeout(15):
                    while broker.away is not Away.BLOCKED:
                        await broker.publish([to(a_queue(), "during")], 0.2)
                async with asyncio.timeout(AT_ONCE_SECONDS):
                    assert await broker.publish([to(a_queue(), "refused")], 60) == [Outcome.UNKNOWN]
                assert await broker.ready_count(a_queue()) is not None, "asking and consuming still work"
            finally:
                await asyncio.to_thread(rabbitmq_server.evaluate, CLEAR_ALARM)
            assert await broker.wait_connected(10)
            assert await broker.publish([to(a_queue(), "after")]) == [Outcome.CONFIRMED]
            await eventually(lambda: "after" in inbox.bodies, "messages flow again")

    assert "refused" not in inbox.bodies


async def test_a_queue_that_nobody_answers_for_stops_none_of_the_others(rabbitmq_server: stack.RabbitServer) -> None:
    url = rabbitmq_server.fresh_vhost()
    lamed, well = a_queue("lamed"), a_queue()
    async with TcpProxy("127.0.0.1", rabbitmq_server.port) as proxy, AsyncExitStack() as contexts:
        broker = await contexts.enter_async_context(
            connected_broker(through(proxy, url), name="undaunted", rpc_timeout_seconds=1)
        )
        await broker.declare([lamed, well])
        inbox, consumer = await contexts.enter_async_context(consuming(broker, well, AckingInbox()))
        await asyncio.to_thread(rabbitmq_server.evaluate, LAME % (URL(url).path[1:], lamed.name))

        outcomes = await broker.publish([to(well, "a"), to(lamed, "x"), to(well, "b")], 1)
        assert outcomes[0] == outcomes[2] == Outcome.CONFIRMED
        assert outcomes[1] in (Outcome.UNKNOWN, Outcome.REFUSED)

        proxy.cut()
        await eventually(lambda: broker.away is Away.DISCONNECTED, "the cut is noticed")
        assert await broker.wait_connected(10)
        await eventually(lambda: consumer.is_consuming, "the consumer is back")
        assert await broker.publish([to(well, "c")]) == [Outcome.CONFIRMED]
        await eventually(lambda: "c" in inbox.bodies, "messages flow")


async def test_a_connection_that_the_broker_closes_is_made_again(
    rabbitmq_server: stack.RabbitServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as contexts:
        broker = await contexts.enter_async_context(connected_broker(rabbitmq_server.fresh_vhost(), name="unwanted"))
        inbox, consumer = await contexts.enter_async_context(consuming(broker, a_queue(), AckingInbox()))
        await asyncio.to_thread(rabbitmq_server.evaluate, CLOSE_ALL)
        # By what is told, for it may be over before rabbitmqctl has ended.
        await eventually(lambda: "closed by an administrator" in caplog.text, "the end is noticed")
        assert await broker.wait_connected(10)
        await eventually(lambda: consumer.is_consuming, "the consumer is back")
        await broker.publish([to(a_queue(), "x")])
        await inbox.one()

    assert not [record for record in caplog.records if record.name.startswith("aiormq")], "aiormq ended in good order"


# What the broker keeps of us


async def test_consumers_that_come_and_go_leave_no_channels(broker: rabbitmq.RabbitMQBroker) -> None:
    await broker.declare([a_queue()])
    connection = broker._consuming.connection
    assert connection is not None
    for _ in range(20):
        async with consuming(broker, a_queue()):
            await broker.ready_count(a_queue("nobody"))
    await asyncio.gather(*(broker.ready_count(a_queue()) for _ in range(10)))

    await eventually(lambda: len(connection._tap.endpoints) <= topology.MAX_CHANNELS, "only spare channels are open")


async def test_a_transient_queue_is_made_again_after_a_cut(broker: rabbitmq.RabbitMQBroker, proxy: TcpProxy) -> None:
    hints = Queue(name="probe.hints.me", bound_to=CONTROL, key="", transient=True)
    async with consuming(broker, hints, AckingInbox()) as (inbox, consumer):
        proxy.cut()
        await eventually(lambda: not consumer.is_consuming, "the cut is noticed")
        await eventually(lambda: consumer.is_consuming, "the consumer is back")
        assert await broker.wait_connected(10)
        await broker.publish([to(hints, "hint")])
        await inbox.one()


async def test_leaving_in_the_middle_of_everything_leaves_no_task_behind(amqp_url: str) -> None:
    before = asyncio.all_tasks()
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(connected_broker(amqp_url, name="leaver"))
        await stack.enter_async_context(broker.consume(a_queue(), Inbox(), prefetch=10))
        stack.enter_context(_ignored(asyncio.create_task(broker.publish(several(a_queue(), 500)))))
    await eventually(lambda: asyncio.all_tasks() <= before, f"all tasks end: {asyncio.all_tasks() - before}")


class _ignored:  # noqa: N801 - reads as a statement
    def __init__(self, task: "asyncio.Task[object]") -> None:
        self._task = task

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._task.cancel()
