"""Keeping what cannot be used: moved with its reason, told once in a while, and in nobody's way."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.broker_probe import eventually

from mission_broker import rejecting
from mission_broker.memory import MemoryBroker
from mission_broker.memory_server import HeldQueue
from mission_broker.port import Delivery, Message
from mission_broker.rejecting import MOST_KEPT_BYTES, MOST_WAITING, Rejects
from mission_contracts import topology
from mission_contracts.errors import Defect
from mission_contracts.testing import FakeClock

QUEUE = topology.STATUS


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejecting, "RETRY_SECONDS", 0.01)


class Desk:
    """A consumer that can use nothing, and where its deliveries go."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.clock = FakeClock()
        self.counts: Counter[tuple[str, Defect]] = Counter()
        self.held: list[Delivery] = []
        self.rejects = Rejects(self.broker, self.clock, count=self._count)
        self.why = "nobody can read it"

    def _count(self, queue: topology.Queue, defect: Defect) -> None:
        self.counts[queue.name, defect] += 1

    def take(self, deliveries: list[Delivery]) -> None:
        self.held.extend(deliveries)
        for delivery in deliveries:
            self.rejects.keep(delivery, QUEUE, Defect.NOT_JSON, self.why)

    async def publish(self, *bodies: bytes) -> None:
        await self.broker.publish([Message(exchange=QUEUE.bound_to, key=QUEUE.key, body=body) for body in bodies])

    def queue(self, queue: topology.Queue) -> HeldQueue:
        held = self.broker.server.find(queue.name)
        assert held is not None
        return held

    @property
    def kept(self) -> list[bytes]:
        held = self.broker.server.find(topology.REJECTED.name)
        return [stored.body for stored in held._waiting] if held else []

    @property
    def is_empty(self) -> bool:
        """Nothing waits in the queue, nor unacknowledged in the consumer."""
        held = self.queue(QUEUE)
        return not held.ready and not any(taker._unsettled for taker in held._takers)  # type: ignore[attr-defined]


@asynccontextmanager
async def a_desk() -> AsyncIterator[Desk]:
    desk = Desk()
    await desk.broker.declare(topology.FIXED_QUEUES)
    async with desk.broker.consume(QUEUE, desk.take, prefetch=1_000):  # type: ignore[arg-type]
        task = asyncio.create_task(desk.rejects.run())
        try:
            yield desk
            assert not task.done(), "rejecting ended, and must not"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_the_copy_says_whence_when_and_why() -> None:
    async with a_desk() as desk:
        desk.why = "it\nis\tbroken \ud800"
        await desk.publish(b"{")
        await eventually(lambda: desk.is_empty, "it is acknowledged")
        [stored] = desk.queue(topology.REJECTED)._waiting
    assert stored.body == b"{"
    assert stored.headers == {
        "reason": "it is broken ?",
        "defect": "not JSON",
        "queue": QUEUE.name,
        "bytes": "1",
        "rejected-at": f"{desk.clock.now():.3f}",
    }
    assert desk.counts == {(QUEUE.name, Defect.NOT_JSON): 1}


async def test_of_what_is_large_the_beginning_is_kept() -> None:
    async with a_desk() as desk:
        desk.why = "x" * 10_000
        await desk.publish(b"y" * (5 * 1024 * 1024))
        await eventually(lambda: desk.is_empty, "it is acknowledged")
        [stored] = desk.queue(topology.REJECTED)._waiting
    assert stored.body == b"y" * MOST_KEPT_BYTES
    assert stored.headers["bytes"] == str(5 * 1024 * 1024)
    assert len(stored.headers["reason"]) == rejecting.MOST_REASON_CHARACTERS


async def test_it_is_acknowledged_only_when_its_copy_is_confirmed() -> None:
    async with a_desk() as desk:
        desk.broker.block()
        desk.broker.server.publish(QUEUE.bound_to, QUEUE.key, b"{", {})
        await eventually(lambda: desk.held, "it was delivered")
        await asyncio.sleep(0.05)  # some tries
        assert (desk.is_empty, desk.kept) == (False, [])
        desk.broker.unblock()
        await eventually(lambda: desk.is_empty, "it is acknowledged")
        assert desk.kept == [b"{"]


async def test_a_delivery_that_dies_with_its_channel_is_left_to_its_redelivery() -> None:
    async with a_desk() as desk:
        desk.broker.block()
        desk.broker.server.publish(QUEUE.bound_to, QUEUE.key, b"{", {})
        await eventually(lambda: desk.held, "it was delivered")
        desk.broker.cut()
        desk.broker.mend()
        await eventually(lambda: desk.is_empty, "its redelivery is acknowledged")
        assert desk.kept == [b"{"]


async def test_a_deleted_queue_of_rejects_is_made_again() -> None:
    async with a_desk() as desk:
        desk.broker.server.delete(topology.REJECTED.name)
        await desk.publish(b"{")
        await eventually(lambda: desk.is_empty, "it is acknowledged")
        assert desk.kept == [b"{"]


async def test_what_cannot_be_kept_holds_up_a_bounded_number(caplog: pytest.LogCaptureFixture) -> None:
    async with a_desk() as desk:
        desk.queue(topology.REJECTED).is_silent = True
        await desk.publish(*[b"{"] * (MOST_WAITING + 5))
        await eventually(lambda: caplog.text.count("given up") == 5, "those beyond the bound are given up")
        desk.queue(topology.REJECTED).is_silent = False
        await eventually(lambda: desk.is_empty, "the others are kept")
        assert len(desk.kept) == MOST_WAITING
    assert desk.counts.total() == MOST_WAITING


async def test_the_log_tells_of_a_kind_less_and_less_and_nothing_of_what_is_in_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with a_desk() as desk:
        desk.why = "password=hunter2"
        for _ in range(20):
            await desk.publish(*[b"hunter2"] * 5)
            await eventually(lambda: desk.is_empty, "they are kept")
    told = [record for record in caplog.records if "cannot be used" in record.getMessage()]
    assert [record.args[-1] for record in told if isinstance(record.args, tuple)] == [1, 2, 4, 8, 16, 32, 64]
    assert "hunter2" not in caplog.text
