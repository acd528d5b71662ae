"""Mission Control as users run it: Commander, soldiers and operator as processes, on real servers and free ports."""

import asyncio
import contextlib
import itertools
import json
import os
import secrets
import signal
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import redis
from support.ledger_history import LedgerHistory
from support.noting_handlers import NOTES_VARIABLE, Note, notes_in
from support.operator_stage import Objects, grant, objects_in
from support.patience import until
from support.rest_door import RestDoor
from tools.stack import KubeAccess
from tools.stack.ports import LOOPBACK, free_port
from tools.stack.process import Launch, Process, tail

from mission_commander.adapters import redis_ledger
from mission_contracts.resources import API_VERSION, MISSION, SOLDIER_POOL

TESTS: Final = Path(__file__).parents[1]
MANIFESTS: Final = TESTS.parent / "manifests"
SCRIPTS: Final = Path(sys.executable).parent
TAIL_LINES: Final = 40
KUBELET_SECONDS: Final = 0.5
LEAVE_SECONDS: Final = 25.0
SLOTS: Final = 16


@dataclass(frozen=True, kw_only=True)
class Servers:
    """The RabbitMQ and Redis of one world."""

    rabbitmq_url: str = field(repr=False)
    redis_url: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A namespace that serves our kinds, with its administrator's access and the operator's own."""

    kube: KubeAccess
    namespace: str
    operator_kubeconfig: Path

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return self.kube.kubectl("--namespace", self.namespace, *arguments, stdin=stdin)


def a_cluster(kube: KubeAccess, folder: Path) -> Cluster:
    """Make a namespace and all that an installation applies: kinds, admission policy, the operator's rights."""
    namespace = f"world-{secrets.token_hex(4)}"
    kube.kubectl("create", "namespace", namespace)
    kube.kubectl("apply", "-f", str(MANIFESTS / "crds"), "-f", str(MANIFESTS / "base" / "admission-policy.yaml"))
    for resource in (MISSION, SOLDIER_POOL):
        kube.kubectl("wait", "--for=condition=Established", f"crd/{resource.full_name}", "--timeout=30s")
    kubeconfig = grant(kube, namespace, [MANIFESTS / "base" / "operator" / "rbac.yaml"], folder)
    return Cluster(kube=kube, namespace=namespace, operator_kubeconfig=kubeconfig)


