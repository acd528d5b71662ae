"""RabbitMQ that dies, restarts, refuses, or loses a queue."""

import asyncio
import time
from typing import Final

import aiormq
from aiormq.abc import AbstractChannel

from chaos.errors import ChaosError
from chaos.faults.base import Clock, Fault
from chaos.ground import Ground
from chaos.history import Away
from mission_contracts import topology

PATIENCE_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.01


class RabbitKilled(Fault):
    name = "rabbitmq-killed"
    sentence = "kill -9 of RabbitMQ"
    away = Away.RABBITMQ
    lasts_seconds = (1.5, 2.5)

    async def prepare(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.servers.rabbitmq.settle)

    async def strike(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.servers.rabbitmq.kill)

    async def end(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.servers.rabbitmq.start)


class RabbitRestarted(RabbitKilled):
    name = "rabbitmq-restarted"
    sentence = "an orderly restart of RabbitMQ"

    async def strike(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.servers.rabbitmq.stop)


class MemoryAlarm(Fault):
    name = "memory-alarm"
    sentence = "RabbitMQ's memory alarm blocks every publisher (connection.blocked)"
    lasts_seconds = (1.5, 3.0)
    away = Away.BLOCKED

    async def strike(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.servers.rabbitmq.evaluate, _WATERMARK % "0.00001")

    async def end(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.servers.rabbitmq.evaluate, _WATERMARK % "0.6")


_WATERMARK: Final = "vm_memory_monitor:set_vm_memory_high_watermark(%s)."


class QueuePurged(Fault):
    name = "queue-purged"
    sentence = "the pool's orders queue is purged: orders that wait in it are gone, and the queue is not"
    clock = Clock.STRIKE

    async def prepare(self, ground: Ground) -> None:
        """Be connected when the moment comes: on a busy machine few orders still waited when that was done."""
        self._connection = await aiormq.connect(ground.rabbitmq_url)
        self._channel = await self._connection.channel()

    async def strike(self, ground: Ground) -> None:
        try:
            await self._until_something_is_gone(topology.orders_of(ground.namespace, "default").name)
        finally:
            await self._connection.close()

    async def _until_something_is_gone(self, queue: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not await self._take_away(self._channel, queue):
            if time.monotonic() > deadline:
                raise ChaosError(f"no order waits in the queue for {PATIENCE_SECONDS:g} s: nothing is lost with it")
            await asyncio.sleep(LOOK_SECONDS)

    async def _take_away(self, channel: AbstractChannel, queue: str) -> bool:
        """Tell whether orders were gone with it."""
        return bool((await channel.queue_purge(queue)).message_count)


class QueueDeleted(QueuePurged):
    name = "queue-deleted"
    sentence = "the pool's orders queue is deleted, with the orders that wait in it"

    async def _take_away(self, channel: AbstractChannel, queue: str) -> bool:
        if not (await channel.queue_declare(queue, passive=True)).message_count:
            return False
        await channel.queue_delete(queue)
        return True


QUEUES: Final = (RabbitKilled, RabbitRestarted, MemoryAlarm, QueuePurged, QueueDeleted)
