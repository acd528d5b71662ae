"""The soldier as users run it: a process on a real broker, with a Commander behind HTTP."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from pydantic import SecretStr
from support.broker_probe import eventually

from mission_broker import rabbitmq
from mission_commander.adapters.memory_ledger import MemoryLedger
from mission_commander.app import create_app
from mission_commander.settings import Client, CommanderSettings
from mission_contracts.rest import PoolDeclaration
from mission_contracts.tokens import Role

TESTS = Path(__file__).parents[1]
PATIENCE_SECONDS = 20.0
EXIT_NOW = 130

pytestmark = pytest.mark.real


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

    def __init__(self, url: str, amqp_url: str, client: httpx.AsyncClient) -> None:
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


@pytest.fixture
async def post(amqp_url: str) -> AsyncIterator[Post]:
    clients = {
        "soldier": Client(secret=SecretStr("soldiers"), role=Role.SOLDIER),
        "user": Client(secret=SecretStr("users"), role=Role.USER),
    }
    settings = CommanderSettings(install_key=SecretStr("k" * 64), clients=clients)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with rabbitmq.connect(rabbitmq.RabbitMQSettings(urls=(amqp_url,), name="commander")) as broker:
            app = create_app(settings, ledger=MemoryLedger(), broker=broker)
            config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on")
            async with (
                _Server(config).serving(listener),
                httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS + 5) as client,
            ):
                await eventually(lambda: app.state.commander.is_loaded, "the Commander is loaded")
                await app.state.commander.pools.declare("default", "default", PoolDeclaration(replicas=1))
                asked = await client.post("/token", json={"client_id": "user", "client_secret": "users"})
                client.headers["Authorization"] = f"Bearer {asked.json()['access_token']}"
                yield Post(url, amqp_url, client)


async def exit_code(process: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await process.wait()


async def test_it_runs_missions_and_leaves_when_told(post: Post) -> None:
    async with post.soldier() as soldier:
        missions = [await post.submit("noop") for _ in range(20)]
        assert {(await post.final(mission))["state"] for mission in missions} == {"COMPLETED"}
        shown = await post.final(await post.submit("who-am-i", number=4))
        assert shown["result"]["number"] == 4
        assert shown["result"]["pid"] != soldier.pid
        soldier.send_signal(signal.SIGTERM)
        assert await exit_code(soldier) == 0


async def test_what_it_cannot_finish_it_releases_uncharged_to_the_next(post: Post) -> None:
    async with post.soldier(DRAIN_SECONDS="0.1") as soldier:
        mission = await post.submit("simulate", min_seconds=3, max_seconds=3, success_rate=1)
        await post.becomes(mission, "IN_PROGRESS")
        soldier.send_signal(signal.SIGTERM)
        assert await exit_code(soldier) == 0
    assert (await post.becomes(mission, "QUEUED"))["reason"] == "Released"
    async with post.soldier():
        shown = await post.final(mission)
        assert (shown["state"], shown["attempt"]) == ("COMPLETED", 1)


async def test_the_second_signal_is_not_discussed(post: Post) -> None:
    async with post.soldier(DRAIN_SECONDS="600") as soldier:
        mission = await post.submit("simulate", min_seconds=300, max_seconds=300)
        await post.becomes(mission, "IN_PROGRESS")
        soldier.send_signal(signal.SIGINT)
        await asyncio.sleep(0.5)  # signals that come together are one: the second has to come later
        soldier.send_signal(signal.SIGINT)
        assert await exit_code(soldier) == EXIT_NOW


async def test_its_children_do_not_outlive_it(post: Post) -> None:
    async with post.soldier() as soldier:
        shown = await post.final(await post.submit("who-am-i", number=1))
        child = Path("/proc") / str(shown["result"]["pid"])
        assert child.exists()
        soldier.kill()
        await eventually(lambda: not child.exists(), "the child process is gone")
