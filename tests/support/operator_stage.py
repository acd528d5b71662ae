"""An operator as users run it (a process, with its own rights only), between a real API server and a fake Commander."""

import asyncio
import base64
import contextlib
import io
import json
import os
import signal
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from support.operators_commander import CLIENT_SECRET, OperatorsCommander
from support.patience import until
from tools.installation import grant, redirected
from tools.stack import KubeAccess
from tools.stack.tcp_proxy import TcpProxy
from yarl import URL

from mission_contracts.resources import API_VERSION, MISSION, SOLDIER_POOL
from mission_operator.screening import shallow

PATIENCE_SECONDS = 30.0
_MANIFESTS = Path(__file__).parents[2] / "manifests"

Object = dict[str, Any]


class Objects:
    """One namespace of the API server, with an administrator's rights and without kubectl's half second per call."""

    def __init__(self, session: aiohttp.ClientSession, server: str, namespace: str) -> None:
        self._session = session
        self._server = server
        self.namespace = namespace

    async def create_missions(self, *names: str, **spec: Any) -> None:
        """Create Missions, one after the other."""
        for name in names:
            body = {"type": "noop", "payload": {"n": name}} | spec
            await self.create("missions", {"kind": "Mission", "metadata": {"name": name}, "spec": body})

    async def create(self, plural: str, body: Object) -> Object:
        return await self.request("POST", self.path(plural), {"apiVersion": API_VERSION} | body)

    async def store(self, plural: str, body: bytes) -> bool:
        """Create an object from text that may not be JSON; False if the API server refuses it."""
        headers = {"Content-Type": "application/json"}
        data = io.BytesIO(body)
        async with self._session.post(self._server + self.path(plural), data=data, headers=headers) as answer:
            await answer.read()
            return answer.status < 300

    async def get(self, plural: str, name: str) -> Object:
        return await self.request("GET", self.path(plural, name))

    async def all(self, plural: str) -> Mapping[str, Object]:
        found = await self.request("GET", self.path(plural))
        items: list[Object] = found["items"]
        return {one["metadata"]["name"]: one for one in items}

    async def delete(self, plural: str, name: str) -> None:
        await self.request("DELETE", self.path(plural, name))

    async def events_about(self, name: str) -> list[tuple[str, str]]:
        """Reason and note of each Event about an object, the oldest first."""
        found = sorted((await self.all("events")).values(), key=lambda one: str(one["eventTime"]))
        return [(one["reason"], one["note"]) for one in found if one["regarding"]["name"] == name]

    async def patch(self, plural: str, name: str, change: Object, *, subresource: str = "") -> Object:
        path = self.path(plural, name) + (f"/{subresource}" if subresource else "")
        return await self.request("PATCH", path, change, content_type="application/merge-patch+json")

    async def states(self) -> Mapping[str, str]:
        """The state that each Mission shows."""
        return {name: one.get("status", {}).get("state", "") for name, one in (await self.all("missions")).items()}

    async def until_states(self, expected: Mapping[str, str], *, seconds: float = PATIENCE_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while (states := await self.states()) != expected:
            assert time.monotonic() < deadline, f"after {seconds:g} s the states are {states} and not {expected}"
            await asyncio.sleep(0.05)

    async def until_status(
        self, plural: str, name: str, holds: Callable[[Object], bool], what: str, *, seconds: float = PATIENCE_SECONDS
    ) -> Object:
        deadline = time.monotonic() + seconds
        while True:
            status: Object = (await self.get(plural, name)).get("status", {})
            if holds(status):
                return status
            assert time.monotonic() < deadline, f"after {seconds:g} s it is not so that {what}: {status}"
            await asyncio.sleep(0.05)

    async def until_gone(self, plural: str, name: str, *, seconds: float = PATIENCE_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while name in await self.all(plural):
            assert time.monotonic() < deadline, f"after {seconds:g} s {name} is still there"
            await asyncio.sleep(0.05)

    async def watch(self, plural: str, *, after: str) -> AsyncIterator[Object]:
        """Every change after a resourceVersion, until the API server ends the watch."""
        asked = {"watch": "1", "resourceVersion": after, "timeoutSeconds": "3600"}
        forever = aiohttp.ClientTimeout(total=None)
        async with self._session.get(self._server + self.path(plural), params=asked, timeout=forever) as answer:
            async for line in answer.content:
                event: Object = json.loads(line)
                assert event["type"] in {"ADDED", "MODIFIED", "DELETED"}, event
                yield event

    def path(self, plural: str, name: str = "") -> str:
        group = _GROUPS.get(plural, f"apis/{API_VERSION}")
        return f"/{group}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    async def request(
        self, method: str, path: str, body: Object | None = None, *, content_type: str = "application/json"
    ) -> Object:
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type}
        while True:
            async with self._session.request(method, self._server + path, data=data, headers=headers) as answer:
                read: Object = json.loads(shallow(await answer.read()))
            if answer.status != 429:
                assert answer.status < 300, f"{method} {path}: {read}"
                return read
            await asyncio.sleep(1)  # what an API server asks for that has just started


