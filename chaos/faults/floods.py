"""One user who sends as much as they can."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Final

import aiohttp
import msgspec

from chaos.doors import session
from chaos.errors import ChaosError
from chaos.faults.base import Fault
from chaos.faults.stores import tell
from chaos.ground import Ground

MAX_MEMORY: Final = "512mb"
"""As the chart sets it."""
FLOODERS: Final = 2
PAYLOAD: Final = {"x": "y" * 250_000}
FLOODER: Final = "user"
HEAD_START_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 0.1
"""After an answer that refuses: a tenth of the shortest Retry-After."""


class RedisFlooded(Fault):
    name = "redis-flooded"
    sentence = "one user sends missions of 250 kB that wait for an hour, to a Redis of 512 MB, and never waits as told"
    is_load = True

    def __init__(self, seed: str, *, lease_seconds: float) -> None:
        super().__init__(seed, lease_seconds=lease_seconds)
        self._accepted: list[str] = []
        self._refused = 0
        self._flood: asyncio.Task[None] | None = None

    async def prepare(self, ground: Ground) -> None:
        await asyncio.to_thread(tell, ground, "CONFIG", "SET", "maxmemory", MAX_MEMORY)

    async def strike(self, ground: Ground) -> None:
        self._flood = asyncio.create_task(self._send_all(ground))
        await asyncio.sleep(HEAD_START_SECONDS)

    async def end(self, ground: Ground) -> None:
        """What was promised to the flooder is kept: each can be cancelled."""
        await self._stop()
        if not self._accepted:
            raise ChaosError("nothing of the flood was accepted, so nobody was flooded")
        async with session(ground.url) as client:
            headers = await _logged_in(client, ground)
            for mission_id in self._accepted:
                async with client.post(f"/missions/{mission_id}/cancel", headers=headers) as answer:
                    if answer.status != 200:
                        raise ChaosError(
                            f"a mission of the flood was accepted, and its cancellation is {answer.status}"
                        )
        await asyncio.to_thread(tell, ground, "CONFIG", "SET", "maxmemory", "0")

    async def _stop(self) -> None:
        if self._flood is None:
            return
        if self._flood.done():
            await self._flood  # it ended by itself, for a reason that the run has to hear of
        self._flood.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._flood

    async def _send_all(self, ground: Ground) -> None:
        async with session(ground.url) as client, asyncio.TaskGroup() as tasks:
            headers = await _logged_in(client, ground)
            for _ in range(FLOODERS):
                tasks.create_task(self._send(client, headers))

    async def _send(self, client: aiohttp.ClientSession, headers: dict[str, str]) -> None:
        start_after = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        body = msgspec.json.encode({"type": "work", "payload": PAYLOAD, "start_after": start_after})
        while True:
            try:
                async with client.post("/missions", data=body, headers=headers) as answer:
                    said = await answer.json()
            except (aiohttp.ClientError, TimeoutError, OSError):
                continue
            if answer.status == 202:
                self._accepted.append(said["mission_id"])
            elif answer.status in (429, 503):
                self._refused += 1
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                raise ChaosError(f"the flood was answered {answer.status}: {said}")


async def _logged_in(client: aiohttp.ClientSession, ground: Ground) -> dict[str, str]:
    credentials = {"client_id": FLOODER, "client_secret": ground.installation.client_secrets[FLOODER]}
    async with client.post("/token", json=credentials) as answer:
        token = (await answer.json())["access_token"]
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


FLOODS: Final = (RedisFlooded,)
