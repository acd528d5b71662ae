"""Looking into `missions.rejected` on both brokers: everything is seen, and nothing is taken."""

from collections.abc import AsyncIterator

import pytest
from support.broker_probe import Inbox, consuming, eventually, ready_becomes
from support.rabbitmq_probe import connected_broker

from mission_broker import rejecting
from mission_broker.memory import MemoryBroker
from mission_broker.port import Broker, Message
from mission_commander.services import rejected
from mission_commander.services.rejected import RejectedMessages
from mission_contracts.topology import FIXED_QUEUES, REJECTED

COUNT = 150


class RejectedContract:
    """`broker` is a connection to a broker that nobody else uses."""

    async def test_all_are_seen_newest_first_and_stay(self, broker: Broker) -> None:
        await _fill(broker, COUNT)
        looker = RejectedMessages(broker)
        for _ in range(3):
            page = await looker.look(COUNT)
            assert (page.count, page.read) == (COUNT, COUNT)
            assert [one.body for one in page.rejected] == [str(number) for number in reversed(range(COUNT))]
            await ready_becomes(broker, REJECTED, COUNT)
        async with consuming(broker, REJECTED, Inbox(), prefetch=COUNT) as (inbox, _):
            await eventually(lambda: len(inbox.bodies) == COUNT, "all are there to be consumed")
            assert sorted(inbox.bodies, key=int) == [str(number) for number in range(COUNT)]

    async def test_no_more_than_a_bound_are_taken_out(self, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rejected, "MOST_READ", 20)
        await _fill(broker, COUNT)
        page = await RejectedMessages(broker).look(5)
        assert (page.count, page.read) == (COUNT, 20)
        assert [one.body for one in page.rejected] == ["19", "18", "17", "16", "15"]
        await ready_becomes(broker, REJECTED, COUNT)

    async def test_what_somebody_else_holds_is_not_waited_for_for_ever(
        self, broker: Broker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rejected, "READING_SECONDS", 0.1)
        await _fill(broker, 3)
        looker = RejectedMessages(broker)
        seen = await broker.ready_count(REJECTED)
        async with consuming(broker, REJECTED, Inbox(), prefetch=2) as (inbox, _):
            await eventually(lambda: len(inbox.bodies) == 2, "somebody holds two of them")
            page = await looker.look(10)
            assert seen == 3
            assert (page.count, page.read) == (1, 1)


async def _fill(broker: Broker, count: int) -> None:
    await broker.declare(FIXED_QUEUES)
    await broker.publish(
        [
            Message(
                exchange=REJECTED.bound_to,
                key=REJECTED.key,
                body=str(number).encode(),
                headers={rejecting.AT_HEADER: f"{1_800_000_000 + number}"},
            )
            for number in range(count)
        ]
    )
    await ready_becomes(broker, REJECTED, count)


class TestMemoryBroker(RejectedContract):
    @pytest.fixture
    def broker(self) -> Broker:
        return MemoryBroker()


@pytest.mark.real
class TestRabbitMQBroker(RejectedContract):
    @pytest.fixture
    async def broker(self, amqp_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
        async with connected_broker(amqp_url, name=request.node.name) as broker:
            yield broker
