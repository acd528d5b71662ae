"""Pools by a real operator on a real API server; Commander, controllers and kubelets are played by the tests."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.operator_stage import Object, Objects, Stage
from support.operators_commander import OperatorsCommander
from support.patience import until
from tools.stack import KubeAccess, StackError

from mission_contracts.resources import API_VERSION
from mission_contracts.rest import PoolDeclaration, SoldierView
from mission_contracts.soldiering import LEAVING_SECONDS
from mission_operator.pools.deployment import labels_of
from mission_operator.pools.pods import DELETION_COST
from mission_operator.pools.retiring import CHEAPEST

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]


def _pool(name: str = "default", **spec: object) -> Object:
    return {"apiVersion": API_VERSION, "kind": "SoldierPool", "metadata": {"name": name}, "spec": spec}


async def test_a_pool_is_declared_and_has_its_deployment(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    await stage.operator(soldier_image="example/soldier:1")
    await objects.create("soldierpools", _pool("render", minReplicas=2, drainSeconds=45, handlers="shop.missions"))
    key = (objects.namespace, "render")
    await until(lambda: key in commander.declared, "the pool is declared")
    assert commander.declared[key] == PoolDeclaration(replicas=2, max_replicas=10)
    status = await objects.until_status("soldierpools", "render", lambda s: "busy" in s, "the pool is described")
    assert _holding(status) == {
        "Declared": "True",
        "Deployed": "True",
        "Ready": "False",
        "Active": "False",
        "ScalingLimited": "False",
        "MetricsStale": "False",
    }

    deployment = await objects.get("deployments", "soldier-render")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    values = {one["name"]: one.get("value") for one in container["env"]}
    assert deployment["spec"]["replicas"] == 2
    assert container["image"] == "example/soldier:1"
    assert values["SOLDIER_POOL"] == "render"
    assert values["SOLDIER_HANDLERS"] == "shop.missions"
    assert values["SOLDIER_CLIENT_SECRET"] is None, "a secret is named, never copied"
    assert pod["terminationGracePeriodSeconds"] == 45 + LEAVING_SECONDS

    soldiers = tuple(SoldierView(instance=f"i{n}", slots=16, busy=n, taking=True) for n in range(2))
    commander.show_pool(key, soldiers=soldiers, queued=3)
    status = await objects.until_status("soldierpools", "render", lambda s: s["ready"] == 2, "its soldiers are counted")
    assert (status["busy"], status["queued"]) == (1, 3)
    assert _holding(status)["Ready"] == "True"

    await objects.patch("soldierpools", "render", {"spec": {"replicas": 5}}, subresource="scale")
    await until(lambda: commander.declared[key].replicas == 5, "the Commander learns the new size")
    await objects.until_status("soldierpools", "render", lambda s: s["desired"] == 5, "the pool shows it")
    assert (await objects.get("deployments", "soldier-render"))["spec"]["replicas"] == 5
    scale = await objects.request("GET", objects.path("soldierpools", "render") + "/scale")
    assert scale["spec"]["replicas"] == 5, "a pinned pool can be read by a HorizontalPodAutoscaler"

    await commander.lose_everything()
    await until(lambda: key in commander.declared, "the pool is declared to a Commander that forgot it")

    await objects.delete("soldierpools", "render")
    await until(lambda: key not in commander.declared, "the Commander forgets the pool")


async def test_an_automatic_pool_is_pinned_and_let_go_as_the_docs_say(
    stage: Stage, objects: Objects, commander: OperatorsCommander, kube: KubeAccess
) -> None:
    await stage.operator()
    await objects.create("soldierpools", _pool("batch", minReplicas=1))
    key = (objects.namespace, "batch")
    await until(lambda: key in commander.declared, "the pool is declared")

    def kubectl(*words: str) -> str:
        return kube.kubectl("--namespace", objects.namespace, *words)

    scale = objects.path("soldierpools", "batch") + "/scale"
    with pytest.raises(StackError, match=r"\.spec\.replicas.* does not exist"):
        kubectl("get", "--raw", scale)
    kubectl("scale", "soldierpool", "batch", "--replicas=3")
    await until(lambda: commander.declared[key].replicas == 3, "it is pinned")
    assert (
        json.loads(kubectl("get", "--raw", objects.path("soldierpools", "batch") + "/scale"))["spec"]["replicas"] == 3
    )
    kubectl("patch", "soldierpool", "batch", "--type=merge", '--patch={"spec":{"replicas":null}}')
    assert "replicas" not in (await objects.get("soldierpools", "batch"))["spec"], "it is automatic again"


def _holding(status: Object) -> dict[str, str]:
    return {one["type"]: one["status"] for one in status["conditions"]}


async def test_somebody_elses_deployment_is_left_alone(stage: Stage, objects: Objects) -> None:
    labels = {"app": "theirs"}
    await objects.create(
        "deployments",
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "soldier-taken"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "theirs", "image": "theirs"}]},
                },
            },
        },
    )
    await stage.operator()
    await objects.create("soldierpools", _pool("taken"))
    status = await objects.until_status("soldierpools", "taken", bool, "the pool is described")
    deployed = next(one for one in status["conditions"] if one["type"] == "Deployed")
    assert (deployed["status"], deployed["reason"]) == ("False", "NotOwned")
    theirs = await objects.get("deployments", "soldier-taken")
    assert theirs["spec"]["template"]["spec"]["containers"][0]["image"] == "theirs"


async def test_the_default_pool_is_created_once_and_then_left_alone(
    stage: Stage, objects: Objects, tmp_path: Path
) -> None:
    file = tmp_path / "pool.json"
    file.write_text(json.dumps(_pool(minReplicas=3)))
    first = await stage.operator(default_pool_file=str(file))
    await _until_pool(objects, "default")
    await first.stop()
    await objects.patch("soldierpools", "default", {"spec": {"minReplicas": 4}})
    await stage.operator(default_pool_file=str(file))
    await objects.until_status("soldierpools", "default", lambda s: s.get("desired") == 4, "the change holds")


async def _until_pool(objects: Objects, name: str) -> None:
    deadline = time.monotonic() + 10
    while name not in await objects.all("soldierpools"):
        assert time.monotonic() < deadline, f"pool {name} was not created"
        await asyncio.sleep(0.1)


# Scaling


class Barracks:
    """What a cluster and its soldiers do for one pool: pods that follow the Deployment, and beats that obey."""

    def __init__(self, objects: Objects, commander: OperatorsCommander, pool: str) -> None:
        self._objects = objects
        self._commander = commander
        self._pool = pool
        self._key = (objects.namespace, pool)
        self._numbers = itertools.count()
        self._beats: dict[str, int] = {}
        self._taking: dict[str, bool] = {}
        self.busy: dict[str, int] = {}
        self.deleted: dict[str, int] = {}
        """What each pod cost when it was chosen."""

    async def run(self) -> None:
        """Play on until cancelled."""
        while True:
            await self._follow_deployment()
            self._beat()
            await asyncio.sleep(0.3)

    async def _pods(self) -> dict[str, Object]:
        labels = labels_of(self._pool).items()
        found = await self._objects.all("pods")
        return {name: pod for name, pod in found.items() if labels <= pod["metadata"]["labels"].items()}

    async def _follow_deployment(self) -> None:
        wanted = (await self._objects.get("deployments", f"soldier-{self._pool}"))["spec"]["replicas"]
        there = await self._pods()
        for name in sorted(there, key=lambda name: _cost(there[name]))[: max(0, len(there) - wanted)]:
            await self._objects.request("DELETE", f"{self._objects.path('pods', name)}?gracePeriodSeconds=0")
            self.deleted[name] = _cost(there[name])
            self._beats.pop(name, None)
        for _ in range(wanted - len(there)):
            self._beats[await self._start_pod()] = 0

    async def _start_pod(self) -> str:
        name = f"soldier-{self._pool}-{next(self._numbers)}"
        await self._objects.request("POST", self._objects.path("pods"), _a_pod(name, self._pool))
        await self._objects.patch("pods", name, {"status": _running()}, subresource="status")
        return name

    def _beat(self) -> None:
        declared = self._commander.declared.get(self._key)
        for name in self._beats:
            self._beats[name] += 1
        views = tuple(
            SoldierView(
                instance=f"{name}-i", pod=name, slots=16, beat=beat,
                taking=self._taking.get(name, True), busy=self.busy.get(name, 0),
            )
            for name, beat in self._beats.items()
        )  # fmt: skip
        if declared is not None:
            self._commander.show_pool(self._key, soldiers=views)
            self._taking = {name: name not in declared.retire for name in self._beats}


def _cost(pod: Object) -> int:
    return int(pod["metadata"].get("annotations", {}).get(DELETION_COST, "0"))


def _a_pod(name: str, pool: str) -> Object:
    labels = labels_of(pool) | {"pod-template-hash": "t1"}
    spec = {"nodeName": "nowhere", "containers": [{"name": "soldier", "image": "soldier"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def _running(**container: Any) -> Object:
    state = container or {"state": {"running": {"startedAt": "2026-11-21T12:00:00Z"}}}
    return {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "False" if container else "True"}],
        "containerStatuses": [
            {"name": "soldier", "image": "soldier", "imageID": "", "ready": not container, "restartCount": 3, **state}
        ],
    }


@pytest.fixture
async def barracks(stage: Stage) -> AsyncIterator[Barracks]:
    """A pool "render" that may have none to four soldiers, all idle, and an operator that keeps it."""
    await stage.operator()
    spec = {"minReplicas": 0, "maxReplicas": 4, "idleSeconds": 0, "missionsPerSoldier": 1}
    await stage.objects.create("soldierpools", _pool("render", **spec))
    await _until_desired(stage.objects, 0)
    barracks = Barracks(stage.objects, stage.commander, "render")
    playing = asyncio.create_task(barracks.run())
    yield barracks
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing


async def _until_desired(objects: Objects, count: int) -> Object:
    what = f"{count} soldiers are wanted"
    return await objects.until_status("soldierpools", "render", lambda s: s.get("desired") == count, what)


async def _until_told(objects: Objects, reason: str) -> str:
    """Wait for an Event, which is written beside the work it tells of; gives its note."""
    for _ in range(400):
        for what, note in await objects.events_about("render"):
            if what == reason:
                return note
        await asyncio.sleep(0.05)
    raise AssertionError(f"there was no Event {reason}")


async def _until_size(objects: Objects, count: int, *, seconds: float = 45.0) -> None:
    deadline = time.monotonic() + seconds
    while (size := (await objects.get("deployments", "soldier-render"))["spec"]["replicas"]) != count:
        assert time.monotonic() < deadline, f"after {seconds:g} s the Deployment has {size} replicas and not {count}"
        await asyncio.sleep(0.05)


async def test_from_zero_because_it_was_told_and_not_because_it_asked(
    objects: Objects, commander: OperatorsCommander, barracks: Barracks
) -> None:
    key = (objects.namespace, "render")
    view = commander.pools[key]
    await commander.push_pool(key, queued=2)
    commander.pools[key] = view  # whoever asks is told that there is nothing to do
    await _until_size(objects, 2)
    note = await _until_told(objects, "ScaledOut")
    assert note.startswith("0 → 2 soldiers")


async def test_the_idle_retire_say_so_are_marked_and_go_and_the_busy_stay(
    objects: Objects, commander: OperatorsCommander, barracks: Barracks
) -> None:
    key = (objects.namespace, "render")
    await commander.push_pool(key, queued=3)
    await _until_size(objects, 3)
    await until(lambda: len(commander.pools[key].soldiers) == 3, "three soldiers beat")
    busy = commander.pools[key].soldiers[0].pod
    barracks.busy[busy] = 1
    commander.show_pool(key, queued=0, in_flight=1)
    await _until_size(objects, 1)
    await until(lambda: len(barracks.deleted) == 2, "two pods go")
    assert busy not in barracks.deleted
    assert set(barracks.deleted.values()) == {CHEAPEST}, "they were marked before replicas fell"
    assert _cost(await objects.get("pods", busy)) == 0
    await _until_told(objects, "ScaledIn")
    reasons = [reason for reason, _ in await objects.events_about("render")]
    assert reasons[0] == "ScaledOut"
    assert {"Retiring", "ScaledIn"} <= set(reasons)
    await until(lambda: commander.declared[key].retire == (), "nobody is to retire any more")

    barracks.busy.clear()
    commander.show_pool(key, in_flight=0)
    await _until_size(objects, 0)


async def test_kubectl_scale_pins_and_removing_it_frees(
    objects: Objects, commander: OperatorsCommander, barracks: Barracks, kube: KubeAccess
) -> None:
    kube.kubectl("--namespace", objects.namespace, "scale", "soldierpool", "render", "--replicas=3")
    await _until_size(objects, 3)
    await commander.push_pool((objects.namespace, "render"), queued=9)
    limited = await objects.until_status(
        "soldierpools", "render", lambda s: _holding(s)["ScalingLimited"] == "True", "more would be needed"
    )
    assert limited["desired"] == 3
    await objects.patch("soldierpools", "render", {"spec": {"replicas": None}})
    await _until_size(objects, 4)


async def test_without_the_commander_nothing_changes_and_metrics_are_stale(
    objects: Objects, commander: OperatorsCommander, barracks: Barracks
) -> None:
    key = (objects.namespace, "render")
    await commander.push_pool(key, queued=2)
    await _until_size(objects, 2)
    commander.show_pool(key, queued=0)
    commander.go_down()
    await objects.until_status(
        "soldierpools", "render", lambda s: _holding(s)["MetricsStale"] == "True", "its numbers are stale"
    )
    await asyncio.sleep(8)  # longer than fewer must be enough for: here nothing can be waited for
    await _until_size(objects, 2, seconds=0)
    commander.come_back()
    await _until_size(objects, 0)
    status = await objects.until_status(
        "soldierpools", "render", lambda s: _holding(s)["MetricsStale"] == "False", "its numbers are fresh"
    )
    assert _holding(status)["Active"] == "False"


async def test_a_module_that_crashes_shows_in_the_pool_with_its_last_words(stage: Stage, objects: Objects) -> None:
    await stage.operator()
    await objects.create("soldierpools", _pool("render"))
    await _until_desired(objects, 1)
    await objects.request("POST", objects.path("pods"), _a_pod("soldier-render-x", "render"))
    message = "Traceback (most recent call last):\nValueError: no such colour\n"
    crash = {
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": message}},
    }
    await objects.patch("pods", "soldier-render-x", {"status": _running(**crash)}, subresource="status")

    def is_told(status: Object) -> bool:
        ready = next(one for one in status["conditions"] if one["type"] == "Ready")
        return ready["reason"] == "SoldiersCrashing" and "ValueError: no such colour" in ready["message"]

    await objects.until_status("soldierpools", "render", is_told, "the pool repeats what the container said last")
