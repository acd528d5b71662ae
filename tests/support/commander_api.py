"""A whole Commander behind real HTTP on loopback, on memory ledger and broker; and a soldier made of plain requests."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import uvicorn
from fastapi import FastAPI
from support.commander_stage import GatedLedger, eventually

from mission_broker.memory import MemoryBroker
from mission_broker.port import Delivery, Message
from mission_commander import http_server, tls
from mission_commander.adapters.memory_ledger import MemoryStore
from mission_commander.adapters.memory_users import MemoryUserData, MemoryUsers
from mission_commander.app import create_app
from mission_commander.commander import Commander
from mission_commander.services.workloads import Cluster
from mission_commander.settings import CommanderSettings
from mission_contracts import messages, topology
from mission_contracts.messages import AttemptError, ReportKind
from mission_contracts.mission import Failure, Instance
from mission_contracts.signing_keys import SigningKeys
from mission_contracts.soldiering import ClaimAnswer, ClaimAnswers, HeartbeatAnswer
from mission_contracts.tokens import Holder, Role, Tokens

ROLES = {"anna": "user", "ben": "user", "vera": "viewer", "ada": "admin", "operator": "operator", "soldiers": "soldier"}
SECRET = "not a secret at all"
RENEWAL_SECONDS = 0.02
"""How often these tests' Commander looks for a renewed certificate."""


def settings(more_clients: Mapping[str, Mapping[str, str]] | None = None, **fields: Any) -> CommanderSettings:
    clients = {name: {"secret": SECRET, "role": role} for name, role in ROLES.items()} | dict(more_clients or {})
    told: dict[str, Any] = {
        "install_key": "of these tests, and of no installation",
        "clients": clients,
        "password_cost": 4,
        "namespaces": ["elsewhere"],
    } | fields
    return CommanderSettings(**told)


class _Server(uvicorn.Server):
    """Signals are the test run's own, and the end comes as soon as it is asked for."""

    async def main_loop(self) -> None:
        await self.on_tick(0)
        while not self.should_exit:  # noqa: ASYNC110  # uvicorn sets a flag, not an event
            await asyncio.sleep(0.002)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Api:
    """What tests hold on to: clients by who they are, and what is behind the door."""

    def __init__(self, url: str, commander: Commander, app: FastAPI, stack: contextlib.AsyncExitStack) -> None:
        self.url = url
        self.routes = app.routes
        self._uploads = app.state.uploads
        self._uploads_of_parts = app.state.uploads_of_parts
        self.commander = commander
        ledger, broker = commander.ledger, commander.broker
        assert isinstance(ledger, GatedLedger)
        assert isinstance(broker, MemoryBroker)
        self.ledger, self.broker = ledger, broker
        self._stack = stack
        self._clients: dict[str, httpx.AsyncClient] = {}

    @property
    def room_for_bodies(self) -> int:
        """Bytes that large bodies may still take."""
        left: int = self._uploads._left
        return left

    @property
    def room_for_bodies_of_parts(self) -> int:
        """The same, of operators and soldiers."""
        left: int = self._uploads_of_parts._left
        return left

    async def stranger(self) -> httpx.AsyncClient:
        """Somebody without a token."""
        return await self._client("")

    async def client(self, who: str) -> httpx.AsyncClient:
        client = await self._client(who)
        if "Authorization" not in client.headers:
            answer = await client.post("/token", json={"client_id": who, "client_secret": SECRET})
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return client

    async def another(self) -> httpx.AsyncClient:
        """One more client, that nobody else uses."""
        # trust_env: nothing of this machine's proxies has a say on loopback.
        # verify: without TLS there is no need to read all certificates of this machine for each test.
        client = httpx.AsyncClient(base_url=self.url, timeout=15, trust_env=False, verify=False)
        return await self._stack.enter_async_context(client)

    def token(self, subject: str, role: Role, lifetime_seconds: float) -> str:
        """A token that lives as long as is wished, also shorter than any setting allows."""
        tokens = Tokens(SigningKeys(self.commander.install_key), self.commander.clock)
        return tokens.sign(Holder(subject=subject, role=role), lifetime_seconds=lifetime_seconds)

    async def _client(self, who: str) -> httpx.AsyncClient:
        if who not in self._clients:
            self._clients[who] = await self.another()
        return self._clients[who]

    async def submit(self, who: str = "anna", **fields: Any) -> dict[str, Any]:
        """A mission that must be accepted."""
        answer = await (await self.client(who)).post("/missions", json={"type": "noop", "payload": {}} | fields)
        assert answer.status_code == 202, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    async def get(self, mission_id: str, who: str = "anna", **query: Any) -> dict[str, Any]:
        answer = await (await self.client(who)).get(f"/missions/{mission_id}", params=query)
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    async def declare_pool(self, name: str = "default", **fields: Any) -> dict[str, Any]:
        answer = await (await self.client("operator")).put(f"/pools/default/{name}", json=fields)
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown


