"""Mission Control as users run it: Commander, soldiers and operator as processes, on real servers and free ports."""

import asyncio
import contextlib
import itertools
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import redis
from chaos.sink import NOTES_VARIABLE, Deed, deeds_in
from support.ledger_history import LedgerHistory
from support.operator_stage import Objects, objects_in
from support.patience import until
from support.rest_door import RestDoor
from tools.installation import ROOT, Cluster, Installation
from tools.stack.ports import LOOPBACK, free_port
from tools.stack.process import Process, tail

from mission_commander.adapters import redis_ledger

TESTS: Final = Path(__file__).parents[1]
TAIL_LINES: Final = 40
KUBELET_SECONDS: Final = 0.5
LEAVE_SECONDS: Final = 25.0
SLOTS: Final = 16


@dataclass(frozen=True, kw_only=True)
class Servers:
    """The RabbitMQ and Redis of one world."""

    rabbitmq_url: str = field(repr=False)
    """Several addresses are separated by commas."""
    redis_url: str = field(repr=False)


class World:
    """One installation. Each part is a process that can be killed and started again with the same settings."""

    def __init__(
        self, servers: Servers, state: Path, *, cluster: Cluster | None = None, times: Mapping[str, str] | None = None
    ) -> None:
        self._servers = servers
        self._cluster = cluster
        self.namespace = cluster.namespace if cluster else "default"
        self._installation = Installation(namespace=self.namespace, state=state)
        self._numbers = itertools.count(1)
        self._port = free_port()
        self._notes = state / "notes"
        self._life = threading.Lock()
        self._times = dict(times or {})
        self.commander = self._commander("commander", self._port)
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
    def install_key(self) -> str:
        """What claim secrets derive from, for tests that speak as a soldier does."""
        return self._installation.install_key

    @property
    def processes(self) -> Sequence[Process]:
        return [self.commander, *self.soldiers, *([self.operator] if self.operator else [])]

    @property
    def notes(self) -> list[Deed]:
        """What the noting handlers did, in order."""
        return deeds_in(self._notes)

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
        """Start the operator again when it ends by itself, as its Deployment does."""
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
    def another_soldier(self, *, probe: str = "readyz", **settings: str) -> Iterator[Process]:
        """Have one more soldier, other than the others, while the block lasts."""
        soldier = self.a_soldier(probe=probe, **settings)
        self.soldiers.append(soldier)
        try:
            soldier.start()
            yield soldier
        finally:
            self.soldiers.remove(soldier)
            soldier.discard()
        assert_unsurprised(soldier)

    @contextlib.contextmanager
    def another_commander(self) -> Iterator[str]:
        """Have one more replica while the block lasts; gives its address."""
        port = free_port()
        commander = self._commander("commander-2", port)
        try:
            commander.start()
            yield f"http://{LOOPBACK}:{port}"
        finally:
            commander.discard()
        assert_unsurprised(commander)

    def _forget(self) -> None:
        """Leave nothing in a Redis that others use too."""
        with contextlib.closing(redis.Redis.from_url(self._servers.redis_url)) as client:
            for key in client.scan_iter(f"{self._installation.prefix}*", count=1000):
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
            credentials = {"client_id": client_id, "client_secret": self._installation.client_secrets[client_id]}
            asked = await client.post("/token", json=credentials)
            assert asked.status_code == 200, asked.text
            client.headers["Authorization"] = f"Bearer {asked.json()['access_token']}"
            yield RestDoor(client)

    def objects(self) -> contextlib.AbstractAsyncContextManager[Objects]:
        """Speak to the API server as its administrator."""
        return objects_in(self.cluster.kube, self.namespace)

    def token(self, client_id: str) -> str:
        """An access token for one of the Commander's clients."""
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            credentials = {"client_id": client_id, "client_secret": self._installation.client_secrets[client_id]}
            answer = client.post("/token", json=credentials)
            assert answer.status_code == 200, answer.text
            return str(answer.json()["access_token"])

    def declare_pool(self, name: str) -> None:
        """Do what the operator does where there is one."""
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            headers = {"Authorization": f"Bearer {self.token('operator')}"}
            client.put(f"/pools/{self.namespace}/{name}", json={}, headers=headers).raise_for_status()

    async def ledger_history(self) -> LedgerHistory:
        """Everything that the ledger ever announced."""
        settings = redis_ledger.RedisSettings(urls=(self._servers.redis_url,), prefix=self._installation.prefix)
        async with redis_ledger.connect(settings, client_name="test") as ledger:
            return await LedgerHistory.of(ledger)

    # Its parts.

    def _commander(self, name: str, port: int) -> Process:
        servers = self._servers
        launch = self._installation.commander(
            name,
            port=port,
            rabbitmq_url=servers.rabbitmq_url,
            redis_url=servers.redis_url,
            settings=self._times,
        )
        return Process(launch)

    def a_soldier(self, *, probe: str = "readyz", **settings: str) -> Process:
        """One soldier; settings as their environment variables' names without the prefix."""
        launch = self._installation.soldier(
            f"soldier-{next(self._numbers)}",
            commander_url=self.url,
            probe=probe,
            rabbitmq_url=self._servers.rabbitmq_url,
            settings={"handlers": "support.noting_handlers", "concurrency": str(SLOTS), **settings},
            environment={"PYTHONPATH": f"{TESTS}{os.pathsep}{ROOT}", NOTES_VARIABLE: str(self._notes)},
        )
        return Process(launch)

    def _operator(self, cluster: Cluster) -> Process:
        launch = self._installation.operator(
            "operator",
            kubeconfig=cluster.operator_kubeconfig,
            commander_url=self.url,
            default_pool=_DEFAULT_POOL,
        )
        return Process(launch)


_DEFAULT_POOL: Final = {"minReplicas": 2, "concurrency": SLOTS}


def assert_unsurprised(process: Process) -> None:
    """Its log holds no traceback; and an operator that stopped did so for want of its Lease."""
    said = process.launch.log.read_text(errors="replace")
    assert "Traceback" not in said, f"{process.launch.name}:\n{said[said.index('Traceback') :][:4000]}"
    stops = [line for line in said.splitlines() if "the operator stops" in line]
    assert all("LeaseLostError" in line for line in stops), stops
