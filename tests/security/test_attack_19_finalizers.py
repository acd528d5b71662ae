"""Attack 19: finalizers that come and go, and objects deleted while they run. Nothing runs on, and nothing is stuck."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.operator_stage import Object, Objects, Stage, serving_our_kinds, staged
from support.patience import until
from tools.stack import KubeAccess

from mission_contracts.mission import MissionId
from mission_contracts.resources import API_VERSION

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]

FOREIGN = "strangers.example/held"


@pytest.fixture
async def stage(kube: KubeAccess, kube_namespace: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(serving_our_kinds(kube), kube_namespace, tmp_path) as stage:
        await stage.operator()
        yield stage


async def a_running_mission(stage: Stage, *finalizers: str) -> MissionId:
    """Create it, let a soldier begin, and give its id."""
    metadata = {"name": "held", "finalizers": list(finalizers)}
    spec = {"type": "noop", "payload": {}}
    body: Object = {"apiVersion": API_VERSION, "kind": "Mission", "metadata": metadata, "spec": spec}
    await stage.objects.create("missions", body)
    await stage.objects.until_states({"held": "Queued"})
    mission_id = stage.commander.of("held").mission_id
    await stage.commander.start(mission_id)
    await stage.objects.until_states({"held": "InProgress"})
    return mission_id


async def is_gone(objects: Objects) -> None:
    async with asyncio.timeout(20):
        while "held" in await objects.states():  # noqa: ASYNC110  # the API server calls nobody
            await asyncio.sleep(0.05)


async def test_attack_19_a_mission_that_is_deleted_while_it_runs_is_cancelled_and_gone(stage: Stage) -> None:
    mission_id = await a_running_mission(stage)
    await stage.objects.delete("missions", "held")
    await is_gone(stage.objects)
    await until(lambda: mission_id in stage.commander.cancelled, "who runs it is told to stop")
    assert stage.commander.cancelled[mission_id].deleted


async def test_attack_19_a_strangers_finalizer_keeps_the_object_and_not_the_work(stage: Stage) -> None:
    mission_id = await a_running_mission(stage, FOREIGN)
    await stage.objects.delete("missions", "held")
    await until(lambda: mission_id in stage.commander.cancelled, "it is cancelled although its object is still there")
    held = await stage.objects.get("missions", "held")
    assert held["metadata"]["finalizers"] == [FOREIGN], "ours is not among them"
    await stage.objects.patch("missions", "held", {"metadata": {"finalizers": None}})
    await is_gone(stage.objects)
    assert set(stage.commander.submitted.values()) == {1}, "and it was never submitted again"


async def test_attack_19_finalizers_that_come_and_go_change_nothing(stage: Stage) -> None:
    mission_id = await a_running_mission(stage)
    for finalizers in ([FOREIGN], None, [FOREIGN], None):
        await stage.objects.patch("missions", "held", {"metadata": {"finalizers": finalizers}})
    await stage.commander.complete(mission_id, b"{}")
    await stage.objects.until_states({"held": "Completed"})
    assert not stage.commander.cancelled
    assert set(stage.commander.submitted.values()) == {1}
