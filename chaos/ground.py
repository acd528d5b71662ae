"""The ground that is fought over: real servers, our processes, and a proxy between every pair of them."""

import asyncio
import contextlib
import dataclasses
import math
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from tools import stack
from tools.installation import ROOT, Cluster, Installation, a_cluster, redirected
from tools.stack import ApiServer, RabbitServer, RedisServer
from tools.stack.ports import LOOPBACK, free_port
from tools.stack.process import Launch, Process
from tools.stack.tcp_proxy import TcpProxy
from yarl import URL

from chaos import sink
from chaos.errors import ChaosError
from chaos.sink import NOTES_VARIABLE, Deed

COMMANDERS: Final = ("commander-1", "commander-2")
SOLDIERS: Final = ("soldier-1", "soldier-2", "soldier-3")
OPERATOR: Final = "operator"
SECOND_OPERATOR: Final = "operator-2"
"""Runs only while two are to act at once: it has a Lease of its own."""
SLOTS: Final = 6
"""Few, so that some orders wait in their queue when a fault strikes."""
START_SECONDS: Final = 60.0
LEAVE_SECONDS: Final = 40.0
KUBELET_SECONDS: Final = 0.3
LOOK_SECONDS: Final = 0.05

RABBITMQ: Final = "rabbitmq"
REDIS: Final = "redis"
API_SERVER: Final = "api-server"
COMMANDER: Final = "commander"
"""As the far end of a link: the Service in front of all Commanders."""
CLIENTS: Final = "clients"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Servers:
    """The real ones."""

    redis: RedisServer
    rabbitmq: RabbitServer
    kube: ApiServer


@contextlib.contextmanager
def servers(state: Path) -> Iterator[Servers]:
    """Run all three until the block ends."""
    with stack.redis_server(state) as redis, stack.rabbitmq_server(state) as rabbitmq, stack.api_server(state) as kube:
        yield Servers(redis=redis, rabbitmq=rabbitmq, kube=kube)


class Part:
    """One process of ours. While it is wanted it is started again when it ends, as a kubelet does."""

    def __init__(self, launch: Launch) -> None:
        # Starting returns at once: with a fault around it may take long until it serves.
        self._process = Process(dataclasses.replace(launch, is_ready=lambda: True))
        self._serves = launch.is_ready
        self._environment = launch.environment
        self._life = asyncio.Lock()
        self.is_wanted = False
        self.started_at = math.inf
        """On the clock of the machine; never, while it was not started."""

    @property
    def name(self) -> str:
        return self._process.launch.name

    @property
    def log(self) -> Path:
        return self._process.launch.log

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.is_running

    async def start(self) -> None:
        self.is_wanted = True
        await self.mend()

    async def mend(self) -> None:
        """Start it if it is wanted and does not run."""
        async with self._life:
            if self.is_wanted and not self._process.is_running:
                await asyncio.to_thread(self._restart)

    async def kill(self) -> None:
        """SIGKILL, as a node that loses power does."""
        self.is_wanted = False
        async with self._life:
            await asyncio.to_thread(self._process.kill)

    async def leave(self) -> None:
        """SIGTERM, as a deploy does, and wait until it has left of its own accord."""
        self.is_wanted = False
        if self._process.is_running:
            os.kill(self.pid, signal.SIGTERM)
        await until(lambda: not self._process.is_running, f"{self.name} leaves when it is told to", LEAVE_SECONDS)
        async with self._life:
            await asyncio.to_thread(self._process.stop)

    async def restart(self, environment: Mapping[str, str]) -> None:
        """End it in order, and start it with these variables beside its own, until it is restarted again."""
        await self.leave()
        launch = self._process.launch
        told = {**self._environment, **environment}
        self._process = Process(dataclasses.replace(launch, environment=told))
        await self.start()
        await self.until_serving()

    def freeze(self) -> None:
        self._process.freeze()

    def thaw(self) -> None:
        self._process.thaw()

    async def until_serving(self) -> None:
        """Wait until it says that it is ready."""
        deadline = time.monotonic() + START_SECONDS
        while not await asyncio.to_thread(self._serves):
            if time.monotonic() > deadline:
                raise ChaosError(f"{self.name} does not serve within {START_SECONDS:g} s: see {self.log}")
            await asyncio.sleep(LOOK_SECONDS)

    def discard(self) -> None:
        self._process.discard()

    def _restart(self) -> None:
        self._process.stop()  # of one that ended by itself something is left to close
        self.started_at = time.time()
        self._process.start()


