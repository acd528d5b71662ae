"""A pool's surroundings in memory: a Commander, soldiers, and a cluster that does as a Deployment's controllers do."""

import contextlib
import itertools
from collections.abc import Mapping
from typing import Any

import msgspec
from support.pool_builders import INSTALLATION, a_pool, a_pool_view, a_soldier_view

from mission_contracts.rest import PoolDeclaration, PoolView, SoldierView
from mission_contracts.testing import FakeClock
from mission_operator.announcing import Regarding
from mission_operator.commander.client import CommanderAwayError
from mission_operator.kube import Answer
from mission_operator.pools.keeping import PoolKeeper
from mission_operator.pools.observing import Pool

Object = dict[str, Any]


class FakeCluster:
    """Deployments and pods of one pool; `settle` plays the controllers and the kubelet."""

    def __init__(self) -> None:
        self.deployment: Object | None = None
        self.pods: dict[str, Object] = {}
        self.status: Object = {}
        self.applied = self.listed = self.annotated = self.described = 0
        self.deleted: list[str] = []
        self.refuses_lists = False
        self._numbers = itertools.count()

    @property
    def size(self) -> int:
        assert self.deployment is not None, "there is no Deployment"
        return int(self.deployment["spec"]["replicas"])

    def annotations(self, pod: str) -> Mapping[str, str]:
        found: dict[str, str] = self.pods[pod]["metadata"]["annotations"]
        return found

    def settle(self) -> None:
        """Make pods that run, or delete the cheapest."""
        order = sorted(self.pods, key=lambda pod: int(self.annotations(pod).get(_COST, "0")))
        for pod in order[: max(0, len(self.pods) - self.size)]:
            del self.pods[pod]
            self.deleted.append(pod)
        while len(self.pods) < self.size:
            name = f"pod-{next(self._numbers)}"
            self.pods[name] = _a_pod(name)

    def break_pod(self, pod: str, **container: Any) -> None:
        self.pods[pod]["status"] = {
            "phase": "Running", "conditions": [], "containerStatuses": [{"name": "soldier", **container}],
        }  # fmt: skip

    # What the operator calls.

    async def read_deployment(self, _: Pool) -> Answer:
        if self.deployment is None:
            return Answer(404, b'{"details": {"name": "soldier-render"}}')
        return Answer(200, msgspec.json.encode(self.deployment))

    async def apply_deployment(self, _: Pool, manifest: Mapping[str, Any]) -> Answer:
        self.applied += 1
        self.deployment = dict(manifest) | {"status": {"replicas": len(self.pods), "readyReplicas": len(self.pods)}}
        return Answer(200, msgspec.json.encode(self.deployment))

    async def list_pods(self, _: Pool) -> Answer:
        self.listed += 1
        if self.refuses_lists:
            return Answer(403, b'{"message": "forbidden"}')
        return Answer(200, msgspec.json.encode({"items": list(self.pods.values())}))

    async def annotate_pod(self, _: Pool, name: str, annotations: Mapping[str, str | None]) -> Answer:
        self.annotated += 1
        if name not in self.pods:
            return Answer(404, msgspec.json.encode({"details": {"name": name}}))
        found = self.pods[name]["metadata"]["annotations"]
        found |= {key: value for key, value in annotations.items() if value is not None}
        for key in [key for key, value in annotations.items() if value is None]:
            found.pop(key, None)
        return Answer(200, b"{}")

    async def patch_status(self, _: Pool, patch: bytes) -> Answer:
        self.described += 1
        self.status = msgspec.json.decode(patch)[1]["value"]
        return Answer(200, b"{}")


_COST = "controller.kubernetes.io/pod-deletion-cost"


def _a_pod(name: str) -> Object:
    running = {"name": "soldier", "state": {"running": {"startedAt": "2026-11-21T12:00:00Z"}}}
    return {
        "metadata": {"name": name, "labels": {"pod-template-hash": "t1"}, "annotations": {}},
        "spec": {"nodeName": "n1"},
        "status": {
            "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [running],
        },
    }  # fmt: skip


class PoolStage:
    """One keeper between a Commander and a cluster, and soldiers in the cluster's pods that beat and obey."""

    def __init__(self, **spec: Any) -> None:
        self.clock = FakeClock()
        self.cluster = FakeCluster()
        self.declared: list[PoolDeclaration] = []
        self.is_away = False
        self.work: dict[str, Any] = {}
        """The pool's numbers, beside its soldiers."""
        self.busy: dict[str, int] = {}
        self.told: list[tuple[str, str]] = []
        self.views: dict[str, SoldierView] = {}
        self.keeper = self.another(**spec)

    def another(self, **spec: Any) -> PoolKeeper:
        """A keeper that remembers nothing, as after an operator's restart."""
        self.keeper = PoolKeeper(a_pool(**spec), self, self.cluster, INSTALLATION, self, self.clock)
        return self.keeper

    def respec(self, **spec: Any) -> None:
        self.keeper.pool = a_pool(status=self.cluster.status, **spec)

    async def declare_pool(self, _namespace: str, _name: str, declaration: PoolDeclaration) -> PoolView:
        if self.is_away:
            raise CommanderAwayError("away for a test")
        self.declared.append(declaration)
        return self.view()

    def tell(self, _regarding: Regarding, reason: str, note: str, *, is_bad: bool = False) -> None:
        self.told.append((f"!{reason}" if is_bad else reason, note))

    def view(self) -> PoolView:
        return a_pool_view(*self.views.values(), **self.work)

    def beat(self) -> None:
        """Every soldier says what it does, and obeys what it is answered before the next beat."""
        retire = self.declared[-1].retire if self.declared else ()
        for pod in self.views.keys() - self.cluster.pods.keys():
            del self.views[pod]
        for pod in self.cluster.pods:
            before = self.views.get(pod)
            is_taking = True if before is None else before.taking if before.beat % 2 else pod not in retire
            self.views[pod] = a_soldier_view(
                pod, busy=self.busy.get(pod, 0), taking=is_taking, beat=before.beat + 1 if before else 1
            )

    async def look(self, *, seconds: float = 2.0, polled: bool = True) -> None:
        """Let the time of one look pass: beats, numbers, a look, and the cluster follows."""
        self.clock.turn(seconds)
        self.beat()
        if polled and not self.is_away and self.keeper.is_declared:
            self.keeper.take(self.view())
        await self.keeper.look()
        with contextlib.suppress(AssertionError):
            self.cluster.settle()

    async def looks(self, seconds: float) -> None:
        for _ in range(int(seconds / 2)):
            await self.look()

    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.told]

    def condition(self, kind: str) -> tuple[str, str]:
        found = next(one for one in self.cluster.status["conditions"] if one["type"] == kind)
        return found["status"], found["reason"]
