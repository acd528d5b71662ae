"""The product as helm installs it into a namespace of a real cluster, and its two doors from outside."""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import httpx
import pytest
from support.cluster_door import ClusterDoor
from support.nodes import Node, run
from support.operator_stage import Object, Objects, objects_in
from support.rest_door import RestDoor
from tools.charts import helm
from tools.stack import binaries

RELEASE: Final = "mission-control"
PATIENCE_SECONDS: Final = 180.0
HAS_FAILED: Final = pytest.StashKey[bool]()
"""In the stash of a test that failed."""
VALUES: Final = ("--set", "defaultPool.spec.maxReplicas=2")
"""The autoscaler would bring more soldiers than a node of two cores starts in good time."""


@dataclass(frozen=True)
class Installation:
    """One release; it need not be installed yet."""

    node: Node
    namespace: str

    def helm(self, verb: str, *options: str) -> str:
        """Run helm on the release, with the chart where the verb takes one."""
        chart = [str(helm.CHART), *VALUES] if verb in {"install", "upgrade"} else []
        where = ["--namespace", self.namespace]
        # What a hook's pod says comes on the error stream, and belongs to what one reads.
        both_streams = ["bash", "-c", 'exec "$@" 2>&1', "helm", str(binaries.required("helm"))]
        environment = self.node.access.environment()
        return run(*both_streams, verb, RELEASE, *chart, *where, *options, environment=environment)

    def reinstall(self) -> None:
        """Install again, and delete all missions: what the last test left may be in any state."""
        self.helm("uninstall", "--no-hooks", "--ignore-not-found")
        self.helm("install", "--wait")
        self.kubectl("delete", "missions", "--all", "--timeout=120s")

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl in the namespace."""
        program = str(self.node.access.kubectl_binary)
        environment = self.node.access.environment()
        return run(program, "--namespace", self.namespace, *arguments, environment=environment, stdin=stdin)

    # What runs.

    def pods(self, beginning: str = "") -> Mapping[str, Object]:
        """The pods whose names begin like this, without those that are on their way out."""
        found = json.loads(self.kubectl("get", "pods", "-o", "json"))["items"]
        return {
            one["metadata"]["name"]: one
            for one in found
            if one["metadata"]["name"].startswith(beginning) and "deletionTimestamp" not in one["metadata"]
        }

    def soldiers(self) -> Mapping[str, Object]:
        return self.pods("soldier-")

    async def until_ready(self, beginning: str, count: int = 1) -> None:
        """Wait until exactly so many pods of this kind are there, and ready."""

        def are_ready() -> bool:
            pods = self.pods(beginning)
            return len(pods) == count and all(map(is_ready, pods.values()))

        await self._until(are_ready, lambda: f"{count} pods {beginning}* are ready")

    async def until_no_pod_is_left(self) -> None:
        """Wait until the last pod of any kind has ended."""

        def none_is_left() -> bool:
            return self.kubectl("get", "pods", "-l", "app.kubernetes.io/name", "-o", "name") == ""

        await self._until(none_is_left, lambda: f"no pod is left: {self.kubectl('get', 'pods')}")

    async def have_soldiers(self, count: int) -> None:
        """Pin the default pool to so many soldiers, and wait for them."""
        change = json.dumps({"spec": {"replicas": count}})
        self.kubectl("patch", "soldierpool", "default", "--type=merge", f"--patch={change}")
        await self.until_ready("soldier-", count)

    async def _until(self, holds: Callable[[], bool], what: Callable[[], str]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not await asyncio.to_thread(holds):
            assert time.monotonic() < deadline, f"in {PATIENCE_SECONDS:g} s it never came to pass that {what()}"
            await asyncio.sleep(0.2)

    # Its doors.

    @contextlib.asynccontextmanager
    async def rest(self, client_id: str = "user") -> AsyncIterator[RestDoor]:
        """The Commander's Service, as one of the chart's clients sees it."""
        address = self.kubectl("get", "service", f"{RELEASE}-commander", "-o", "jsonpath={.spec.clusterIP}")
        async with httpx.AsyncClient(base_url=f"http://{address}:8484", timeout=30, trust_env=False) as client:
            credentials = {"client_id": client_id, "client_secret": self._client_secret(client_id)}
            token = (await client.post("/token", json=credentials)).raise_for_status().json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            yield RestDoor(client)

    @contextlib.asynccontextmanager
    async def cluster(self) -> AsyncIterator[ClusterDoor]:
        """The API server, as its administrator sees it."""
        async with self.objects() as objects:
            yield ClusterDoor(self, objects)

    def objects(self) -> contextlib.AbstractAsyncContextManager[Objects]:
        return objects_in(self.node.access, self.namespace)

    def _client_secret(self, client_id: str) -> str:
        data = self.kubectl("get", "secret", f"{RELEASE}-keys", "-o", f"jsonpath={{.data.{client_id}-client-secret}}")
        return base64.b64decode(data).decode()


@contextlib.contextmanager
def installed(node: Node, namespace: str, *options: str) -> Iterator[Installation]:
    """Have the product in a namespace of its own, which refuses every pod that is not restricted."""
    installation = Installation(node, namespace)
    node.kubectl("create", "namespace", namespace)
    node.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    installation.helm("install", "--wait", *options)
    yield installation
    installation.helm("uninstall", "--no-hooks", "--ignore-not-found")
    node.kubectl("delete", "namespace", namespace, "--wait=false")


def is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def image_of(pod: Object) -> str:
    return str(pod["spec"]["containers"][0]["image"])
