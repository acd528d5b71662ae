"""Orders whose queue was deleted or purged: found by two looks, and published again under the same epoch."""

from collections.abc import AsyncIterator

import pytest
from support.commander_stage import (
    HEARTBEAT_SECONDS,
    LEASE_SECONDS,
    SOLDIER,
    Stage,
    a_beat,
    a_soldier,
    eventually,
    running,
    turns,
)

from mission_commander.domain.record import Mission
from mission_commander.domain.vanishing import LONGEST_PAUSE_SECONDS, OVERTAKEN_SECONDS
from mission_commander.ports import EraChangedError, OutboxEntry
from mission_commander.services.outbox import Outbox
from mission_commander.services.vanished import Vanished
from mission_contracts import messages, metrics, topology
from mission_contracts.mission import Epoch, Era, Priority

QUEUE = topology.orders_of("default", "default")
TWO_BEATS = 2 * HEARTBEAT_SECONDS


class Scene:
    """One Commander whose orders get lost; the test turns the clock and takes the looks."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.era = stage.recorder.era
        self.outbox = Outbox(stage.ledger, stage.broker, stage.memory, stage.order_seals)
        self.vanished = Vanished(
            stage.ledger,
            stage.broker,
            stage.memory,
            stage.garrison,
            self.outbox,
            stage.clock,
            heartbeat_seconds=HEARTBEAT_SECONDS,
            lease_seconds=LEASE_SECONDS,
            era=lambda: self.era,
            counts=stage.counts,
        )
        self.beats = 0

    def republished(self) -> int:
        """How many orders were published again so far."""
        return self.stage.counts.number(metrics.REPUBLISHED)

    async def published(self) -> None:
        await eventually(lambda: not self.stage.store.data.outbox and not self.outbox.depth, "the outbox is empty")

    def purge(self, queue: topology.Queue = QUEUE) -> None:
        self.stage.broker.server.purge(queue.name)

    async def beat(self, *, unclaimed: tuple[Mission, ...] = (), held: tuple[Mission, ...] = ()) -> None:
        self.beats += 1
        assert await self.stage.garrison.beat(SOLDIER, a_beat(self.beats, *held, unclaimed=unclaimed))

    async def two_looks(self, **in_hand: tuple[Mission, ...]) -> None:
        """Look, let two beats pass in which the soldier says what it has, and look again."""
        await self.vanished.look()
        await self.a_look_later(**in_hand)

    async def a_look_later(self, **in_hand: tuple[Mission, ...]) -> None:
        self.stage.clock.turn(TWO_BEATS)
        await self.beat(**in_hand)
        await self.vanished.look()


@pytest.fixture
async def scene(stage: Stage) -> AsyncIterator[Scene]:
    scene = Scene(stage)
    stage.recorder.on_hand_out(scene.outbox.add)
    await stage.broker.declare(topology.queues_of("default", "default"))
    await stage.garrison.register(a_soldier())
    await scene.beat()
    async with running(stage.recorder.run, scene.outbox.run):
        yield scene


async def lost(scene: Scene, mission_id: str = "m-1", priority: Priority = Priority.NORMAL) -> Mission:
    """A mission whose order was confirmed, and then purged from its queue."""
    mission = await scene.stage.accept(mission_id, priority=priority)
    await scene.published()
    scene.purge(topology.orders_of("default", "default", priority))
    return mission


def orders(scene: Scene, queue: topology.Queue = QUEUE) -> list[tuple[str, Epoch]]:
    held = scene.stage.broker.server.find(queue.name)
    waiting = list(held._waiting) if held else []
    read = [messages.decode(stored.body, messages.Order) for stored in waiting]
    return [(order.envelope.mission_id, order.epoch) for order in read]


@pytest.mark.parametrize("priority", Priority)
async def test_a_purged_order_is_published_again_under_the_same_epoch(scene: Scene, priority: Priority) -> None:
    mission = await lost(scene, priority=priority)
    await scene.two_looks()
    await scene.published()
    assert orders(scene, topology.orders_of("default", "default", priority)) == [("m-1", mission.epoch)]
    assert scene.stage.record(mission).epoch == mission.epoch


async def test_the_orders_of_a_deleted_queue_are_published_again_into_a_new_one(scene: Scene) -> None:
    missions = [await scene.stage.accept(f"m-{number}") for number in range(3)]
    await scene.published()
    scene.stage.broker.server.delete(QUEUE.name)
    await scene.two_looks()
    await scene.published()
    assert orders(scene) == [(one.id, one.epoch) for one in missions]


async def test_one_look_is_not_enough(scene: Scene) -> None:
    await lost(scene)
    await scene.vanished.look()
    assert not scene.republished()


async def test_an_order_that_waits_in_its_queue_is_left_there(scene: Scene) -> None:
    await scene.stage.accept()
    await scene.published()
    await scene.two_looks()
    assert not scene.republished()


async def test_an_order_in_a_soldiers_hands_is_left_there(scene: Scene) -> None:
    mission = await lost(scene)
    await scene.two_looks(unclaimed=(mission,))
    await scene.a_look_later(unclaimed=(mission,))
    assert not scene.republished()


async def test_an_order_that_waits_for_its_confirm_is_left_there(scene: Scene) -> None:
    scene.stage.broker.cut()
    await scene.stage.accept()
    await scene.two_looks()
    scene.outbox.stop()
    scene.stage.broker.mend()
    await scene.two_looks()
    assert not scene.republished()


async def test_while_the_broker_holds_nothing_back_a_claimed_mission_is_no_ones_loss(scene: Scene) -> None:
    mission = await scene.stage.claim(await lost(scene))
    await scene.two_looks(held=(mission,))
    assert not scene.republished()


async def test_a_soldier_that_has_not_spoken_since_the_first_look_may_have_it(scene: Scene) -> None:
    await lost(scene)
    await scene.vanished.look()
    scene.stage.clock.turn(TWO_BEATS)
    await scene.vanished.look()
    assert not scene.republished(), "nobody knows what the soldier has"
    await scene.a_look_later()
    assert scene.republished() == 1


async def test_a_soldier_that_is_silent_for_a_lease_is_not_waited_for(scene: Scene) -> None:
    await lost(scene)
    for _ in range(2):
        scene.stage.clock.turn(LEASE_SECONDS + 1)
        await scene.vanished.look()
    assert scene.republished() == 1


async def test_in_a_queue_that_is_never_empty_an_overtaken_order_has_vanished(scene: Scene) -> None:
    mission = await lost(scene)
    await scene.vanished.look()
    scene.stage.clock.turn(OVERTAKEN_SECONDS)
    waits, later = await scene.stage.accept("waits"), await scene.stage.accept("later")
    await scene.published()
    await scene.a_look_later()
    assert not scene.republished(), "it may be the one that waits in the queue"
    later = await scene.stage.claim(later)
    await scene.a_look_later(held=(later,))
    await scene.published()
    assert orders(scene) == [(one.id, one.epoch) for one in (waits, later, mission)]


async def test_an_order_that_vanishes_each_time_is_published_ever_more_seldom(scene: Scene) -> None:
    await lost(scene)
    looks = 200
    for _ in range(looks):
        await scene.a_look_later()
        await scene.published()
        scene.purge()
    seconds = looks * TWO_BEATS
    assert 3 <= scene.republished() <= 10 + seconds / LONGEST_PAUSE_SECONDS


async def test_what_another_commander_has_put_into_the_outbox_is_left_to_it(scene: Scene) -> None:
    mission = await lost(scene)
    await scene.vanished.look()
    await scene.stage.another().ledger.put_back(scene.era, [OutboxEntry(mission.id, mission.epoch)])
    await scene.a_look_later()
    assert not scene.republished()


async def test_what_was_seen_before_a_fault_proves_nothing_after_it(scene: Scene) -> None:
    await lost(scene)
    await scene.vanished.look()
    scene.stage.broker.cut()
    await scene.a_look_later()
    scene.stage.broker.mend()
    await scene.a_look_later()
    assert not scene.republished()
    await scene.a_look_later()
    assert scene.republished() == 1


async def test_nothing_is_put_back_into_a_ledger_of_another_era(scene: Scene) -> None:
    await lost(scene)
    scene.era = Era(scene.era + 1)
    with pytest.raises(EraChangedError):
        await scene.two_looks()
    assert not scene.stage.store.data.outbox
    await turns()
    assert not orders(scene)
