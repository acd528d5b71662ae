"""The public proof of docs/concepts/no-busy-soldier-dies.md: whatever is done to the pools, nothing that runs is lost.

Missions of 1 to 20 seconds run on two pools, which are pinned, freed and rolled out at random. Each mission fits the
grace that its soldier has when it is told to leave, so each has to end in the one execution that it began.
"""

import asyncio
import contextlib
import os
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from support.breathing import Breath, Leaving, Leavings
from support.cluster_door import ClusterDoor, a_mission, a_pool
from support.installation import Installation
from support.operator_stage import Object
from support.rest_door import RestDoor

from mission_contracts.mission import NUMBERS_PER_ERA

pytestmark = pytest.mark.e2e

POOLS: Final = ("kitchen", "bakery")
CONCURRENCY: Final = 6
MOST_SOLDIERS: Final = 3
DRAIN_SECONDS: Final = 30
WORK: Final = {"min_seconds": 1, "max_seconds": 20, "success_rate": 1}
"""The longest fits the drain, with room for a machine that is slow."""
A_SECOND: Final = 3
"""Missions that are submitted each second: about what five soldiers can do."""
BY_KUBECTL: Final = 5
"""Each fifth mission is an object."""
PATIENCE_SECONDS: Final = 180
SEED: Final = "PROOF_SEED"
"""Draws again what a run has printed."""

Say = Callable[[str], None]


@pytest.fixture
async def doors(pools: Installation) -> AsyncIterator[tuple[RestDoor, ClusterDoor]]:
    async with pools.rest() as rest, pools.cluster() as cluster:
        for name in POOLS:
            await cluster.apply(a_pool(name, **pool_spec()))
        yield rest, cluster
        await cluster.kubectl("delete", "missions", "--all")
        await cluster.kubectl("delete", "soldierpools", *POOLS)


def pool_spec() -> dict[str, Any]:
    return {
        "minReplicas": 0,
        "maxReplicas": MOST_SOLDIERS,
        "concurrency": CONCURRENCY,
        "idleSeconds": 5,
        "drainSeconds": DRAIN_SECONDS,
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
    }


@pytest.mark.timeout(900, func_only=True)
async def test_of_three_hundred_missions_none_is_repeated_and_none_is_lost(
    pools: Installation, doors: tuple[RestDoor, ClusterDoor], say: Say
) -> None:
    await prove(pools, *doors, 300, say)


@pytest.mark.long
@pytest.mark.timeout(1800, func_only=True)
async def test_of_a_thousand_missions_none_is_repeated_and_none_is_lost(
    pools: Installation, doors: tuple[RestDoor, ClusterDoor], say: Say
) -> None:
    await prove(pools, *doors, 1000, say)


async def prove(pools: Installation, rest: RestDoor, cluster: ClusterDoor, count: int, say: Say) -> None:
    seed = os.environ.get(SEED) or str(secrets.randbelow(10**6))
    say(f"{count} missions of 1 to 20 s on {len(POOLS)} pools that breathe, seed {seed}")
    # One for each, so that the one's delays do not change what the other draws.
    breath = Breath(pools, POOLS, MOST_SOLDIERS, random.Random(f"{seed}/scaling"))
    leavings = Leavings()
    granted, began = await executions(rest), time.monotonic()
    async with leavings_of(cluster, leavings):
        load = Load(rest, cluster, random.Random(f"{seed}/load"))
        async with breathing(breath):
            await load.run(count, halfway=lambda: roll_out(breath, cluster))
        for pool in POOLS:
            await breath.free(pool)
        ended = await load.until_all_ended()
        for pool in POOLS:
            await until_pool(cluster, pool, "sleeps again", lambda status: status["replicas"] == 0)
    proof = Proof(ended, leavings.seen, await executions(rest) - granted)
    say(proof.said(breath.done, len(leavings.made), time.monotonic() - began))
    for line in [*map(str, leavings.restarts.items()), *(await stories(pools, proof.repeated))]:
        say(line)
    proof.judge(count)


async def stories(pools: Installation, repeated: Sequence["Ended"]) -> list[str]:
    """What the Commander tells of missions that were handed out again: who had them, and how that ended."""
    async with pools.rest("operator") as sees_all:
        answers = [await sees_all.client.get(f"/missions/{one.mission_id}/history") for one in repeated]
    return [answer.text for answer in answers]


@contextlib.asynccontextmanager
async def leavings_of(cluster: ClusterDoor, leavings: Leavings) -> AsyncIterator[None]:
    listed = await cluster.objects.request("GET", cluster.objects.path("pods"))
    for pod in listed["items"]:
        leavings.take(pod, datetime.now(UTC))
    async with underway(leavings.follow(cluster.objects, after=listed["metadata"]["resourceVersion"])):
        yield


@contextlib.asynccontextmanager
async def breathing(breath: Breath) -> AsyncIterator[None]:
    async with underway(breath.run()):
        yield


