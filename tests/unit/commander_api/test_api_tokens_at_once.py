"""Twenty soldiers that begin at one moment: one token each, whatever each of them asks for at once."""

import asyncio

from pydantic import SecretStr
from support.commander_api import SECRET, Api

from mission_contracts.metrics import HTTP_REQUESTS
from mission_contracts.mission import Instance
from mission_contracts.soldiering import Registration
from mission_soldier.commander import connect
from mission_soldier.tokens import ClientSecret

SOLDIERS = 20
CALLS = 5
CREDENTIALS = ClientSecret("soldiers", SecretStr(SECRET))


async def test_twenty_soldiers_fetch_one_token_each(api: Api) -> None:
    def given() -> int:
        return api.commander.counts.number(HTTP_REQUESTS, "POST", "/token", "200")

    async def begin(number: int) -> None:
        instance = Instance(f"soldier-{number}")
        registration = Registration(instance=instance, namespace="default", pool="default", types=(), concurrency=1)
        async with connect(api.url, CREDENTIALS) as commander:
            await asyncio.gather(*(commander.register(registration) for _ in range(CALLS)))

    before = given()
    await asyncio.gather(*map(begin, range(SOLDIERS)))
    assert given() - before == SOLDIERS
