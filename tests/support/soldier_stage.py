"""A soldier at work in this process, between a broker in memory and a Commander in memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from support.broker_probe import eventually
from support.fake_commander import FakeCommander, an_order

from mission_broker.memory import MemoryBroker
from mission_broker.port import Delivery, Message
from mission_contracts import messages, topology
from mission_contracts.messages import ControlMessage, Order, Report, ReportKind
from mission_contracts.mission import Instance, Priority
from mission_contracts.topology import Queue
from mission_soldier import Soldier
from mission_soldier.runtime import serve
from mission_soldier.settings import Settings

INSTANCE = Instance("soldier-1")
NORMAL = topology.orders_of("default", "default")
HIGH = topology.orders_of("default", "default", Priority.HIGH)


class Stage:
    """What a test says and asks."""

    def __init__(self, commander: FakeCommander, settings: Settings, soldier: Soldier) -> None:
        self.broker = MemoryBroker()
        self.commander = commander
        self.settings = settings
        self.soldier = soldier
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self.serving: asyncio.Task[None] | None = None

    async def hand_out(self, *orders: Order) -> None:
        await self.publish(*(messages.encode(order) for order in orders))

    async def publish(self, *bodies: bytes, queue: Queue = NORMAL) -> None:
        await self.broker.publish([Message(exchange=queue.bound_to, key=queue.key, body=body) for body in bodies])

    async def hint(self, message: ControlMessage) -> None:
        await self.broker.publish([Message(exchange=topology.CONTROL, key="", body=messages.encode(message))])

    async def report_on(self, mission_id: str = "mission-1") -> Report:
        """Give the one final report on a mission."""
        await eventually(lambda: self.commander.outcomes_of(mission_id), f"a final report on {mission_id}")
        [report] = self.commander.outcomes_of(mission_id)
        return report

    async def run(self, mission_type: str, payload: bytes = b"{}", mission_id: str = "mission-1") -> Report:
        """Hand a mission out and give its final report."""
        await self.hand_out(an_order(mission_type, mission_id=mission_id, payload=payload))
        return await self.report_on(mission_id)

    async def granted(self, mission_id: str = "mission-1", epoch: int = 1) -> None:
        await eventually(
            lambda: (mission_id, epoch) in self.commander.granted, f"{mission_id}/{epoch} was claimed and granted"
        )

    async def left_in(self, queue: Queue = NORMAL) -> int | None:
        """Let the soldier leave, and count what it did not acknowledge."""
        await self.leave()
        return await self.broker.ready_count(queue)

    async def beaten(self, beats: int = 2) -> None:
        """Wait until so many more heartbeats were answered."""
        wanted = len(self.commander.beats) + beats
        await eventually(lambda: len(self.commander.beats) >= wanted, f"{beats} more heartbeats")

    async def leave(self) -> None:
        """Tell the soldier to leave, and wait until it has."""
        self.stop.set()
        assert self.serving is not None
        async with asyncio.timeout(20):
            await self.serving

    def read_reports(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self.commander.read_status(delivery.body)
            delivery.ack()

    def progress_of(self, mission_id: str = "mission-1") -> list[float | None]:
        return [
            report.progress
            for report in self.commander.reports
            if report.mission_id == mission_id and report.kind is ReportKind.PROGRESS
        ]


@asynccontextmanager
async def a_stage(
    soldier: Soldier | None = None, *, commander: FakeCommander | None = None, begins: bool = True, **settings: Any
) -> AsyncIterator[Stage]:
    """Give a soldier at work; it leaves at the end, at once unless told otherwise."""
    defaults: dict[str, Any] = {"drain_seconds": 0.0, "flush_seconds": 1.0, "cancel_grace_seconds": 0.05}
    stage = Stage(commander or FakeCommander(), Settings(**{**defaults, **settings}), soldier or Soldier())
    async with stage.broker.consume(topology.STATUS, stage.read_reports, prefetch=100):
        work = serve(
            stage.soldier,
            stage.settings,
            stage.broker,
            stage.commander,
            instance=INSTANCE,
            stop=stage.stop,
            hurry=stage.hurry,
        )
        stage.serving = asyncio.create_task(work)
        try:
            if begins:
                await eventually(lambda: stage.commander.beats, "the first heartbeat")
            yield stage
        finally:
            await stage.leave()
