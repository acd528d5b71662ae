"""What is done to a pool, and timed: woken by one mission, given many at once, left idle."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from benchmarks.measures import BenchError
from benchmarks.pools.figures import ColdStart, ScaleIn, ScaleOut
from benchmarks.pools.kubectl import Kubectl
from benchmarks.pools.lives import POOL_LABEL, Life, Lives, lives_in, seconds_after
from mission_contracts.mission import MissionState
from mission_contracts.resources import API_VERSION, SOLDIER_POOL
from missionctl.client import MissionControl, MissionView, Submission

PATIENCE_SECONDS: Final = 180.0


@dataclass(frozen=True, kw_only=True)
class FloodSize:
    """How many missions at once, and what the pool may do about them."""

    missions: int = 100
    mission_seconds: float = 3
    soldiers: int = 3
    concurrency: int = 5
    idle_seconds: int = 10

    def spec(self) -> Mapping[str, Any]:
        return {
            "minReplicas": 0,
            "maxReplicas": self.soldiers,
            "concurrency": self.concurrency,
            "idleSeconds": self.idle_seconds,
        }

    def mission(self, pool: str) -> Submission:
        payload = {"min_seconds": self.mission_seconds, "max_seconds": self.mission_seconds, "success_rate": 1}
        return Submission(type="simulate", payload=payload, pool=pool)


FLOOD: Final = FloodSize()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One pool that begins and ends at zero soldiers."""

    kubectl: Kubectl
    control: MissionControl
    pool: str

    async def prepare_to_wake(self) -> None:
        """Have a pool that sleeps again as soon as it may."""
        await self._prepare({"minReplicas": 0, "maxReplicas": 1, "idleSeconds": 0})

    async def cold_start(self) -> ColdStart:
        """Wake it with one mission that does nothing."""
        await self.until_asleep()
        async with lives_in(self.kubectl, self.pool) as lives:
            asked = await self.control.submit(Submission(type="noop", payload={}, pool=self.pool))
            ended = await self.control.wait(asked.mission_id, timeout_seconds=PATIENCE_SECONDS)
            _must_be_completed([ended])
            await lives.until(lambda: bool(lives.when("ready")), "a pod is ready", PATIENCE_SECONDS)
            (life,) = lives.of.values()
        return ColdStart(**seconds_after(_moment(asked.queued_at), _woken(life, ended)))

    async def flood(self, size: FloodSize) -> tuple[ScaleOut, ScaleIn]:
        """Give it many missions at once, wait until they ended, and until it sleeps again."""
        await self.prepare_for(size)
        async with lives_in(self.kubectl, self.pool) as lives:
            items = await self.control.submit_many([size.mission(self.pool)] * size.missions)
            ids = [one.mission.mission_id for one in items if one.mission]
            ended = await self.control.wait_all(ids, timeout_seconds=PATIENCE_SECONDS)
            _must_be_completed(ended)
            await lives.until(lambda: lives.are_over, "no pod is left", PATIENCE_SECONDS)
        first = min(_moment(one.queued_at) for one in ended)
        last = max(_moment(one.finished_at) for one in ended)
        return _out(size, lives, first, last), _back(size, lives, last)

    async def prepare_for(self, size: FloodSize) -> None:
        """Have a pool that sleeps, with the bounds that belong to so many missions."""
        await self._prepare(size.spec())

    async def _prepare(self, spec: Mapping[str, Any]) -> None:
        """Make the pool, or change it, and wait until it is known and has no soldier."""
        await self.kubectl.apply(a_pool(self.pool, spec))
        await self.kubectl.run("wait", f"soldierpool/{self.pool}", "--for=condition=Declared", "--timeout=60s")
        await self.until_asleep()

    async def until_asleep(self) -> None:
        """Wait until it has no soldier."""
        async with lives_in(self.kubectl, self.pool) as lives:
            listed = await self.kubectl.run("get", "pods", "-l", f"{POOL_LABEL}={self.pool}", "-o", "name")
            count = len(listed.split())
            await lives.until(lambda: len(lives.of) >= count and lives.are_over, "no pod is left", PATIENCE_SECONDS)


async def cold_starts(trials: Sequence[Trial], count: int, say: Callable[[str], None]) -> list[ColdStart]:
    """Wake one pool after the other: while one falls asleep again, the next is woken."""
    for trial in trials:
        await trial.prepare_to_wake()
    found: list[ColdStart] = []
    for number in range(count):
        say(f"cold start {number + 1} of {count}")
        found.append(await trials[number % len(trials)].cold_start())
    return found


def a_pool(name: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"apiVersion": API_VERSION, "kind": SOLDIER_POOL.kind, "metadata": {"name": name}, "spec": spec}


def _woken(life: Life, ended: MissionView) -> Mapping[str, float | None]:
    return {
        "pod_created": life.created,
        "pod_scheduled": life.scheduled,
        "container_running": life.running,
        "claimed": _moment(ended.started_at),
        "ended": _moment(ended.finished_at),
        "pod_ready": life.ready,
    }


def _out(size: FloodSize, lives: Lives, first: float, last: float) -> ScaleOut:
    created, ready = lives.when("created"), lives.when("ready")
    if (len(created), len(ready)) != (size.soldiers, size.soldiers):
        raise BenchError(f"{size.soldiers} soldiers were to come; {len(created)} came, and {len(ready)} were ready")
    moments = {
        "first_pod_created": created[0],
        "all_pods_created": created[-1],
        "all_pods_ready": ready[-1],
        "all_missions_ended": last,
    }
    return ScaleOut(
        missions=size.missions,
        mission_seconds=size.mission_seconds,
        soldiers=size.soldiers,
        concurrency=size.concurrency,
        **seconds_after(first, moments),
    )


def _back(size: FloodSize, lives: Lives, last: float) -> ScaleIn:
    told, gone = lives.when("told"), lives.when("gone")
    moments = {"first_pod_told": told[0], "last_pod_told": told[-1], "last_pod_gone": gone[-1]}
    return ScaleIn(idle_seconds=size.idle_seconds, **seconds_after(last, moments))


def _moment(when: datetime | None) -> float:
    if when is None:
        raise BenchError("a mission that ended has no time of it")
    return when.timestamp()


def _must_be_completed(ended: Sequence[MissionView]) -> None:
    wrong = [one for one in ended if one.state is not MissionState.COMPLETED or one.attempt != 1]
    if wrong:
        raise BenchError(f"{len(wrong)} of {len(ended)} missions are wrong; one is {wrong[0]}")
