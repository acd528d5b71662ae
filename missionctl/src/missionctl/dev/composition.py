"""Commander and Soldier put together in one event loop, on one memory broker and one memory ledger."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import httpx
import msgspec
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from mission_broker.memory import MemoryBroker
from mission_broker.memory_server import MemoryServer
from mission_commander import http_server
from mission_commander.adapters.memory_ledger import MemoryLedger
from mission_commander.adapters.memory_users import MemoryUsers
from mission_commander.app import create_app
from mission_commander.commander import Commander
from mission_commander.settings import Client, CommanderSettings, RightsSet
from mission_contracts.rest import PoolDeclaration
from mission_contracts.tokens import Role
from mission_soldier import commander as soldiers_commander
from mission_soldier import runtime
from mission_soldier.settings import Settings as SoldierSettings
from mission_soldier.soldier import Soldier
from mission_soldier.tokens import ClientSecret
from missionctl.context_file import Secret
from missionctl.dev.options import DevOptions

START_SECONDS: Final = 10.0
STOP_SECONDS: Final = 1
"""How long open event streams may hold up the end."""


class StartError(Exception):
    """A part did not come up."""


class Secrets(msgspec.Struct, frozen=True):
    """Made anew at each start: what an earlier dev process gave away opens nothing here."""

    user: Secret
    operator: Secret
    soldier: Secret

    @classmethod
    def make(cls) -> "Secrets":
        return cls(
            *(Secret(role.value, secrets.token_urlsafe(24)) for role in (Role.USER, Role.OPERATOR, Role.SOLDIER))
        )

    def clients(self) -> dict[str, Client]:
        """As the Commander's settings take them."""
        return {
            one.client_id: Client(secret=SecretStr(one.client_secret), role=Role(one.client_id))
            for one in (self.user, self.operator, self.soldier)
        }


@asynccontextmanager
async def running(
    options: DevOptions, soldier: Soldier, listener: socket.socket, known: Secrets, on_failure: Callable[[], None]
) -> AsyncIterator[tuple[str, ...]]:
    """Everything up, the soldier taking missions, while the context is open; gives the types it handles.

    At the end the soldier leaves first, in order, while the Commander is still there to take its reports.
    """
    server = MemoryServer()
    settings = _commander_settings(options, known)
    app = create_app(
        settings, ledger=MemoryLedger(), broker=MemoryBroker(server), users=MemoryUsers(), on_failure=on_failure
    )
    commander: Commander = app.state.commander
    async with _served(app, settings, listener):
        await _until(lambda: commander.is_loaded, "the Commander")
        await commander.pools.declare(options.namespace, options.pool, PoolDeclaration(replicas=1))
        async with _soldier(options, soldier, app, MemoryBroker(server), known.soldier, on_failure):
            await _until(lambda: _is_manned(commander), "the soldier")
            yield _types(commander)


def _commander_settings(options: DevOptions, known: Secrets) -> CommanderSettings:
    return CommanderSettings(
        install_key=SecretStr(secrets.token_hex(32)),
        clients=known.clients(),
        namespace=options.namespace,
        rights={"everything": RightsSet(high_priority=True)},
        default_rights="everything",
    )


def _is_manned(commander: Commander) -> bool:
    return any(pool.soldiers for pool in commander.pools.views())


def _types(commander: Commander) -> tuple[str, ...]:
    return tuple(name for pool in commander.pools.views() for name in pool.types)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the soldier has to leave before the Commander does."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def _served(app: FastAPI, settings: CommanderSettings, listener: socket.socket) -> AsyncIterator[None]:
    config = http_server.config(app, settings, loop="none", lifespan="on", timeout_graceful_shutdown=STOP_SECONDS)
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await _until(lambda: server.started or serving.done(), "the web server")
        yield
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def _soldier(
    options: DevOptions,
    soldier: Soldier,
    app: FastAPI,
    broker: MemoryBroker,
    secret: Secret,
    on_failure: Callable[[], None],
) -> AsyncIterator[None]:
    settings = SoldierSettings(
        namespace=options.namespace,
        pool=options.pool,
        concurrency=options.concurrency,
        drain_seconds=options.drain_seconds,
        log_format="console",
    )
    stop = asyncio.Event()
    credentials = ClientSecret(secret.client_id, SecretStr(secret.client_secret))
    async with soldiers_commander.connect_in_process(httpx.ASGITransport(app), credentials) as post:
        serving = asyncio.create_task(
            runtime.serve(soldier, settings, broker, post, instance=settings.instance_name(), stop=stop)
        )
        serving.add_done_callback(lambda _: None if stop.is_set() else on_failure())
        try:
            yield
        finally:
            stop.set()
            await serving


async def _until(is_so: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            while not is_so():  # noqa: ASYNC110 - asks the services as they are; they tell nobody that they began
                await asyncio.sleep(0.005)
    except TimeoutError as error:
        raise StartError(f"{what} did not come up within {START_SECONDS:g} s: the log above says why") from error
