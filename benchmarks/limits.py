"""The bare servers: what a client gets that does one thing only, on the same machine, in the same run."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import aio_pika
import msgspec
import redis.asyncio

from benchmarks import crowd
from benchmarks.kube import KubeClient, mission
from benchmarks.measures import Latency, Limit, Rate, Sizes

PUBLISH: Final = "AMQP publish"
CONSUME: Final = "AMQP consume + ack"
COMMIT: Final = "Redis commit"
PATCH: Final = "API server /status patch"

BODY: Final = b"x" * 600
"""As large as an order of a mission with a small payload."""
RECORD: Final = b"x" * 900
"""As large as a mission's record in the ledger."""
WAVE: Final = 1_000
PREFETCH: Final = 256
CLIENTS: Final = 50
PATCHED: Final = 100
IN_FLIGHT: Final = 32
QUORUM: Final[dict[str, Any]] = {"x-queue-type": "quorum"}


async def amqp(url: str, sizes: Sizes) -> Sequence[Limit]:
    """Persistent, mandatory, confirmed, through one quorum queue: what every order and report has to pass."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.declare_queue("bench.limits", durable=True, arguments=QUORUM)
        idle = await crowd.one_by_one(sizes.idle, lambda _: _publish(channel, 1))
        began_at = time.perf_counter()
        for _ in range(sizes.amqp // WAVE):
            await _publish(channel, WAVE)
        published = Rate(sizes.amqp // WAVE * WAVE, time.perf_counter() - began_at)
        consumed = await _consume(queue, published.count + sizes.idle, sizes.patience_seconds)
    how = f"aio-pika, persistent, mandatory, quorum queue, {WAVE} confirms in flight, {len(BODY)} bytes"
    return (
        Limit(name=PUBLISH, how=how, rate=published, latency=Latency.of(idle)),
        Limit(name=CONSUME, how=f"aio-pika, prefetch {PREFETCH}, each acknowledged", rate=consumed),
    )


async def _publish(channel: aio_pika.abc.AbstractChannel, count: int) -> None:
    message = aio_pika.Message(BODY, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    publish = channel.default_exchange.publish
    await asyncio.gather(*(publish(message, "bench.limits", mandatory=True) for _ in range(count)))


async def _consume(queue: aio_pika.abc.AbstractQueue, count: int, patience_seconds: float) -> Rate:
    done = asyncio.Event()
    seen = 0

    async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        nonlocal seen
        await message.ack()
        seen += 1
        if seen == count:
            done.set()

    began_at = time.perf_counter()
    await queue.consume(take)
    async with asyncio.timeout(patience_seconds):
        await done.wait()
    return Rate(count, time.perf_counter() - began_at)


async def ledger(url: str, sizes: Sizes) -> Limit:
    """One write, on disk before it is answered."""
    async with redis.asyncio.Redis.from_url(url, max_connections=CLIENTS) as client:

        async def write(number: int) -> None:
            await client.set(f"bench:{number}", RECORD)

        idle = await crowd.one_by_one(sizes.idle, write)
        seconds = await crowd.each(range(sizes.redis), write, at_once=CLIENTS)
        await client.flushdb()
    how = f"redis-py, SET of {len(RECORD)} bytes, appendfsync always, {CLIENTS} clients"
    return Limit(name=COMMIT, how=how, rate=Rate(sizes.redis, seconds), latency=Latency.of(idle))


async def patches(kube: KubeClient, namespace: str, sizes: Sizes) -> Limit:
    """Merge patches to /status of Missions that nobody serves, from one client."""
    names = [f"limit-{number}" for number in range(PATCHED)]
    await crowd.each(names, lambda name: kube.create(namespace, mission(name)), at_once=IN_FLIGHT)

    async def patch(number: int) -> None:
        await kube.patch_status(namespace, names[number % PATCHED], status(number + 1))

    idle = await crowd.one_by_one(sizes.idle, patch)
    numbers = range(sizes.idle, sizes.idle + sizes.patches)
    seconds = await crowd.each(numbers, patch, at_once=IN_FLIGHT)
    how = f"aiohttp, merge patch, {PATCHED} Missions, {IN_FLIGHT} in flight"
    return Limit(name=PATCH, how=how, rate=Rate(sizes.patches, seconds), latency=Latency.of(idle))


def status(sequence: int) -> bytes:
    """A status as the operator writes it for a mission that runs."""
    return msgspec.json.encode(
        {
            "status": {
                "state": "InProgress",
                "reason": "Running",
                "sequence": sequence,
                "missionId": "00000000-0000-4000-8000-000000000000",
                "attempt": 1,
                "epoch": 29_920_951_000_001,
                "soldier": "bench-soldier",
                "queuedAt": "2026-01-01T00:00:00.000000Z",
                "startedAt": "2026-01-01T00:00:00.000000Z",
                "observedGeneration": 1,
            }
        }
    )
