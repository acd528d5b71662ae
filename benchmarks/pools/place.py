"""Where pools are measured: an installation that is there already, or a cluster that is made for it and ended."""

import base64
import contextlib
import secrets
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from tools.charts.helm import CHART, RELEASE
from tools.stack import binaries
from tools.stack.commands import finish

from benchmarks.measures import BenchError
from benchmarks.pools.kubectl import Kubectl
from missionctl.client import ClientSecret, MissionControl

ROOT: Final = Path(__file__).parents[2]
CLUSTER: Final = "bench"
COMMAND_TIMEOUT_SECONDS: Final = 1_800.0
"""A first `make cluster` builds programs and base images."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """One installation, by its namespace."""

    namespace: str
    environment: Mapping[str, str] = field(default_factory=dict)
    """What kubectl needs to know beyond this process's own environment."""

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(str(binaries.required("kubectl")), self.namespace, self.environment)

    @contextlib.asynccontextmanager
    async def control(self, url: str = "") -> AsyncIterator[MissionControl]:
        """A client of its Commander: by its Service's own address, which answers on the node, unless one is given."""
        client = ClientSecret("user", await self._secret())
        async with MissionControl(url or await self._service(), client) as control:
            yield control

    async def kubernetes_version(self) -> str:
        return str(msgspec.json.decode(await self.kubectl.run("version", "-o", "json"))["serverVersion"]["gitVersion"])

    async def _secret(self) -> str:
        path = "jsonpath={.data.user-client-secret}"
        return base64.b64decode(await self.kubectl.run("get", "secret", f"{RELEASE}-keys", "-o", path)).decode()

    async def _service(self) -> str:
        path = "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}"
        address = await self.kubectl.run("get", "service", f"{RELEASE}-commander", "-o", path)
        return f"http://{address.decode()}"


@contextlib.contextmanager
def made(cluster: str) -> Iterator[Place]:
    """Make a cluster with our images and an installation without pools; afterwards end it."""
    environment = {"KUBECONFIG": _make("cluster", cluster).splitlines()[-1].removeprefix("export KUBECONFIG=")}
    try:
        _make("images", cluster)
        place = Place(namespace=f"bench-{secrets.token_hex(3)}", environment=environment)
        helm = [str(binaries.required("helm")), "install", RELEASE, str(CHART), "--wait", "--create-namespace"]
        _run(*helm, "--namespace", place.namespace, "--set", "defaultPool.enabled=false", environment=environment)
        yield place
    finally:
        _make("cluster-down", cluster)


def _make(target: str, cluster: str) -> str:
    return _run("make", "--silent", target, f"CLUSTER={cluster}")


def _run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    done = finish(
        command, cwd=ROOT, environment=environment, stderr=sys.stderr, timeout_seconds=COMMAND_TIMEOUT_SECONDS
    )
    if done.returncode:
        raise BenchError(f"`{' '.join(command)}` failed: {done.stdout[-2000:]}")
    return done.stdout