@contextlib.asynccontextmanager
async def underway(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have something go on beside; if it fails, so does the test."""
    task = asyncio.create_task(work)
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def roll_out(breath: Breath, cluster: ClusterDoor) -> None:
    """Change each pool's template while some of its soldiers are busy."""
    for pool in POOLS:
        await breath.free(pool)
        await until_pool(cluster, pool, "has busy soldiers", lambda status: status.get("busy", 0) > 0)
        await breath.roll_out(pool)


async def until_pool(cluster: ClusterDoor, pool: str, what: str, holds: Callable[[Object], bool]) -> None:
    await cluster.objects.until_status("soldierpools", pool, holds, f"pool {pool} {what}", seconds=PATIENCE_SECONDS)


async def executions(rest: RestDoor) -> int:
    """How many the Commander has granted since its start."""
    return int((await rest.status())["counts"].get("claims: RUN", 0))


class Load:
    """Missions through both doors, a few each second, and how they ended."""

    def __init__(self, rest: RestDoor, cluster: ClusterDoor, dice: random.Random) -> None:
        self._rest = rest
        self._cluster = cluster
        self._dice = dice
        self._ids: list[str] = []
        self._names: list[str] = []

    async def run(self, count: int, *, halfway: Callable[[], Awaitable[None]]) -> None:
        """Submit so many; do something else in between."""
        for number in range(count):
            if number == count // 2:
                await halfway()
            await self._submit(number, self._dice.choice(POOLS))
            await asyncio.sleep(1 / A_SECOND)

    async def until_all_ended(self) -> Sequence["Ended"]:
        views = await self._rest.until_final(self._ids, seconds=PATIENCE_SECONDS)
        objects = await self._cluster.until_finished(self._names, seconds=PATIENCE_SECONDS)
        shown = [*views.values(), *(in_rest_words(one["status"]) for one in objects.values())]
        return [Ended.of(view) for view in shown]

    async def _submit(self, number: int, pool: str) -> None:
        if number % BY_KUBECTL:
            view = await self._rest.submit("simulate", payload=WORK, pool=pool)
            self._ids.append(view["mission_id"])
        else:
            name = f"{pool}-{number:04}"
            await self._cluster.objects.create("missions", a_mission(name, "simulate", payload=WORK, pool=pool))
            self._names.append(name)


def in_rest_words(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object's status, as REST would say it."""
    times = {"started_at": status["startedAt"], "finished_at": status["finishedAt"]}
    return {**status, **times, "mission_id": status["missionId"], "state": status["state"].upper()}


@dataclass(frozen=True)
class Ended:
    """A mission's end, as either door shows it."""

    state: str
    attempt: int
    hand_outs: int
    soldier: str
    mission_id: str
    began_at: datetime
    ended_at: datetime

    @classmethod
    def of(cls, view: Mapping[str, Any]) -> "Ended":
        return cls(
            state=view["state"],
            attempt=view["attempt"],
            hand_outs=view["epoch"] % NUMBERS_PER_ERA,
            soldier=view["soldier"],
            mission_id=view["mission_id"],
            began_at=datetime.fromisoformat(view["started_at"]),
            ended_at=datetime.fromisoformat(view["finished_at"]),
        )

    def ran_in(self, leaving: Leaving) -> bool:
        """Tell whether it ran in that pod when the pod was told to end."""
        return self.soldier.startswith(f"{leaving.pod}-") and self.began_at < leaving.at < self.ended_at


class Proof:
    """What came of it."""

    def __init__(self, ended: Sequence[Ended], leavings: Sequence[Leaving], executions: int) -> None:
        self._ended = ended
        self._executions = executions
        self._scaled_in = [one for one in leavings if not one.is_by_rollout]
        self._rolled_out = [one for one in leavings if one.is_by_rollout]

    def said(self, done: Counter[str], soldiers: int, seconds: float) -> str:
        running = [self._running_in(one) for one in self._rolled_out]
        states = dict(Counter(one.state for one in self._ended))
        return "\n  ".join(
            (
                f"{len(self._ended)} missions ended in {seconds:.0f} s: {states}",
                f"pools were pinned {done['pinned']}, freed {done['freed']} and rolled out {done['rollout']} times",
                f"{soldiers} soldiers lived",
                f"scale-in ended {len(self._scaled_in)}, of which {self._busy_scaled_in()} busy",
                f"rollouts ended {len(running)}, of which {sum(map(bool, running))} busy, with {sum(running)} missions",
                f"executions {self._executions}, missions handed out more than once {len(self.repeated)}",
            )
        )

    def judge(self, count: int) -> None:
        assert Counter(one.state for one in self._ended) == {"COMPLETED": count}, "none is lost"
        # A hand-out that nobody had begun may be made again (`repeated` is told, with its story); an execution may not.
        assert {one.attempt for one in self._ended} == {1}
        assert self._executions == count, "each ran once"
        assert self._busy_scaled_in() == 0, "scale-in takes only who is idle"
        # Or it would have proven nothing:
        assert self._scaled_in, "scale-in ended some soldiers"
        assert any(map(self._running_in, self._rolled_out)), "the rollout told some soldiers to leave that were busy"

    def _running_in(self, leaving: Leaving) -> int:
        return sum(one.ran_in(leaving) for one in self._ended)

    def _busy_scaled_in(self) -> int:
        return sum(map(bool, map(self._running_in, self._scaled_in)))

    @property
    def repeated(self) -> Sequence[Ended]:
        return [one for one in self._ended if one.hand_outs != 1]
