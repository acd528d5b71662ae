"""The outbox relay: a hand-out leaves it only when the broker has confirmed it, or nobody needs it any more."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from support.commander_stage import Stage, eventually, running, turns

from mission_broker.memory_server import Stored
from mission_broker.port import Message, Outcome
from mission_commander.domain import life
from mission_commander.domain.life import Moment
from mission_commander.domain.payload_store import PayloadStore
from mission_commander.domain.record import Mission
from mission_commander.ports import LedgerAwayError
from mission_commander.services import outbox as module
from mission_commander.services.outbox import Outbox
from mission_contracts import messages, topology
from mission_contracts.mission import Priority

Move = Callable[[Mission, Moment], Mission | None]

QUEUE = topology.orders_of("default", "default")


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    # Sweeps come too late to help, except where a test is about them.
    monkeypatch.setattr(module, "SWEEP_SECONDS", 60)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(module, "AWAY_SECONDS", 0.05)


@pytest.fixture
def quick_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.05)


@asynccontextmanager
async def relaying(stage: Stage) -> AsyncIterator[Outbox]:
    outbox = Outbox(stage.ledger, stage.broker, stage.memory, stage.order_seals)
    stage.recorder.on_hand_out(outbox.add)
    stage.recorder.on_doubt(outbox.doubt)
    await stage.broker.declare(topology.queues_of("default", "default"))
    async with running(stage.recorder.run, outbox.run):
        yield outbox


def orders(stage: Stage, queue: topology.Queue = QUEUE) -> list[messages.Order]:
    held = stage.broker.server.find(queue.name)
    waiting: Sequence[Stored] = list(held._waiting) if held else []
    return [messages.decode(stored.body, messages.Order) for stored in waiting]


async def settled(stage: Stage, outbox: Outbox) -> None:
    await eventually(lambda: not stage.store.data.outbox and not outbox.depth, "the outbox is empty")


async def test_a_hand_out_is_published_and_leaves_the_outbox(stage: Stage) -> None:
    async with relaying(stage) as outbox:
        mission = await stage.accept("m-1", b'{"width":640}')
        await settled(stage, outbox)
    [order] = orders(stage)
    assert (order.envelope, order.epoch, bytes(order.payload)) == (mission.envelope, mission.epoch, b'{"width":640}')


async def test_a_mission_of_high_priority_travels_in_the_queue_of_its_own(stage: Stage) -> None:
    async with relaying(stage) as outbox:
        await stage.accept("m-1", priority=Priority.HIGH)
        await settled(stage, outbox)
    assert [order.envelope.mission_id for order in orders(stage, topology.queues_of("default", "default")[0])] == [
        "m-1"
    ]


async def test_orders_travel_in_the_order_of_their_hand_out(stage: Stage) -> None:
    async with relaying(stage) as outbox:
        for number in range(30):
            await stage.accept(f"m-{number}")
        await settled(stage, outbox)
    assert [order.envelope.mission_id for order in orders(stage)] == [f"m-{number}" for number in range(30)]


@pytest.mark.parametrize("arrived", [True, False], ids=["it had arrived", "it had not arrived"])
async def test_a_lost_confirm_is_published_again_under_the_same_epoch(stage: Stage, arrived: bool) -> None:
    async with relaying(stage) as outbox:
        stage.broker.lose_confirms(1, arrived=arrived)
        mission = await stage.accept("m-1")
        await settled(stage, outbox)
    assert [order.epoch for order in orders(stage)] == [mission.epoch] * (2 if arrived else 1)


async def test_without_broker_hand_outs_wait_and_go_when_it_is_back(stage: Stage) -> None:
    async with relaying(stage) as outbox:
        stage.broker.cut()
        await stage.accept("m-1")
        await turns()
        assert (outbox.depth, len(stage.store.data.outbox)) == (1, 1)
        stage.broker.mend()
        await settled(stage, outbox)
    assert len(orders(stage)) == 1


async def test_a_blocked_broker_is_waited_for(stage: Stage) -> None:
    async with relaying(stage) as outbox:
        stage.broker.block()
        await stage.accept("m-1")
        await turns()
        assert outbox.depth == 1
        stage.broker.unblock()
        await settled(stage, outbox)


async def test_a_deleted_queue_is_declared_again(stage: Stage) -> None:
    async with relaying(stage) as outbox:
        stage.broker.server.delete(QUEUE.name)
        await stage.accept("m-1")
        await settled(stage, outbox)
    assert len(orders(stage)) == 1


@pytest.mark.usefixtures("quick_sweeps")
async def test_without_ledger_confirmed_orders_are_noted_later(stage: Stage) -> None:
    async with relaying(stage) as outbox:
        outbox.stop()
        await stage.accept("m-1")
        stage.ledger.cut()
        outbox.start()
        await eventually(lambda: orders(stage), "the order is published from memory")
        stage.ledger.mend()
        await settled(stage, outbox)


async def test_a_payload_that_memory_lacks_is_fetched(stage: Stage) -> None:
    async with relaying(stage) as outbox:
        outbox.stop()
        mission = await stage.accept("m-1", b'{"width":640}')
        stage.memory._payloads.drop(mission.id)
        outbox.start()
        await settled(stage, outbox)
    assert bytes(orders(stage)[0].payload) == b'{"width":640}'
    assert orders(stage)[0].envelope == mission.envelope


async def test_payloads_beyond_the_budget_are_read_a_few_at_a_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BYTES_IN_FLIGHT", 3_000)
    stage.memory._payloads = PayloadStore(max_bytes=0)
    published: list[int] = []
    publish = stage.broker.publish

    async def note(some: Sequence[Message], timeout_seconds: float = 10) -> Sequence[Outcome]:
        published.append(sum(len(message.body) for message in some))
        return await publish(some, timeout_seconds)

    monkeypatch.setattr(stage.broker, "publish", note)
    async with relaying(stage) as outbox:
        outbox.stop()
        for number in range(40):
            await stage.accept(f"m-{number}", b'"' + b"x" * 998 + b'"')
        assert stage.memory.payload_bytes == 0
        outbox.start()
        await settled(stage, outbox)
    assert [order.envelope.mission_id for order in orders(stage)] == [f"m-{number}" for number in range(40)]
    assert max(published) < 3 * 2_000, "each with its envelope"


async def test_hand_outs_that_wait_are_bounded_and_the_others_are_found_in_the_ledger(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", 5)
    async with relaying(stage) as outbox:
        outbox.stop()
        for number in range(40):
            await stage.accept(f"m-{number}")
        assert outbox.depth <= 5
        outbox.start()
        await settled(stage, outbox)
    assert {order.envelope.mission_id for order in orders(stage)} == {f"m-{number}" for number in range(40)}


async def test_while_it_is_stopped_nothing_is_published(stage: Stage) -> None:
    async with relaying(stage) as outbox:
        outbox.stop()
        await stage.accept("m-1")
        await turns(50)
        assert outbox.is_stopped
        assert not orders(stage)
        outbox.start()
        await settled(stage, outbox)
        assert not outbox.is_stopped


@pytest.mark.parametrize("end", [life.cancel, life.suspend])
async def test_what_nobody_needs_any_more_is_not_published(stage: Stage, end: Move) -> None:
    async with relaying(stage) as outbox:
        outbox.stop()
        mission = await stage.accept("m-1")
        await stage.move(mission, end)
        outbox.start()
        await settled(stage, outbox)
    assert not orders(stage)


async def test_after_a_restart_the_sweep_finds_what_was_left_in_its_order(stage: Stage) -> None:
    async with running(stage.recorder.run):
        for number in range(20):
            await stage.accept(f"m-{number}")
    restarted = stage.another()
    await restarted.feed.load()
    async with relaying(restarted) as outbox:
        await settled(restarted, outbox)
    assert [order.envelope.mission_id for order in orders(stage)] == [f"m-{number}" for number in range(20)]


async def test_after_a_restart_what_has_ended_leaves_the_outbox_too(stage: Stage) -> None:
    async with running(stage.recorder.run):
        await stage.cancel(await stage.accept("m-1"))
    restarted = stage.another()
    await restarted.feed.load()  # live missions only
    assert stage.store.data.outbox
    async with relaying(restarted) as outbox:
        await settled(restarted, outbox)
    assert not orders(stage)


async def test_after_a_restart_what_was_purged_leaves_the_outbox_too(stage: Stage) -> None:
    async with running(stage.recorder.run):
        await stage.cancel(await stage.accept("m-1"))
        stage.clock.turn(1)
        await stage.ledger.purge(stage.clock.now(), 10)
    restarted = stage.another()
    async with relaying(restarted) as outbox:
        await settled(restarted, outbox)


@pytest.mark.usefixtures("quick_sweeps")
async def test_what_another_commander_handed_out_is_left_to_it_at_first(stage: Stage) -> None:
    other = stage.another()
    async with relaying(stage) as outbox, running(other.recorder.run):
        mission = await other.accept("m-1")
        await eventually(lambda: orders(stage), "two sweeps found it")
        await settled(stage, outbox)
    assert [order.epoch for order in orders(stage)] == [mission.epoch]


async def test_what_was_handed_out_without_a_word_is_published_at_once(stage: Stage) -> None:
    """Also where the ledger is away for a while when it is looked for."""
    async with relaying(stage) as outbox:
        await turns()
        stage.ledger.answers_to_lose = 1
        with pytest.raises(LedgerAwayError):
            await stage.accept("m-1")
        stage.ledger.cut()
        await turns()
        stage.ledger.mend()
        await eventually(lambda: orders(stage), "no sweep had to come")
        await settled(stage, outbox)


async def test_a_later_hand_out_than_memory_heard_of_is_published(stage: Stage) -> None:
    other = stage.another()
    async with relaying(stage) as outbox, running(other.recorder.run):
        first = await stage.accept("m-1")
        await settled(stage, outbox)
        await other.feed.load()
        released = await other.move(await other.claim(first), lambda one, moment: life.release(one, one.epoch, moment))
        outbox.doubt()
        await settled(stage, outbox)
    assert [order.epoch for order in orders(stage)] == [first.epoch, released.epoch]


async def test_a_relay_that_starts_again_takes_up_what_was_in_flight(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    outbox = Outbox(stage.ledger, stage.broker, stage.memory, stage.order_seals)
    stage.recorder.on_hand_out(outbox.add)
    async with running(stage.recorder.run):
        with monkeypatch.context() as broken:
            broken.setattr(stage.broker, "publish", never)
            async with running(outbox.run):
                await stage.accept("m-1")
                await eventually(lambda: outbox._in_flight, "it is being published")
        async with running(outbox.run):
            await settled(stage, outbox)


async def test_a_hand_out_that_was_overtaken_is_published_in_its_newest_epoch_only(stage: Stage) -> None:
    async with relaying(stage) as outbox:
        outbox.stop()
        first = await stage.accept("m-1")
        second: Mission = await stage.move(first, lambda one, at: life.return_undelivered(one, first.epoch, at))
        outbox.start()
        await settled(stage, outbox)
    assert [order.epoch for order in orders(stage)] == [second.epoch]


# Queues that do not answer


@pytest.fixture
def quick_renewals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GONE_SECONDS", 0.01)


def silence(stage: Stage, queue: topology.Queue = QUEUE) -> None:
    held = stage.broker.server.find(queue.name)
    assert held is not None
    held.is_silent = True


async def test_a_queue_that_does_not_answer_delays_no_other(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBES_BEFORE_RENEWAL", 1_000_000)
    high = topology.orders_of("default", "default", Priority.HIGH)
    async with relaying(stage) as outbox:
        silence(stage, high)
        await stage.accept("m-1", priority=Priority.HIGH)
        await eventually(lambda: outbox.silent_queues == [high.name], "the silence is noticed")
        for number in range(5):
            await stage.accept(f"n-{number}")
        await stage.accept("m-2", priority=Priority.HIGH)

        await eventually(lambda: len(orders(stage)) == 5, "the others are published")
        await eventually(lambda: outbox.depth == 2, "only those of the silent queue wait")
    assert len(stage.store.data.outbox) == 2


async def test_a_queue_that_answers_again_gets_each_order_once(stage: Stage) -> None:
    async with relaying(stage) as outbox:
        silence(stage)
        for number in range(3):
            await stage.accept(f"m-{number}")
        await eventually(lambda: outbox.silent_queues == [QUEUE.name], "the silence is noticed")
        held = stage.broker.server.find(QUEUE.name)
        assert held is not None
        held.is_silent = False
        await settled(stage, outbox)
        assert outbox.silent_queues == []
    assert sorted(order.envelope.mission_id for order in orders(stage)) == ["m-0", "m-1", "m-2"]


async def test_a_queue_that_stays_silent_is_made_anew(stage: Stage, quick_renewals: None) -> None:
    async with relaying(stage) as outbox:
        silence(stage)
        await stage.accept("m-1")
        await settled(stage, outbox)
    assert [order.envelope.mission_id for order in orders(stage)] == ["m-1"]


async def test_a_silent_queue_with_something_in_it_is_left_alone(stage: Stage, quick_renewals: None) -> None:
    async with relaying(stage) as outbox:
        await stage.accept("m-1")
        await settled(stage, outbox)
        silence(stage)
        await stage.accept("m-2")
        await eventually(lambda: outbox.silent_queues == [QUEUE.name], "the silence is noticed")
        await asyncio.sleep(0.2)  # some twenty tries
        assert [order.envelope.mission_id for order in orders(stage)] == ["m-1"]
        assert outbox.silent_queues == [QUEUE.name]


@pytest.mark.usefixtures("quick_renewals")
async def test_a_silent_queue_that_took_an_order_is_never_deleted_though_the_broker_sees_nothing_in_it(
    stage: Stage,
) -> None:
    async with relaying(stage) as outbox:
        await stage.accept("m-1")
        await settled(stage, outbox)
        held = stage.broker.server.find(QUEUE.name)
        assert held is not None
        hidden, held._waiting = held._waiting, deque()  # RabbitMQ says 0 ready of a queue without a leader
        silence(stage)
        await stage.accept("m-2")
        await eventually(lambda: outbox.silent_queues == [QUEUE.name], "the silence is noticed")
        await asyncio.sleep(0.2)  # some twenty tries
        assert stage.broker.server.find(QUEUE.name) is held
        held._waiting, held.is_silent = hidden, False
        await settled(stage, outbox)
    assert [order.envelope.mission_id for order in orders(stage)] == ["m-1", "m-2"]


@pytest.mark.usefixtures("quick_renewals")
async def test_without_ledger_no_silent_queue_is_deleted(stage: Stage) -> None:
    async with relaying(stage) as outbox:
        silence(stage)
        held = stage.broker.server.find(QUEUE.name)
        outbox.stop()
        await stage.accept("m-1")
        stage.ledger.cut()
        outbox.start()
        await eventually(lambda: outbox.silent_queues == [QUEUE.name], "the silence is noticed")
        await asyncio.sleep(0.2)
        assert stage.broker.server.find(QUEUE.name) is held
        stage.ledger.mend()
        await settled(stage, outbox)


async def test_a_stopped_outbox_tries_no_silent_queue(stage: Stage, quick_renewals: None) -> None:
    async with relaying(stage) as outbox:
        silence(stage)
        await stage.accept("m-1")
        await eventually(lambda: outbox.silent_queues == [QUEUE.name], "the silence is noticed")
        outbox.stop()
        await asyncio.sleep(0.1)
        found = stage.broker.server.find(QUEUE.name)
        await asyncio.sleep(0.1)
        assert stage.broker.server.find(QUEUE.name) is found
        outbox.start()
        await settled(stage, outbox)


async def test_what_is_claimed_or_over_meanwhile_is_not_waited_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBES_BEFORE_RENEWAL", 1_000_000)
    async with relaying(stage) as outbox:
        silence(stage)
        mission = await stage.accept("m-1")
        await eventually(lambda: outbox.silent_queues == [QUEUE.name], "the silence is noticed")
        await stage.cancel(mission)
        await settled(stage, outbox)
        await eventually(lambda: outbox.silent_queues == [], "nothing waits for it any more")