@asynccontextmanager
async def serving(
    store: MemoryStore | None = None,
    broker: MemoryBroker | None = None,
    *,
    users: MemoryUserData | None = None,
    cluster: Cluster | None = None,
    loaded: bool = True,
    send_buffer: int | None = None,
    **fields: Any,
) -> AsyncIterator[Api]:
    """Serve until the context ends; `loaded=False` does not wait for the ledger, which is cut off then.

    `send_buffer`: bytes that the system keeps for a reader that does not read; it would keep megabytes.
    """
    ledger = GatedLedger(store or MemoryStore())
    if not loaded:
        ledger.cut()
    failures: list[str] = []
    chosen = settings(**fields)
    app = create_app(
        chosen,
        ledger=ledger,
        broker=broker or MemoryBroker(),
        users=MemoryUsers(users),
        cluster=cluster,
        on_failure=lambda: failures.append("a service ended"),
    )
    server = _Server(http_server.config(app, chosen, timeout_graceful_shutdown=1, **tls.files(chosen)))
    scheme = "http" if chosen.tls_certificate_file is None else "https"
    # With its protocol named, asyncio sends small answers at once; else each would wait 40 ms for the one before.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        if send_buffer is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        task = asyncio.create_task(server.serve([listening]))
        try:
            await eventually(lambda: server.started, "the server listens")
            commander: Commander = app.state.commander
            if loaded:
                await eventually(lambda: commander.is_loaded, "the Commander is loaded")
            async with contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(tls.kept_fresh(server.config, chosen, every_seconds=RENEWAL_SECONDS))
                yield Api(f"{scheme}://127.0.0.1:{listening.getsockname()[1]}", commander, app, stack)
            await eventually(lambda: not server.server_state.connections, "the server noticed that all have left")
            assert not failures, failures
        finally:
            server.should_exit = True
            await asyncio.wait([task], timeout=10)
            assert task.done(), "the server does not end"


class Soldier:
    """The least that a soldier does, by hand: register, take orders, claim, report, beat."""

    client_id = "soldiers"

    def __init__(self, api: Api, instance: str = "soldier-1", pool: str = "default") -> None:
        self.api = api
        self.instance = instance
        self.pool = pool
        self.orders: list[tuple[Delivery, messages.Order]] = []
        self.held: dict[tuple[str, int], dict[str, Any]] = {}
        self.beats = 0
        self.last_now = 0.0

    async def register(self, *types: str) -> httpx.Response:
        body = {
            "instance": self.instance,
            "namespace": "default",
            "pool": self.pool,
            "types": [{"name": name} for name in types or ("noop",)],
            "concurrency": 4,
        }
        return await (await self.api.client(self.client_id)).post("/soldiers", json=body)

    @asynccontextmanager
    async def taking(self) -> AsyncIterator[None]:
        """Consume the pool's orders while the context is open."""
        async with contextlib.AsyncExitStack() as stack:
            for queue in topology.queues_of("default", self.pool):
                await stack.enter_async_context(self.api.broker.consume(queue, self._take, prefetch=50))
            yield

    def _take(self, deliveries: Sequence[Delivery]) -> None:
        self.orders += [(one, messages.decode(one.body, messages.Order)) for one in deliveries]

    async def next_order(self) -> messages.Order:
        await eventually(lambda: self.orders, "an order arrives")
        delivery, order = self.orders.pop(0)
        delivery.ack()
        return order

    async def claim(self, order: messages.Order, *, told: bool = False, **fields: Any) -> ClaimAnswer:
        """Ask for an order; `told` sends it along."""
        claim: dict[str, Any] = {
            "mission_id": order.envelope.mission_id,
            "epoch": order.epoch,
            "era": order.era,
            "accepted_at": order.envelope.accepted_at,
        }
        if told:
            claim["order"] = msgspec.to_builtins(messages.encode(order))
        client = await self.api.client(self.client_id)
        answer = await client.post(f"/soldiers/{self.instance}/claims", json={"claims": [claim | fields]})
        assert answer.status_code == 200, answer.text
        [verdict] = msgspec.json.decode(answer.content, type=ClaimAnswers).answers
        if verdict.secret:
            key = (order.envelope.mission_id, order.epoch)
            self.held[key] = {"mission_id": key[0], "epoch": key[1], "secret": verdict.secret}
        return verdict

    async def report(
        self, order: messages.Order, granted: ClaimAnswer, kind: ReportKind = ReportKind.COMPLETED, **fields: Any
    ) -> None:
        report = messages.Report(
            kind=kind,
            mission_id=order.envelope.mission_id,
            epoch=order.epoch,
            secret=granted.secret,
            attempt=granted.attempt,
            envelope=order.envelope,
            envelope_seal=order.envelope_seal,
            **fields,
        )
        status = messages.StatusMessage(
            v=messages.VERSION, era=order.era, instance=Instance(self.instance), reports=(report,)
        )
        body = messages.encode(status)
        await self.api.broker.publish([Message(exchange=topology.REPORTS, key=topology.STATUS.key, body=body)])
        if kind is not ReportKind.PROGRESS:
            self.held[order.envelope.mission_id, order.epoch]["reported"] = True

    async def fail(self, order: messages.Order, granted: ClaimAnswer, failure: Failure, message: str = "no") -> None:
        await self.report(order, granted, ReportKind.FAILED, error=AttemptError(failure=failure, message=message))

    async def beat(self) -> HeartbeatAnswer:
        self.beats += 1
        body = {
            "beat": self.beats, "after": self.last_now, "era": 0, "held": list(self.held.values()), "unclaimed": [],
            "slots": 4, "taking": True,
        }  # fmt: skip
        answer = await (await self.api.client(self.client_id)).post(f"/soldiers/{self.instance}/heartbeat", json=body)
        assert answer.status_code == 200, answer.text
        said = msgspec.json.decode(answer.content, type=HeartbeatAnswer)
        self.last_now = said.now
        for done in (*said.applied, *said.drops):
            self.held.pop((done.mission_id, done.epoch), None)
        return said

    async def run_one(self, kind: ReportKind = ReportKind.COMPLETED, **fields: Any) -> messages.Order:
        """Take an order, run it, report it."""
        order = await self.next_order()
        await self.report(order, await self.claim(order), kind, **fields)
        return order
