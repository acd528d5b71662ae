"""Speed that loses or repeats work is no speed: after each run the books have to balance."""

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence

import httpx

from benchmarks.kube import KubeClient
from benchmarks.measures import BenchError
from mission_contracts.mission import MissionId, MissionState
from missionctl.client import MissionControl


class Books:
    """Compares what was asked for with what the Commander counted and what the missions say."""

    def __init__(self, control: MissionControl, count_runs: Callable[[], Awaitable[int]] | None = None) -> None:
        self._control = control
        self._runs = count_runs or functools.partial(executions, control)
        self._runs_before = 0

    async def open(self) -> None:
        """Remember how many executions were granted so far."""
        self._runs_before = await self._runs()

    async def check(self, ids: Sequence[MissionId], *, expected: int) -> None:
        """All missions are there, Completed, in one attempt, and no execution more was granted."""
        if len(set(ids)) != expected:
            raise BenchError(f"{expected} missions were submitted and {len(set(ids))} accepted")
        found = await self._control.lookup(ids)
        self._balance([(one.state.camel, one.attempt) if one else ("lost", 0) for one in found])
        await self._check_runs(expected)

    async def check_objects(self, kube: KubeClient, namespace: str, names: Sequence[str]) -> None:
        """The same, as the API server tells it."""
        _, listed = await kube.missions(namespace)
        by_name = {one.metadata.name: (one.state, one.attempt) for one in listed}
        self._balance([by_name.get(name, ("lost", 0)) for name in names])
        await self._check_runs(len(names))

    @staticmethod
    def _balance(ends: Sequence[tuple[str, int]]) -> None:
        wrong = [end for end in ends if end != (MissionState.COMPLETED.camel, 1)]
        if wrong:
            state, attempt = wrong[0]
            raise BenchError(f"{len(wrong)} of {len(ends)} missions are wrong; one is {state} in attempt {attempt}")

    async def _check_runs(self, expected: int) -> None:
        runs = await self._runs() - self._runs_before
        if runs != expected:
            raise BenchError(f"{expected} missions took {runs} executions: something ran twice")


async def executions(control: MissionControl) -> int:
    """How many the Commander granted since its start."""
    token = await control.token()
    async with httpx.AsyncClient(base_url=control.url, trust_env=False) as client:
        answer = await client.get("/status", headers={"Authorization": f"Bearer {token}"})
    counts: Mapping[str, int] = answer.raise_for_status().json()["counts"]
    return counts.get("claims: RUN", 0)
