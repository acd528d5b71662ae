"""How soldiers share: none keeps an order that another could start, High goes first, and Normal does not starve."""

import asyncio
from itertools import pairwise

import msgspec
import pytest
from support.broker_probe import eventually, ready_becomes
from support.fake_commander import an_order
from support.soldier_stage import HIGH, NORMAL, Stage, a_stage

from mission_broker.port import Delivery, Message
from mission_contracts import messages
from mission_contracts.messages import Order
from mission_contracts.mission import MissionId, Priority
from mission_soldier import Context, Soldier
from mission_soldier.book import Book
from mission_soldier.waiting import HIGH_IN_A_ROW, Received, Waiting


def an_order_of(priority: Priority, mission_id: str, mission_type: str = "gated") -> Order:
    envelope = an_order(mission_type, mission_id=mission_id).envelope
    return an_order(envelope=msgspec.structs.replace(envelope, priority=priority, mission_id=MissionId(mission_id)))


class Gates:
    """Missions that end when the test says so, in the order in which they began."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}
        self.soldier = Soldier()
        self.soldier.handler("gated")(self.gated)

    async def gated(self, ctx: Context) -> None:
        self.began.append(ctx.mission_id)
        self._gates[ctx.mission_id] = asyncio.Event()
        await self._gates[ctx.mission_id].wait()

    def end(self, mission_id: str) -> None:
        self._gates[mission_id].set()


async def hand_out(stage: Stage, priority: Priority, *mission_ids: str) -> None:
    queue = HIGH if priority is Priority.HIGH else NORMAL
    orders = [messages.encode(an_order_of(priority, mission_id)) for mission_id in mission_ids]
    await stage.broker.publish([Message(exchange=queue.bound_to, key=queue.key, body=body) for body in orders])


async def full_for_long(stage: Stage, gates: Gates) -> None:
    await hand_out(stage, Priority.NORMAL, "long")
    await eventually(lambda: gates.began == ["long"], "the only slot is taken")


async def test_what_a_full_soldier_cannot_start_goes_back_to_its_queue() -> None:
    gates = Gates()
    async with a_stage(gates.soldier, concurrency=1) as stage:
        await full_for_long(stage, gates)
        await hand_out(stage, Priority.HIGH, "high-1", "high-2")
        await hand_out(stage, Priority.NORMAL, "normal-1", "normal-2")
        await ready_becomes(stage.broker, HIGH, 2)
        await ready_becomes(stage.broker, NORMAL, 2)
        await eventually(lambda: not stage.commander.beats[-1].unclaimed, "and it says so")


async def test_a_slot_that_is_free_after_long_is_given_to_a_high_one_first() -> None:
    gates = Gates()
    async with a_stage(gates.soldier, concurrency=1) as stage:
        await full_for_long(stage, gates)
        await hand_out(stage, Priority.NORMAL, "normal-1", "normal-2")
        await hand_out(stage, Priority.HIGH, "high-1")
        await ready_becomes(stage.broker, HIGH, 1)
        for ending, beginning in pairwise(["long", "high-1", "normal-1", "normal-2"]):
            gates.end(ending)
            await eventually(lambda began=beginning: gates.began[-1] == began, f"{beginning} begins")  # type: ignore[misc]
        gates.end("normal-2")


async def test_a_full_soldier_that_may_take_again_takes_when_a_slot_is_free() -> None:
    gates = Gates()
    async with a_stage(gates.soldier, concurrency=1) as stage:
        await full_for_long(stage, gates)
        await hand_out(stage, Priority.HIGH, "high-1")
        await ready_becomes(stage.broker, HIGH, 1)
        stage.commander.take_nothing = True
        await eventually(lambda: not stage.commander.beats[-1].taking, "it takes nothing")
        stage.commander.take_nothing = False
        await eventually(lambda: stage.commander.beats[-1].taking, "it takes orders again")
        await ready_becomes(stage.broker, HIGH, 1)
        gates.end("long")
        await eventually(lambda: gates.began[-1] == "high-1", "the next begins")
        gates.end("high-1")


class Settled:
    """A delivery that only lives."""

    is_alive = True

    def ack(self) -> None: ...
    def give_back(self) -> None: ...


def received(priority: Priority, number: int) -> Received:
    delivery: Delivery = Settled()  # type: ignore[assignment]
    return Received(an_order_of(priority, f"{priority}-{number}"), delivery)


@pytest.mark.parametrize("at_once", [1, 5, 64])
def test_of_nine_missions_one_is_normal_where_one_waits(at_once: int) -> None:
    waiting = Waiting(Book(slots=1))
    waiting.add([received(Priority.NORMAL, number) for number in range(3)])
    waiting.add([received(Priority.HIGH, number) for number in range(40)])
    taken: list[Received] = []
    while batch := waiting.take(at_once):
        taken += batch
    normal = [place for place, one in enumerate(taken) if not one.is_high]
    assert normal == [HIGH_IN_A_ROW, 2 * HIGH_IN_A_ROW + 1, 3 * HIGH_IN_A_ROW + 2]
    assert len(taken) == 43


def test_when_no_normal_one_waits_high_ones_go_on() -> None:
    waiting = Waiting(Book(slots=1))
    waiting.add([received(Priority.HIGH, number) for number in range(20)])
    assert len(waiting.take(20)) == 20
    assert waiting.owes_normal