class Ground:
    """One installation that can be broken."""

    def __init__(
        self,
        these: Servers,
        cluster: Cluster,
        installation: Installation,
        parts: Mapping[str, Part],
        links: Mapping[tuple[str, str], TcpProxy],
        rabbitmq_url: str,
        notes: Path,
        commander_urls: Mapping[str, str],
    ) -> None:
        self.commander_urls = commander_urls
        """Each Commander by itself, for who compares them."""
        self.servers = these
        self.cluster = cluster
        self.installation = installation
        self.parts = parts
        self.links = links
        self.rabbitmq_url = rabbitmq_url
        """The broker as nobody breaks it, for the hand that breaks."""
        self.notes = notes

    @property
    def namespace(self) -> str:
        return self.cluster.namespace

    @property
    def url(self) -> str:
        """The Commanders, as clients reach them."""
        return _url(self.link(CLIENTS, COMMANDER))

    @property
    def regulars(self) -> Sequence[Part]:
        """The processes that run when nothing is broken."""
        return [part for name, part in self.parts.items() if name != SECOND_OPERATOR]

    @property
    def noted_bytes(self) -> int:
        """How much the handlers have noted so far."""
        return self.notes.stat().st_size if self.notes.exists() else 0

    @property
    def remembered_since(self) -> float:
        """When the older of the Commanders began: what was final later is in the memory of one of them."""
        return min(self.parts[name].started_at for name in COMMANDERS)

    def running(self, soldier: str, *, noted_after: int) -> Mapping[str, Deed]:
        """What a soldier runs at this moment, by mission id."""
        return sink.running(sink.deeds_in(self.notes, after=noted_after), self.parts[soldier].pid)

    def link(self, near: str, far: str) -> TcpProxy:
        return self.links[near, far]

    def links_to(self, far: str) -> Sequence[TcpProxy]:
        return [proxy for (_, end), proxy in self.links.items() if end == far]

    async def mend(self) -> None:
        """Have everything run and serve and flow again, whatever was done to it."""
        for proxy in self.links.values():
            proxy.flow()
            await proxy.restore()
        for server in (self.servers.redis, self.servers.rabbitmq, self.servers.kube):
            server.thaw()
            await asyncio.to_thread(server.start)
        for part in self.regulars:
            part.thaw()
        await asyncio.gather(*(part.start() for part in self.regulars))
        await asyncio.gather(*(part.until_serving() for part in self.regulars))

    @contextlib.asynccontextmanager
    async def kubelet(self) -> AsyncIterator[None]:
        """Start again what ends by itself, while the block lasts: an operator that lost its Lease has to end."""

        async def watch() -> None:
            while True:
                await asyncio.gather(*(part.mend() for part in self.parts.values()))
                await asyncio.sleep(KUBELET_SECONDS)

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


@contextlib.asynccontextmanager
async def ground(these: Servers, state: Path, *, times: Mapping[str, str]) -> AsyncIterator[Ground]:
    """Two Commanders, three soldiers and an operator, on servers that run; `times` are the Commanders' settings."""
    cluster = await asyncio.to_thread(a_cluster, these.kube.access, state)
    await asyncio.to_thread(_allow_second_operator, cluster)
    rabbitmq_url = await asyncio.to_thread(these.rabbitmq.fresh_vhost)
    installation = Installation(namespace=cluster.namespace, state=state)
    ports = {name: free_port() for name in COMMANDERS}
    async with contextlib.AsyncExitStack() as opened:
        links = await _links(these, ports, opened)
        launches = _launches(installation, cluster, links, ports, rabbitmq_url, these.redis.url, state, times)
        parts = {launch.name: Part(launch) for launch in launches}
        for part in parts.values():
            opened.callback(part.discard)
        addresses = {name: f"http://{LOOPBACK}:{port}" for name, port in ports.items()}
        here = Ground(these, cluster, installation, parts, links, rabbitmq_url, state / "notes", addresses)
        await here.mend()
        await asyncio.to_thread(these.rabbitmq.settle)
        async with here.kubelet():
            yield here


