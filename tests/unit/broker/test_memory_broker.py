"""What only the in-memory twin can do: fail on command."""

import asyncio

import pytest
from support.broker_probe import AckingInbox, a_queue, consuming, eventually, ready_becomes, several, to

from mission_broker.memory import MemoryBroker
from mission_broker.port import Away, BrokerAwayError, Outcome
from mission_contracts.topology import CONTROL, Queue


@pytest.fixture
async def broker() -> MemoryBroker:
    broker = MemoryBroker()
    await broker.declare([a_queue()])
    return broker


async def test_a_cut_kills_deliveries_and_mending_brings_them_again(broker: MemoryBroker) -> None:
    await broker.publish(several(a_queue(), 2))
    async with consuming(broker, a_queue()) as (inbox, consumer):
        held = [*await inbox.holds(2)]
        broker.cut()
        assert not consumer.is_consuming
        assert not any(delivery.is_alive for delivery in held)
        held[0].ack()
        broker.mend()
        again = (await inbox.holds(4))[2:]

        assert all(delivery.redelivered for delivery in again)
        assert sorted(delivery.body for delivery in again) == [b"0", b"1"]


async def test_one_client_can_be_cut_while_another_works(broker: MemoryBroker) -> None:
    other = MemoryBroker(broker.server)
    broker.cut()

    assert await broker.publish([to(a_queue(), "x")]) == [Outcome.UNKNOWN]
    assert await other.publish([to(a_queue(), "y")]) == [Outcome.CONFIRMED]
    with pytest.raises(BrokerAwayError):
        await broker.ready_count(a_queue())
    with pytest.raises(BrokerAwayError):
        await broker.declare([a_queue("later")])
    broker.mend()
    assert await broker.ready_count(a_queue()) == 1
    assert await broker.ready_count(a_queue("later")) == 0


async def test_a_consumer_that_began_during_a_cut_begins_when_it_is_mended(broker: MemoryBroker) -> None:
    broker.cut()
    inbox = AckingInbox()
    async with broker.consume(a_queue(), inbox, prefetch=1) as consumer:
        assert not consumer.is_consuming
        broker.mend()
        await broker.publish([to(a_queue(), "x")])
        await inbox.one()


async def test_waiting_for_a_connection_ends_when_it_is_mended(broker: MemoryBroker) -> None:
    broker.cut()
    assert not await broker.wait_connected(0.01)
    waiting = asyncio.create_task(broker.wait_connected(10))
    await asyncio.sleep(0)
    broker.mend()
    assert await waiting


async def test_a_blocked_broker_takes_nothing_and_still_delivers(broker: MemoryBroker) -> None:
    await broker.publish([to(a_queue(), "before")])
    broker.block()
    assert broker.away is Away.BLOCKED
    assert await broker.publish([to(a_queue(), "during")]) == [Outcome.UNKNOWN]
    async with consuming(broker, a_queue(), AckingInbox()) as (inbox, _):
        await inbox.one()
    broker.unblock()
    assert await broker.publish([to(a_queue(), "after")]) == [Outcome.CONFIRMED]


@pytest.mark.parametrize(("arrived", "waiting"), [(True, 3), (False, 1)])
async def test_a_lost_confirm_says_nothing_about_the_message(broker: MemoryBroker, arrived: bool, waiting: int) -> None:
    broker.lose_confirms(2, arrived=arrived)

    outcomes = await broker.publish(several(a_queue(), 3))

    assert outcomes == [Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.CONFIRMED]
    await ready_becomes(broker, a_queue(), waiting)


async def test_a_purge_forgets_what_waits_and_keeps_what_is_held(broker: MemoryBroker) -> None:
    await broker.publish(several(a_queue(), 3))
    async with consuming(broker, a_queue(), prefetch=1) as (inbox, _):
        await inbox.one()
        assert broker.server.purge(a_queue().name) == 2
    await ready_becomes(broker, a_queue(), 1)


async def test_a_process_own_queue_ends_with_its_connection(broker: MemoryBroker) -> None:
    hints = Queue(name="probe.hints", bound_to=CONTROL, key="", transient=True)
    other = MemoryBroker(broker.server)
    async with consuming(broker, hints, AckingInbox()) as (inbox, consumer):
        broker.cut()
        assert await other.ready_count(hints) is None
        broker.mend()
        await eventually(lambda: consumer.is_consuming, "it is made again")
        await other.publish([to(hints, "hint")])
        await inbox.one()


async def test_a_consumer_that_left_is_not_brought_back_by_a_vanished_queue(broker: MemoryBroker) -> None:
    async with consuming(broker, a_queue()):
        broker.server.delete(a_queue().name)
    await asyncio.sleep(0)

    assert await broker.ready_count(a_queue()) is None
