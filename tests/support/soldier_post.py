"""A Commander behind HTTP on a real broker, and soldiers as users run them: processes."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from support.broker_probe import eventually

from mission_broker import rabbitmq
from mission_commander.adapters.memory_ledger import MemoryLedger
from mission_commander.adapters.memory_users import MemoryUsers
from mission_commander.app import create_app
from mission_commander.settings import Client, CommanderSettings, RightsSet
from mission_contracts.rest import PoolDeclaration
from mission_contracts.tokens import Role

TESTS = Path(__file__).parents[1]
PATIENCE_SECONDS = 20.0


class _Server(uvicorn.Server):
    @asynccontextmanager
    async def serving(self, listener: socket.socket) -> AsyncIterator[None]:
        task = asyncio.create_task(self._serve(sockets=[listener]))
        try:
            yield
        finally:
            self.should_exit = True
            await task


class Post:
    """A Commander at an address, and soldiers as processes."""

    def __init__(self, app: Starlette, url: str, amqp_url: str, client: httpx.AsyncClient) -> None:
        self._app = app
        self._url = url
        self._amqp_url = amqp_url
        self._client = client

    @asynccontextmanager
    async def soldier(self, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
        known = {
            "COMMANDER_URL": self._url,
            "RABBITMQ_URLS": self._amqp_url,
            "CLIENT_SECRET": "soldiers",
            "HANDLERS": "support.soldier_handlers",
            **settings,
        }
        environment = {f"SOLDIER_{name}": value for name, value in known.items()}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mission_soldier", env={**os.environ, "PYTHONPATH": str(TESTS), **environment}
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def submit(self, mission_type: str, **payload: Any) -> str:
        answer = await self._client.post("/missions", json={"type": mission_type, "payload": payload})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["mission_id"])

    async def submit_all(self, missions: Sequence[dict[str, Any]]) -> list[str]:
        """Submit many at once, in their order."""
        answer = await self._client.post("/missions/batch", json={"missions": list(missions)})
        assert answer.status_code == 200, answer.text
        return [str(one["mission"]["mission_id"]) for one in answer.json()["results"]]

    async def attempts_of(self, mission_id: str) -> list[str]:
        """Give what the history says of each attempt that has ended."""
        answer = await self._client.get(f"/missions/{mission_id}/history")
        return [str(attempt["message"]) for attempt in answer.json()["attempts"]]

    async def is_left_by_all(self) -> None:
        """Wait until no soldier takes missions, by its own word."""

        def takes_nothing() -> bool:
            return not any(seen.is_taking for seen in self._app.state.commander.garrison.soldiers().values())

        await eventually(takes_nothing, "the soldier says that it takes nothing more")

    async def is_joined_by(self, count: int) -> None:
        """Wait until so many soldiers have registered and sent a beat, those that have left included."""

        def has_joined() -> bool:
            seen = self._app.state.commander.garrison.soldiers().values()
            return bool(sum(one.beats > 0 for one in seen) >= count)

        await eventually(has_joined, f"{count} soldiers have joined")

    async def final(self, mission_id: str) -> dict[str, Any]:
        answer = await self._client.get(f"/missions/{mission_id}?wait={PATIENCE_SECONDS:g}s")
        return dict(answer.json())

    async def becomes(self, mission_id: str, state: str) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while shown.get("state") != state:
                    shown = (await self._client.get(f"/missions/{mission_id}")).json()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"{mission_id} is {shown}, expected {state}")
        return shown


@asynccontextmanager
async def a_post(amqp_url: str) -> AsyncIterator[Post]:
    """Give a Commander at an address, with the default pool."""
    clients = {
        "soldier": Client(secret=SecretStr("soldiers"), role=Role.SOLDIER),
        "user": Client(secret=SecretStr("users"), role=Role.USER),
    }
    everything = {"everything": RightsSet(high_priority=True)}
    settings = CommanderSettings(
        install_key=SecretStr("k" * 64), clients=clients, rights=everything, default_rights="everything"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with rabbitmq.connect(rabbitmq.RabbitMQSettings(urls=(amqp_url,), name="commander")) as broker:
            app = create_app(settings, ledger=MemoryLedger(), broker=broker, users=MemoryUsers())
            config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on")
            async with (
                _Server(config).serving(listener),
                httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS + 5) as client,
            ):
                await eventually(lambda: app.state.commander.is_loaded, "the Commander is loaded")
                await app.state.commander.pools.declare("default", "default", PoolDeclaration(replicas=1))
                asked = await client.post("/token", json={"client_id": "user", "client_secret": "users"})
                client.headers["Authorization"] = f"Bearer {asked.json()['access_token']}"
                yield Post(app, url, amqp_url, client)


async def exit_code(process: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await process.wait()