async def _links(
    these: Servers, ports: Mapping[str, int], opened: contextlib.AsyncExitStack
) -> Mapping[tuple[str, str], TcpProxy]:
    far_ends = {
        RABBITMQ: [these.rabbitmq.port],
        REDIS: [these.redis.port],
        API_SERVER: [these.kube.cluster.port],
        COMMANDER: list(ports.values()),
    }
    pairs = [
        *((near, far) for near in COMMANDERS for far in (RABBITMQ, REDIS)),
        *((near, far) for near in SOLDIERS for far in (RABBITMQ, COMMANDER)),
        *((near, far) for near in (OPERATOR, SECOND_OPERATOR) for far in (API_SERVER, COMMANDER)),
        (CLIENTS, COMMANDER),
    ]
    links = {}
    for near, far in pairs:
        first, *others = far_ends[far]
        proxy = TcpProxy(LOOPBACK, first, others=[(LOOPBACK, port) for port in others])
        links[near, far] = await opened.enter_async_context(proxy)
    return links


def _launches(
    installation: Installation,
    cluster: Cluster,
    links: Mapping[tuple[str, str], TcpProxy],
    ports: Mapping[str, int],
    rabbitmq_url: str,
    redis_url: str,
    state: Path,
    times: Mapping[str, str],
) -> Iterator[Launch]:
    handlers = {"PYTHONPATH": str(ROOT), NOTES_VARIABLE: str(state / "notes")}
    for name in COMMANDERS:
        yield installation.commander(
            name,
            port=ports[name],
            rabbitmq_url=_through(links[name, RABBITMQ], rabbitmq_url),
            redis_url=_through(links[name, REDIS], redis_url),
            settings=times,
        )
    for name in SOLDIERS:
        yield installation.soldier(
            name,
            commander_url=_url(links[name, COMMANDER]),
            rabbitmq_url=_through(links[name, RABBITMQ], rabbitmq_url),
            settings={"handlers": "chaos.handlers", "concurrency": str(SLOTS)},
            environment=handlers,
        )
    for name in (OPERATOR, SECOND_OPERATOR):
        yield installation.operator(
            name,
            kubeconfig=redirected(
                cluster.operator_kubeconfig, links[name, API_SERVER].port, state / f"{name}-kubeconfig.json"
            ),
            commander_url=_url(links[name, COMMANDER]),
            default_pool={"minReplicas": len(SOLDIERS), "concurrency": SLOTS},
            # A container that is started again in its pod keeps its identity, which is the name of its pod.
            settings={"lease_name": f"mission-{name}", "identity": name},
        )


def _allow_second_operator(cluster: Cluster) -> None:
    """A Role cannot name a Lease that another installation would use: the second operator's is granted beside it."""
    lease = f"mission-{SECOND_OPERATOR}"
    verbs = "--verb=get,list,watch,update"
    cluster.kubectl("create", "role", lease, verbs, "--resource=leases", f"--resource-name={lease}")
    account = f"--serviceaccount={cluster.namespace}:mission-operator"
    cluster.kubectl("create", "rolebinding", lease, f"--role={lease}", account)


def _through(link: TcpProxy, url: str) -> str:
    return str(URL(url).with_host(LOOPBACK).with_port(link.port))


def _url(link: TcpProxy) -> str:
    return f"http://{LOOPBACK}:{link.port}"


async def until(holds: Callable[[], bool], what: str, seconds: float) -> None:
    """Wait until something holds; ChaosError with what never did."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise ChaosError(f"in {seconds:g} s it never came to pass that {what}")
        await asyncio.sleep(LOOK_SECONDS)


async def within(seconds: float, deed: Awaitable[object], what: str) -> None:
    """Wait for something, for a bounded time."""
    try:
        async with asyncio.timeout(seconds):
            await deed
    except TimeoutError as error:
        raise ChaosError(f"in {seconds:g} s it never came to pass that {what}") from error
