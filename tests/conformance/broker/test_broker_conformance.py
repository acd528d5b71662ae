"""One suite, three subjects: what holds for RabbitMQ, by either client, holds for its in-memory twin."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from support.broker_probe import (
    EXCHANGE,
    AckingInbox,
    Inbox,
    a_queue,
    consuming,
    eventually,
    ready_becomes,
    several,
    to,
)
from support.rabbitmq_probe import connected_broker, connected_by_aiopika, delete_queue

from mission_broker.memory import MemoryBroker
from mission_broker.port import Broker, Message, Outcome
from mission_contracts.errors import Defect, UnreadableMessageError
from mission_contracts.messages import MAX_MESSAGE_BYTES, decode_status
from mission_contracts.topology import CONTROL, DEAD, FIXED_QUEUES, STATUS, Exchange, Queue, queues_of

Delete = Callable[[Queue], Awaitable[None]]

QUIET_SECONDS = 0.15
"""How long nothing must come before we believe that nothing comes."""


class BrokerContract:
    """`broker` and `other` are two connections to one broker that nobody else uses."""

    # Publishing

    async def test_a_message_in_a_queue_is_confirmed(self, broker: Broker) -> None:
        await broker.declare([a_queue()])

        assert await broker.publish([to(a_queue(), "one")]) == [Outcome.CONFIRMED]

    async def test_a_message_for_no_queue_is_unroutable_and_its_neighbours_are_confirmed(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        nowhere = Message(exchange=EXCHANGE, key="nobody", body=b"x")

        outcomes = await broker.publish([to(a_queue(), "a"), nowhere, to(a_queue(), "b"), nowhere])

        assert outcomes == [Outcome.CONFIRMED, Outcome.UNROUTABLE, Outcome.CONFIRMED, Outcome.UNROUTABLE]

    async def test_an_exchange_that_nobody_declared_has_no_queue(self, broker: Broker) -> None:
        message = Message(exchange=Exchange("probe.unheard-of"), key="k", body=b"x")

        assert await broker.publish([message]) == [Outcome.UNROUTABLE]

    async def test_publishing_nothing_is_nothing(self, broker: Broker) -> None:
        assert list(await broker.publish([])) == []

    async def test_many_publishers_at_once_each_get_their_own_outcomes(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        nowhere = Message(exchange=EXCHANGE, key="nobody", body=b"x")

        outcomes = await asyncio.gather(
            *(broker.publish([to(a_queue(), "x"), nowhere] if n % 2 else [to(a_queue(), "x")]) for n in range(100))
        )

        assert all(o == [Outcome.CONFIRMED, Outcome.UNROUTABLE] for o in outcomes[1::2])
        assert all(o == [Outcome.CONFIRMED] for o in outcomes[::2])
        await ready_becomes(broker, a_queue(), 100)

    async def test_a_publisher_that_is_cancelled_disturbs_nobody(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        impatient = asyncio.create_task(broker.publish(several(a_queue(), 50)))
        await asyncio.sleep(0)
        impatient.cancel()

        assert await broker.publish([to(a_queue(), "after")]) == [Outcome.CONFIRMED]

    async def test_a_fanout_reaches_every_queue(self, broker: Broker) -> None:
        queues = [Queue(name=f"probe.control.{n}", bound_to=CONTROL, key="", transient=True) for n in range(2)]
        await broker.declare(queues)
        async with consuming(broker, queues[0]) as (first, _), consuming(broker, queues[1]) as (second, _):
            assert await broker.publish([Message(exchange=CONTROL, key="", body=b"hint")]) == [Outcome.CONFIRMED]

            assert (await first.one()).body == (await second.one()).body == b"hint"

    # Content

    async def test_messages_arrive_in_the_order_of_their_publishing(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        await broker.publish(several(a_queue(), 300))
        await broker.publish([to(a_queue(), "last")])

        async with consuming(broker, a_queue(), prefetch=500) as (inbox, _):
            await inbox.holds(301)

        assert inbox.bodies == [*(str(n) for n in range(300)), "last"]

    async def test_what_arrives_together_is_handed_over_together(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        await broker.publish(several(a_queue(), 200))

        async with consuming(broker, a_queue(), prefetch=200) as (inbox, _):
            await inbox.holds(200)

        assert inbox.batches < 100

    async def test_headers_survive_the_journey(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        headers = {"reason": "späte Ankunft ✓", "empty": "", "long": "x" * 5_000}
        await broker.publish([Message(exchange=EXCHANGE, key=a_queue().key, body=b"", headers=headers)])

        async with consuming(broker, a_queue()) as (inbox, _):
            delivery = await inbox.one()

        assert dict(delivery.headers) == headers
        assert delivery.body == b""

    @pytest.mark.parametrize("size", [1, 131_063, 131_064, 131_065, 256 * 1024, 1_000_003])
    async def test_a_body_of_any_size_arrives_whole(self, broker: Broker, size: int) -> None:
        await broker.declare([a_queue()])
        body = bytes(itertools.islice(itertools.cycle(b"mission control"), size))
        await broker.publish([to(a_queue(), body), to(a_queue(), "next")])

        async with consuming(broker, a_queue()) as (inbox, _):
            first, second = await inbox.holds(2)

        assert first.body == body
        assert second.body == b"next"

    async def test_a_body_beyond_the_bound_is_known_to_be_too_large_and_the_next_one_arrives(
        self, broker: Broker
    ) -> None:
        await broker.declare([a_queue()])
        await broker.publish([to(a_queue(), b"x" * (2 * MAX_MESSAGE_BYTES)), to(a_queue(), "next")])
        async with consuming(broker, a_queue()) as (inbox, _):
            first, second = await inbox.holds(2)
        with pytest.raises(UnreadableMessageError) as refused:
            decode_status(first.body)
        assert refused.value.defect is Defect.TOO_LARGE
        assert second.body == b"next"

    async def test_a_delivery_whose_body_is_forgotten_can_still_be_settled(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        await broker.publish(several(a_queue(), 2))
        async with consuming(broker, a_queue()) as (inbox, _):
            first, second = await inbox.holds(2)
            for delivery in (first, second):
                delivery.forget_body()
            first.ack()
            second.give_back()
            assert (await inbox.holds(3))[2].body == b"1", "it comes again whole"

    async def test_what_is_given_back_in_order_comes_again_in_order_before_what_waits(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        await broker.publish(several(a_queue(), 5))
        async with consuming(broker, a_queue(), prefetch=3) as (inbox, consumer):
            held = await inbox.holds(3)
            await consumer.hold(0)
            for delivery in held:
                delivery.give_back()
            await asyncio.sleep(QUIET_SECONDS)
            consumer.set_prefetch(5)
            assert [one.body for one in (await inbox.holds(8))[3:]] == [b"0", b"1", b"2", b"3", b"4"]

    # The three ways a delivery ends

    async def test_what_is_acknowledged_never_comes_back(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        await broker.publish(several(a_queue(), 20))
        async with consuming(broker, a_queue()) as (inbox, _):
            for delivery in await inbox.holds(20):
                delivery.ack()

        await ready_becomes(broker, a_queue(), 0)
        async with consuming(broker, a_queue()) as (again, _):
            await asyncio.sleep(QUIET_SECONDS)
        assert again.bodies == []

    async def test_only_what_was_acknowledged_is_gone(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        await broker.publish(several(a_queue(), 10))
        async with consuming(broker, a_queue()) as (inbox, _):
            deliveries = await inbox.holds(10)
            for number in (9, 0, 1, 4):
                deliveries[number].ack()
            await asyncio.sleep(0)
            deliveries[2].ack()

        await ready_becomes(broker, a_queue(), 5)
        async with consuming(broker, a_queue()) as (rest, _):
            await rest.holds(5)
        assert sorted(rest.bodies) == ["3", "5", "6", "7", "8"]

    async def test_what_is_given_back_comes_again_and_says_so(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        await broker.publish([to(a_queue(), "again", kind="order")])
        async with consuming(broker, a_queue()) as (inbox, _):
            first = await inbox.one()
            assert not first.redelivered
            first.give_back()
            second = (await inbox.holds(2))[1]

        assert second.redelivered
        assert (second.body, second.headers["kind"]) == (b"again", "order")

    async def test_a_dead_letter_lands_where_the_queue_says_with_its_headers(self, broker: Broker) -> None:
        doomed = a_queue(dead_letters_to=a_queue("dead"))
        await broker.declare([doomed])
        await broker.publish([to(doomed, "poison", mission="m-1")])
        async with consuming(broker, doomed) as (inbox, _), consuming(broker, a_queue("dead")) as (graves, _):
            (await inbox.one()).dead_letter()
            grave = await graves.one()

        assert grave.body == b"poison"
        assert grave.headers["mission"] == "m-1"
        assert grave.headers["x-first-death-queue"] == doomed.name
        assert grave.headers["x-first-death-reason"] == "rejected"

    async def test_returns_beyond_the_limit_make_a_dead_letter(self, broker: Broker) -> None:
        doomed = a_queue(delivery_limit=2, dead_letters_to=a_queue("dead"))
        await broker.declare([doomed])
        await broker.publish([to(doomed, "poison")])
        async with consuming(broker, doomed) as (inbox, _), consuming(broker, a_queue("dead")) as (graves, _):
            for tries in range(1, 4):
                (await inbox.holds(tries))[-1].give_back()
            grave = await graves.one()

        assert len(inbox.deliveries) == 3
        assert grave.headers["x-first-death-reason"] == "delivery_limit"

    async def test_the_second_word_about_a_delivery_is_ignored(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        await broker.publish(several(a_queue(), 2))
        async with consuming(broker, a_queue()) as (inbox, _):
            first, second = await inbox.holds(2)
            first.ack()
            first.give_back()
            first.ack()
            await asyncio.sleep(0)
            first.dead_letter()
            second.ack()
            await asyncio.sleep(QUIET_SECONDS)
            assert len(inbox.deliveries) == 2

        await ready_becomes(broker, a_queue(), 0)

    async def test_mixed_words_in_one_breath_each_reach_their_own_message(self, broker: Broker) -> None:
        queue = a_queue(dead_letters_to=a_queue("dead"))
        await broker.declare([queue])
        await broker.publish(several(queue, 9))
        async with consuming(broker, queue, prefetch=9) as (inbox, consumer):
            deliveries = await inbox.holds(9)
            await consumer.pause()
            for number, delivery in enumerate(deliveries):
                (delivery.ack, delivery.give_back, delivery.dead_letter)[number % 3]()

            await ready_becomes(broker, queue, 3)
            await ready_becomes(broker, a_queue("dead"), 3)
        async with consuming(broker, queue) as (rest, _):
            assert sorted(d.body for d in await rest.holds(3)) == [b"1", b"4", b"7"]

    async def test_leaving_gives_back_what_was_held(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        await broker.publish(several(a_queue(), 3))
        async with consuming(broker, a_queue()) as (inbox, _):
            held = await inbox.holds(3)
            held[0].ack()
        assert not held[1].is_alive
        held[1].ack()  # too late: nobody hears it

        async with consuming(broker, a_queue()) as (again, _):
            await again.holds(2)
        assert sorted(again.bodies) == ["1", "2"]
        assert all(delivery.redelivered for delivery in again.deliveries)

    # Prefetch

    async def test_prefetch_bounds_what_is_held(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        await broker.publish(several(a_queue(), 10))
        async with consuming(broker, a_queue(), prefetch=4) as (inbox, _):
            await inbox.holds(4)
            await asyncio.sleep(QUIET_SECONDS)
            assert len(inbox.deliveries) == 4
            await ready_becomes(broker, a_queue(), 6)

            inbox.deliveries[0].ack()
            inbox.deliveries[1].ack()
            await inbox.holds(6)
            await asyncio.sleep(QUIET_SECONDS)
            assert len(inbox.deliveries) == 6

    async def test_prefetch_can_grow_and_loses_nothing(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        await broker.publish(several(a_queue(), 10))
        async with consuming(broker, a_queue(), prefetch=1) as (inbox, consumer):
            held = await inbox.one()
            consumer.set_prefetch(20)
            await inbox.holds(10)
            assert held.is_alive
            for delivery in inbox.deliveries:
                delivery.ack()
            await ready_becomes(broker, a_queue(), 0)

        assert inbox.bodies == [str(n) for n in range(10)]
        await ready_becomes(broker, a_queue(), 0)

    async def test_prefetch_can_shrink_and_what_is_held_stays(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        await broker.publish(several(a_queue(), 5))
        async with consuming(broker, a_queue(), prefetch=5) as (inbox, consumer):
            for delivery in await inbox.holds(5):
                delivery.ack()
            await ready_becomes(broker, a_queue(), 0)
            consumer.set_prefetch(2)
            await asyncio.sleep(QUIET_SECONDS)
            await broker.publish(several(a_queue(), 5))
            await inbox.holds(7)
            await asyncio.sleep(QUIET_SECONDS)
            assert len(inbox.deliveries) == 7

    async def test_a_changed_prefetch_counts_what_is_held_already(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        await broker.publish(several(a_queue(), 20))
        async with consuming(broker, a_queue(), prefetch=5) as (inbox, consumer):
            await inbox.holds(5)
            await consumer.hold(8)
            await inbox.holds(8)
            await consumer.hold(4)
            for delivery in inbox.deliveries[:4]:
                delivery.ack()
            await asyncio.sleep(QUIET_SECONDS)
            assert len(inbox.deliveries) == 8, "4 are held still"
            inbox.deliveries[4].ack()
            await inbox.holds(9)
            await asyncio.sleep(QUIET_SECONDS)
            assert len(inbox.deliveries) == 9

    async def test_a_changed_prefetch_is_reached_again_when_what_was_held_before_is_settled(
        self, broker: Broker
    ) -> None:
        await broker.declare([a_queue()])
        await broker.publish(several(a_queue(), 20))
        async with consuming(broker, a_queue(), prefetch=3) as (inbox, consumer):
            before = list(await inbox.holds(3))
            await consumer.hold(4)
            await inbox.holds(4)
            for delivery in before:
                delivery.ack()
            await inbox.holds(7)
            await asyncio.sleep(QUIET_SECONDS)
            assert len(inbox.deliveries) == 7

    async def test_who_holds_nothing_for_a_while_is_still_there_and_what_it_gives_back_goes_to_others(
        self, broker: Broker
    ) -> None:
        await broker.declare([a_queue()])
        await broker.publish(several(a_queue(), 2))
        async with consuming(broker, a_queue(), prefetch=2) as (inbox, consumer):
            held = list(await inbox.holds(2))
            await consumer.hold(0)
            assert consumer.is_consuming
            for delivery in held:
                delivery.give_back()
            await ready_becomes(broker, a_queue(), 2)
            async with consuming(broker, a_queue()) as (other, _):
                await other.holds(2)
            assert len(inbox.deliveries) == 2
            consumer.set_prefetch(1)
            await inbox.holds(3)

    async def test_a_prefetch_without_bound_is_refused(self, broker: Broker) -> None:
        with pytest.raises(ValueError, match="prefetch"):
            async with broker.consume(a_queue(), Inbox(), prefetch=0):
                pass

    async def test_a_paused_consumer_takes_no_more_and_keeps_what_it_has(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        await broker.publish(several(a_queue(), 2))
        async with consuming(broker, a_queue()) as (inbox, consumer):
            held = await inbox.holds(2)
            await consumer.pause()
            assert not consumer.is_consuming
            await broker.publish([to(a_queue(), "later")])
            await asyncio.sleep(QUIET_SECONDS)
            assert len(inbox.deliveries) == 2
            assert all(delivery.is_alive for delivery in held)
            held[0].ack()
            await ready_becomes(broker, a_queue(), 1)

        await ready_becomes(broker, a_queue(), 2)

    # Several consumers

    async def test_two_consumers_share_the_work(self, broker: Broker, other: Broker) -> None:
        await broker.declare([a_queue()])
        async with consuming(broker, a_queue()) as (mine, _), consuming(other, a_queue()) as (theirs, _):
            await broker.publish(several(a_queue(), 20))
            await eventually(lambda: len(mine.deliveries) + len(theirs.deliveries) == 20, "all 20 are handed out")
            shares = (mine.bodies, theirs.bodies)

        assert all(shares)
        assert sorted(shares[0] + shares[1], key=int) == [str(n) for n in range(20)]

    async def test_of_two_on_a_single_consumer_queue_one_works_and_the_other_takes_over(
        self, broker: Broker, other: Broker
    ) -> None:
        queue = a_queue(single_active_consumer=True)
        await broker.declare([queue])
        async with consuming(other, queue) as (second, waiting), AsyncExitStack() as stack:
            await waiting.pause()
            first, _ = await stack.enter_async_context(consuming(broker, queue))
            third, _ = await stack.enter_async_context(consuming(other, queue))
            await broker.publish(several(queue, 3))
            await first.holds(3)
            await asyncio.sleep(QUIET_SECONDS)
            assert (second.bodies, third.bodies) == ([], [])
            first.deliveries[0].ack()
            await broker.publish([to(queue, "3")])
            await first.holds(4)

        async with consuming(other, queue) as (heir, _):
            await heir.holds(3)
        assert heir.bodies == ["1", "2", "3"]

    async def test_the_next_consumer_takes_over_when_the_single_one_leaves(self, broker: Broker, other: Broker) -> None:
        queue = a_queue(single_active_consumer=True)
        await broker.declare([queue])
        async with AsyncExitStack() as stack:
            async with consuming(broker, queue) as (first, _):
                heir, _ = await stack.enter_async_context(consuming(other, queue))
                await broker.publish([to(queue, "held")])
                await first.one()
                assert heir.bodies == []
            taken_over = await heir.one()

            assert (taken_over.body, taken_over.redelivered) == (b"held", True)

    async def test_the_next_consumer_takes_over_when_the_single_one_pauses(self, broker: Broker, other: Broker) -> None:
        queue = a_queue(single_active_consumer=True)
        await broker.declare([queue])
        async with consuming(broker, queue, AckingInbox()) as (first, consumer), consuming(other, queue) as (heir, _):
            await broker.publish([to(queue, "mine")])
            await first.one()
            await consumer.pause()
            await broker.publish([to(queue, "yours")])

            assert (await heir.one()).body == b"yours"

    # Queues

    async def test_the_whole_topology_of_mission_control_can_be_declared(self, broker: Broker) -> None:
        queues = [*FIXED_QUEUES, *queues_of("space", "default")]
        await broker.declare(queues)
        await broker.declare(queues)

        assert [await broker.ready_count(queue) for queue in queues] == [0] * len(queues)

    async def test_declaring_again_keeps_what_waits(self, broker: Broker, other: Broker) -> None:
        await broker.declare([a_queue()])
        await broker.publish(several(a_queue(), 2))
        await broker.declare([a_queue()])
        await other.declare([a_queue()])

        await ready_becomes(other, a_queue(), 2)

    async def test_where_dead_letters_go_is_declared_with_the_queue(self, broker: Broker) -> None:
        await broker.declare([a_queue(dead_letters_to=DEAD)])

        assert await broker.ready_count(DEAD) == 0

    async def test_only_what_waits_is_ready(self, broker: Broker) -> None:
        await broker.declare([a_queue()])
        await broker.publish(several(a_queue(), 5))
        async with consuming(broker, a_queue(), prefetch=2) as (inbox, _):
            await inbox.holds(2)
            await ready_becomes(broker, a_queue(), 3)

        await ready_becomes(broker, a_queue(), 5)

    async def test_a_queue_that_does_not_exist_has_no_count_and_the_next_question_works(self, broker: Broker) -> None:
        await broker.declare([a_queue()])

        assert await broker.ready_count(a_queue("nobody")) is None
        assert await broker.ready_count(a_queue()) == 0
        assert await asyncio.gather(*(broker.ready_count(a_queue("nobody")) for _ in range(5))) == [None] * 5

    async def test_a_consumer_brings_its_queue_along(self, broker: Broker) -> None:
        async with consuming(broker, STATUS) as (inbox, _):
            assert await broker.publish([to(STATUS, "report")]) == [Outcome.CONFIRMED]
            assert (await inbox.one()).body == b"report"

    async def test_a_forgotten_queue_is_deleted_when_nobody_needs_it(self, broker: Broker) -> None:
        await broker.declare([a_queue("empty"), a_queue("full"), a_queue("used")])
        await broker.publish([to(a_queue("full"), "x")])
        async with consuming(broker, a_queue("used")):
            await broker.forget([a_queue("empty"), a_queue("full"), a_queue("used"), a_queue("never-was")])

            assert await broker.ready_count(a_queue("empty")) is None
            assert await broker.ready_count(a_queue("full")) == 1
            assert await broker.ready_count(a_queue("used")) == 0
            await broker.publish([to(a_queue("full"), "y")])
            await ready_becomes(broker, a_queue("full"), 2)

    async def test_a_queue_that_has_vanished_is_made_again_for_its_consumer(
        self, broker: Broker, other: Broker, delete: Delete
    ) -> None:
        await broker.declare([a_queue()])
        async with consuming(broker, a_queue()) as (inbox, consumer):
            await broker.publish([to(a_queue(), "lost")])
            lost = await inbox.one()
            await delete(a_queue())
            await eventually(lambda: not lost.is_alive, "the lost queue's delivery is dead")
            lost.ack()
            await eventually(lambda: consumer.is_consuming, "the consumer is back")

            assert await other.publish([to(a_queue(), "new")]) == [Outcome.CONFIRMED]
            await inbox.holds(2)
            assert inbox.bodies == ["lost", "new"]

    # Robustness

    async def test_a_callback_that_raises_ends_nobody(self, broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
        class Clumsy(Inbox):
            def __call__(self, deliveries: object) -> None:
                super().__call__(deliveries)  # type: ignore[arg-type]
                if len(self.deliveries) == 1:
                    raise RuntimeError("clumsy")

        await broker.declare([a_queue()])
        async with consuming(broker, a_queue(), Clumsy()) as (inbox, _):
            await broker.publish([to(a_queue(), "x")])
            second = (await inbox.holds(2))[1]

        assert second.redelivered
        assert "clumsy" in caplog.text


class TestMemoryBroker(BrokerContract):
    @pytest.fixture
    async def broker(self) -> MemoryBroker:
        return MemoryBroker()

    @pytest.fixture
    async def other(self, broker: MemoryBroker) -> MemoryBroker:
        return MemoryBroker(broker.server)

    @pytest.fixture
    def delete(self, broker: MemoryBroker) -> Delete:
        async def delete(queue: Queue) -> None:
            broker.server.delete(queue.name)

        return delete


@pytest.mark.real
class TestRabbitMQBroker(BrokerContract):
    @pytest.fixture
    async def broker(self, amqp_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
        async with connected_broker(amqp_url, name=request.node.name) as broker:
            yield broker

    @pytest.fixture
    async def other(self, amqp_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
        async with connected_broker(amqp_url, name=f"other {request.node.name}") as broker:
            yield broker

    @pytest.fixture
    def delete(self, amqp_url: str) -> Delete:
        return lambda queue: delete_queue(amqp_url, queue)


@pytest.mark.real
class TestAioPikaBroker(BrokerContract):
    @pytest.fixture
    async def broker(self, amqp_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
        async with connected_by_aiopika(amqp_url, name=request.node.name) as broker:
            yield broker

    @pytest.fixture
    async def other(self, amqp_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
        async with connected_by_aiopika(amqp_url, name=f"other {request.node.name}") as broker:
            yield broker

    @pytest.fixture
    def delete(self, amqp_url: str) -> Delete:
        return lambda queue: delete_queue(amqp_url, queue)