class World:
    """One installation. Each part is a process that can be killed and started again with the same settings."""

    def __init__(
        self, servers: Servers, state: Path, *, cluster: Cluster | None = None, times: Mapping[str, str] | None = None
    ) -> None:
        self._servers = servers
        self._state = state
        self._cluster = cluster
        self._secrets = {name: secrets.token_hex(32) for name in ("install", "operator", "soldier", "user")}
        self._prefix = f"world-{secrets.token_hex(4)}:"
        self._numbers = itertools.count(1)
        self._port = free_port()
        self._notes = state / "notes"
        self._life = threading.Lock()
        self.namespace = cluster.namespace if cluster else "default"
        self.commander = self._commander(times or {})
        self.soldiers: list[Process] = []
        self.operator = self._operator(cluster) if cluster else None

    @property
    def cluster(self) -> Cluster:
        assert self._cluster is not None, "this world has no cluster"
        return self._cluster

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def processes(self) -> Sequence[Process]:
        return [self.commander, *self.soldiers, *([self.operator] if self.operator else [])]

    @property
    def notes(self) -> list[Note]:
        """What the noting handlers did, in order."""
        return notes_in(self._notes)

    # Its life.

    @contextlib.contextmanager
    def running(self, *, soldiers: int = 1, **settings: str) -> Iterator["World"]:
        """Have everything serve while the block lasts; settings are the soldiers'."""
        self.soldiers = [self.a_soldier(**settings) for _ in range(soldiers)]
        try:
            self._start(self.commander)
            if self.operator is None:
                self.declare_pool("default")
            self._start(*self.processes)
            with self._kubelet():
                yield self
        finally:
            with ThreadPoolExecutor() as threads:
                list(threads.map(Process.discard, self.processes))
            self._forget()

    @contextlib.contextmanager
    def _kubelet(self) -> Iterator[None]:
        """Start the operator again when it ends by itself, as its Deployment does: without its Lease it must end."""
        stop = threading.Event()

        def watch(operator: Process) -> None:
            while not stop.wait(KUBELET_SECONDS):
                with self._life:
                    if not operator.is_running:
                        operator.stop()
                        operator.start()

        watching = [threading.Thread(target=watch, args=[self.operator])] if self.operator else []
        for thread in watching:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in watching:
                thread.join()

    async def kill(self, process: Process) -> None:
        """SIGKILL, as a node that loses power does; `start` starts it again."""
        await asyncio.to_thread(self._alone, process.kill)

    async def start(self, process: Process) -> None:
        """Start it, and return when it serves."""
        await asyncio.to_thread(self._alone, process.start)

    def _alone(self, deed: Callable[[], None]) -> None:
        with self._life:
            deed()

    @staticmethod
    def _start(*processes: Process) -> None:
        with ThreadPoolExecutor() as threads:
            list(threads.map(Process.start, processes))

    @contextlib.contextmanager
    def another_soldier(self, **settings: str) -> Iterator[Process]:
        """Have one more soldier, other than the others, while the block lasts."""
        soldier = self.a_soldier(**settings)
        self.soldiers.append(soldier)
        try:
            soldier.start()
            yield soldier
        finally:
            self.soldiers.remove(soldier)
            soldier.discard()
        assert_unsurprised(soldier)

    def _forget(self) -> None:
        """Leave nothing in a Redis that others use too."""
        with contextlib.closing(redis.Redis.from_url(self._servers.redis_url)) as client:
            for key in client.scan_iter(f"{self._prefix}*", count=1000):
                client.unlink(key)

    def mend(self) -> None:
        """Start what a test left killed."""
        with self._life:
            self._start(*self.processes)

    async def leave(self, soldier: Process) -> None:
        """Send SIGTERM and wait until the soldier has left of its own accord."""
        os.kill(soldier.pid, signal.SIGTERM)
        await until(lambda: not soldier.is_running, f"{soldier.launch.name} leaves", seconds=LEAVE_SECONDS)
        soldier.stop()

    # How it went.

    def assert_well(self) -> None:
        """Nothing crashed: every process lives, no log holds a traceback, and an operator ended for its Lease only."""
        with self._life:
            dead = [one.launch.name for one in self.processes if not one.is_running]
        assert not dead, f"these processes are no more: {dead}"
        for one in self.processes:
            said = one.launch.log.read_text(errors="replace")
            assert "Traceback" not in said, (
                f"{one.launch.name} was surprised:\n{said[said.index('Traceback') :][:4000]}"
            )

    def last_words(self) -> list[tuple[str, str]]:
        """The end of each log, for the report of a failed test."""
        return [(f"log of {one.launch.name}", tail(one.launch.log, lines=TAIL_LINES)) for one in self.processes]

    # Its doors.

    @contextlib.asynccontextmanager
    async def door(self, client_id: str = "user") -> AsyncIterator[RestDoor]:
        """Speak to the Commander as one of its clients."""
        async with httpx.AsyncClient(base_url=self.url, timeout=30, trust_env=False) as client:
            credentials = {"client_id": client_id, "client_secret": self._secrets[client_id]}
            asked = await client.post("/token", json=credentials)
            assert asked.status_code == 200, asked.text
            client.headers["Authorization"] = f"Bearer {asked.json()['access_token']}"
            yield RestDoor(client)

    def objects(self) -> contextlib.AbstractAsyncContextManager[Objects]:
        """Speak to the API server as its administrator."""
        return objects_in(self.cluster.kube, self.namespace)

    def declare_pool(self, name: str) -> None:
        """Do what the operator does where there is one."""
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            credentials = {"client_id": "operator", "client_secret": self._secrets["operator"]}
            token = client.post("/token", json=credentials).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            client.put(f"/pools/{self.namespace}/{name}", json={}, headers=headers).raise_for_status()

    async def ledger_history(self) -> LedgerHistory:
        """Everything that the ledger ever announced."""
        settings = redis_ledger.RedisSettings(urls=(self._servers.redis_url,), prefix=self._prefix)
        async with redis_ledger.connect(settings, client_name="test") as ledger:
            return await LedgerHistory.of(ledger)

    # Its parts.

    def _commander(self, times: Mapping[str, str]) -> Process:
        clients = {role: {"secret": self._secrets[role], "role": role} for role in ("operator", "soldier", "user")}
        environment = {
            "COMMANDER_INSTALL_KEY": self._secrets["install"],
            "COMMANDER_CLIENTS": json.dumps(clients),
            "COMMANDER_NAMESPACE": self.namespace,
            "COMMANDER_LISTEN_PORT": str(self._port),
            "COMMANDER_RABBITMQ_URLS": json.dumps([self._servers.rabbitmq_url]),
            "COMMANDER_REDIS_URL": self._servers.redis_url,
            "COMMANDER_REDIS_PREFIX": self._prefix,
            **{f"COMMANDER_{name.upper()}": value for name, value in times.items()},
        }
        return self._process("commander", [str(SCRIPTS / "mission-commander")], f"{self.url}/readyz", environment)

    def a_soldier(self, **settings: str) -> Process:
        """One soldier; settings as their environment variables' names without the prefix."""
        port = free_port()
        known = {
            "commander_url": self.url,
            "client_secret": self._secrets["soldier"],
            "rabbitmq_urls": self._servers.rabbitmq_url,
            "namespace": self.namespace,
            "handlers": "support.noting_handlers",
            "concurrency": str(SLOTS),
            "probe_port": str(port),
            **settings,
        }
        environment = {f"SOLDIER_{name.upper()}": value for name, value in known.items()}
        environment |= {"PYTHONPATH": str(TESTS), NOTES_VARIABLE: str(self._notes)}
        name = f"soldier-{next(self._numbers)}"
        return self._process(name, [str(SCRIPTS / "mission-soldier")], f"http://{LOOPBACK}:{port}/readyz", environment)

    def _operator(self, cluster: Cluster) -> Process:
        port = free_port()
        pool = self._state / "default-pool.json"
        pool.write_text(json.dumps(_DEFAULT_POOL))
        environment = {
            "KUBECONFIG": str(cluster.operator_kubeconfig),
            "OPERATOR_COMMANDER_URL": self.url,
            "OPERATOR_CLIENT_SECRET": self._secrets["operator"],
            "OPERATOR_NAMESPACE": cluster.namespace,
            "OPERATOR_DEFAULT_POOL_FILE": str(pool),
            "OPERATOR_PROBE_HOST": LOOPBACK,
            "OPERATOR_PROBE_PORT": str(port),
        }
        command = [sys.executable, "-m", "mission_operator"]
        return self._process("operator", command, f"http://{LOOPBACK}:{port}/readyz", environment)

    def _process(self, name: str, command: Sequence[str], probe: str, environment: Mapping[str, str]) -> Process:
        launch = Launch(
            name=name,
            command=tuple(command),
            is_ready=lambda: _answers(probe),
            log=self._state / f"{name}.log",
            environment=environment,
        )
        return Process(launch)


_DEFAULT_POOL: Final = {
    "apiVersion": API_VERSION,
    "kind": SOLDIER_POOL.kind,
    "metadata": {"name": "default"},
    "spec": {"minReplicas": 2, "concurrency": SLOTS},
}


def assert_unsurprised(process: Process) -> None:
    """Its log holds no traceback; and an operator that stopped did so for want of its Lease."""
    said = process.launch.log.read_text(errors="replace")
    assert "Traceback" not in said, f"{process.launch.name}:\n{said[said.index('Traceback') :][:4000]}"
    stops = [line for line in said.splitlines() if "the operator stops" in line]
    assert all("LeaseLostError" in line for line in stops), stops


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2):
            return True
    except OSError:
        return False
