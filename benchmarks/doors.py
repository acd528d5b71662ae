"""Missions through each door, from the first request until a client sees that the last one is final."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Final, Self

import aiohttp
import msgspec

from benchmarks import crowd, limits, world
from benchmarks.checks import Books
from benchmarks.kube import KubeClient, Object, mission
from benchmarks.measures import BenchError, Latency, Ours, Rate, Sizes
from mission_contracts.mission import MissionId, MissionState
from missionctl.client import MissionControl, MissionView, Submission

NOOP: Final = Submission(type="noop", payload={})
BODY: Final = b'{"type":"noop","payload":{}}'
IN_FLIGHT: Final = 32
BATCHES_AT_ONCE: Final = 2

_view: Final = msgspec.json.Decoder(MissionView)


async def single(control: MissionControl, books: Books, sizes: Sizes) -> Ours:
    """One POST for each mission, by a client that costs little."""
    token = await control.token()
    ids: list[MissionId] = []
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(control.url, headers=headers) as session:

        async def submit(_: int) -> None:
            ids.append((await _post(session)).mission_id)

        async def run_one(_: int) -> None:
            mission = await _post(session)
            async with session.get(f"/missions/{mission.mission_id}", params={"wait": "30s"}) as answer:
                _must_be_completed(_view.decode(await answer.read()))

        await books.open()
        began_at = time.perf_counter()
        await crowd.each(range(sizes.single), submit, at_once=IN_FLIGHT)
        await world.until_idle(control, timeout_seconds=sizes.patience_seconds)
        rate = Rate(sizes.single, time.perf_counter() - began_at)
        await books.check(ids, expected=sizes.single)
        idle = Latency.of(await crowd.one_by_one(sizes.idle, run_one))
    how = f"POST /missions, {IN_FLIGHT} in flight (aiohttp)"
    return Ours(name="REST", how=how, rate=rate, latency=idle, bound=limits.PUBLISH)


async def batch(control: MissionControl, books: Books, sizes: Sizes) -> Ours:
    """Many missions in each POST, by our own client."""
    ids: list[MissionId] = []

    async def submit(count: int) -> None:
        answers = await control.submit_many([NOOP] * count)
        ids.extend(one.mission.mission_id for one in answers if one.mission)

    await books.open()
    began_at = time.perf_counter()
    await crowd.each(_parts(sizes.batch), submit, at_once=BATCHES_AT_ONCE)
    await world.until_idle(control, timeout_seconds=sizes.patience_seconds)
    rate = Rate(sizes.batch, time.perf_counter() - began_at)
    await books.check(ids, expected=sizes.batch)
    how = f"POST /missions/batch of 1,000, {BATCHES_AT_ONCE} in flight (missionctl.client)"
    return Ours(name="REST batch", how=how, rate=rate, latency=await _idle_batch(control, sizes), bound=limits.PUBLISH)


async def objects(kube: KubeClient, namespace: str, books: Books, sizes: Sizes) -> Ours:
    """Mission objects, created and watched at the API server, as kubectl would."""
    async with Watch(kube, namespace) as watch:
        idle = await crowd.one_by_one(sizes.idle, lambda number: watch.run_one(f"idle-{number}"))
        names = [f"bench-{number}" for number in range(sizes.objects)]
        await books.open()
        began_at = time.perf_counter()
        await crowd.each(names, lambda name: kube.create(namespace, mission(name)), at_once=IN_FLIGHT)
        await watch.all_final(names, sizes.patience_seconds)
        rate = Rate(sizes.objects, time.perf_counter() - began_at)
    await books.check_objects(kube, namespace, names)
    how = f"Mission objects, {IN_FLIGHT} creations in flight, seen by a watch (aiohttp)"
    return Ours(name="Mission objects", how=how, rate=rate, latency=Latency.of(idle), bound=limits.PATCH)


class Watch:
    """Hears of every Mission of a namespace; knows which are final."""

    def __init__(self, kube: KubeClient, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self._final: set[str] = set()
        self._changed = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def run_one(self, name: str) -> None:
        """From its creation until its end is seen."""
        await self._kube.create(self._namespace, mission(name))
        await self.all_final([name], 30)

    async def all_final(self, names: Sequence[str], patience_seconds: float) -> None:
        missing = set(names)
        try:
            async with asyncio.timeout(patience_seconds):
                while missing := missing - self._final:
                    await self._next_change()
        except TimeoutError as error:
            raise BenchError(f"{len(missing)} of {len(names)} Missions not final in {patience_seconds} s") from error

    async def _next_change(self) -> None:
        if self._listening is not None and self._listening.done():
            self._listening.result()
        self._changed.clear()
        await self._changed.wait()

    async def _listen(self) -> None:
        """The API server ends a watch when it likes, also one that reads too slowly: list, watch, and again."""
        try:
            while True:
                since, listed = await self._kube.missions(self._namespace)
                for one in listed:
                    self._hear(one)
                async for one in self._kube.changes(self._namespace, since):
                    self._hear(one)
        finally:
            self._changed.set()

    def _hear(self, one: Object) -> None:
        if one.state and MissionState.from_camel(one.state).is_final:
            self._final.add(one.metadata.name)
            self._changed.set()


async def _post(session: aiohttp.ClientSession) -> MissionView:
    async with session.post("/missions", data=BODY, headers={"Idempotency-Key": uuid.uuid4().hex}) as answer:
        body = await answer.read()
    if answer.status != 202:
        raise BenchError(f"a mission was answered with {answer.status}: {body[:300]!r}")
    return _view.decode(body)


async def _idle_batch(control: MissionControl, sizes: Sizes) -> Latency:
    async def run_one(_: int) -> None:
        [answer] = await control.submit_many([NOOP])
        if answer.mission is None:
            raise BenchError(f"a mission was refused: {answer.problem}")
        _must_be_completed(await control.get(answer.mission.mission_id, wait_seconds=30))

    return Latency.of(await crowd.one_by_one(sizes.idle, run_one))


def _must_be_completed(mission: MissionView) -> None:
    if mission.state is not MissionState.COMPLETED:
        raise BenchError(f"mission {mission.mission_id} is {mission.state}, {mission.reason}: {mission.message}")


def _parts(count: int) -> list[int]:
    return [min(1_000, count - start) for start in range(0, count, 1_000)]