_GROUPS = {
    "deployments": "apis/apps/v1",
    "jobs": "apis/batch/v1",
    "leases": "apis/coordination.k8s.io/v1",
    "events": "apis/events.k8s.io/v1",
    "pods": "api/v1",
}


@contextlib.asynccontextmanager
async def objects_in(kube: KubeAccess, namespace: str) -> AsyncIterator[Objects]:
    """Speak to the API server while the context is open."""
    config = json.loads(kube.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    tls = _tls(cluster, user)
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls), headers=headers) as session:
        yield Objects(session, cluster["server"], namespace)


def _tls(cluster: Object, user: Object) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    if "client-certificate-data" in user:
        with tempfile.NamedTemporaryFile() as file:
            file.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
            file.flush()
            context.load_cert_chain(file.name)
    return context


class RunningOperator:
    """One operator process."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    @property
    def said(self) -> str:
        return self._log.read_text()

    async def until_it_says(self, what: str, *, seconds: float = PATIENCE_SECONDS) -> None:
        await until(lambda: what in self.said or not self.is_running, f"the operator says {what!r}", seconds=seconds)
        assert what in self.said, f"the operator ended with {self._process.returncode}:\n{self.said}"

    async def kill(self) -> None:
        """End it without a word, as a node that loses power does."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """End it as a cluster does; gives its exit code."""
        return await self._end(signal.SIGTERM)

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def exit_code(self, *, seconds: float = PATIENCE_SECONDS) -> int:
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    async def _end(self, how: signal.Signals) -> int:
        if self.is_running:
            self._process.send_signal(how)
        return await self._process.wait()


class Stage:
    """Starts operators in one namespace, and ends those that a test left running."""

    def __init__(self, objects: Objects, commander: OperatorsCommander, url: str, kubeconfig: Path) -> None:
        self.objects = objects
        self.commander = commander
        self._url = url
        self._kubeconfig = kubeconfig
        self._running: list[RunningOperator] = []

    @contextlib.asynccontextmanager
    async def link(self) -> AsyncIterator[TcpProxy]:
        """Lay a network to the API server that can be broken."""
        server = URL(json.loads(self._kubeconfig.read_text())["clusters"][0]["cluster"]["server"])
        async with TcpProxy(server.host or "", server.port or 443) as link:
            yield link

    async def operator(
        self, *, must_act: bool = True, through: TcpProxy | None = None, **settings: str
    ) -> RunningOperator:
        """Start an operator; settings as their environment variables' names without the prefix."""
        number = len(self._running)
        folder = self._kubeconfig.parent
        log = folder / f"operator-{number}.log"
        reaching = (
            redirected(self._kubeconfig, through.port, folder / f"operator-{number}.json")
            if through
            else self._kubeconfig
        )
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OPERATOR_")},
            "KUBECONFIG": str(reaching),
            "OPERATOR_COMMANDER_URL": self._url,
            "OPERATOR_CLIENT_SECRET": CLIENT_SECRET,
            "OPERATOR_NAMESPACE": self.objects.namespace,
            "OPERATOR_PROBE_HOST": "127.0.0.1",
            "OPERATOR_PROBE_PORT": "0",
            "OPERATOR_IDENTITY": f"operator-{number}",
            **{f"OPERATOR_{name.upper()}": value for name, value in settings.items()},
        }
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "mission_operator", env=environment, stdout=output, stderr=output
            )
        operator = RunningOperator(process, log)
        self._running.append(operator)
        if must_act:
            await operator.until_it_says("this operator acts now")
        return operator

    async def end(self) -> None:
        for operator in self._running:
            await operator.kill()


def serving_our_kinds(kube: KubeAccess) -> KubeAccess:
    """Have the API server serve Missions and SoldierPools."""
    kube.kubectl("apply", "-f", str(_MANIFESTS / "crds"))
    for resource in (MISSION, SOLDIER_POOL):
        kube.kubectl("wait", "--for=condition=Established", f"crd/{resource.full_name}", "--timeout=30s")
    return kube


@contextlib.asynccontextmanager
async def staged(kube: KubeAccess, namespace: str, folder: Path) -> AsyncIterator[Stage]:
    """Prepare a namespace, its operator's rights, and a Commander that tests control."""
    kubeconfig = grant(kube, namespace, [_MANIFESTS / "base" / "operator" / "rbac.yaml"], folder)
    commander = OperatorsCommander()
    async with objects_in(kube, namespace) as objects, commander.serving() as url:
        stage = Stage(objects, commander, url, kubeconfig)
        try:
            yield stage
        finally:
            await stage.end()
