"""Attack 38, callers who leave in the middle of what is done for them: nobody is ever given another caller's answer."""

import asyncio
import random

import httpx
import pytest
from support.commander_api import Api
from support.commander_stage import eventually
from support.ledger_probe import ERA, PAYLOAD, a_mission, put, redis_stage

from mission_commander.adapters.redis_ledger import RedisSettings
from mission_commander.ports import Stored


@pytest.mark.real
@pytest.mark.timeout(60)
async def test_attack_38_a_storm_of_callers_who_leave_mixes_up_no_answers_of_redis(redis_db: str) -> None:
    async with redis_stage(redis_db) as stage:
        ledger = await stage.another()
        await ledger.begin_era(ERA)
        missions = [a_mission(f"m-{number}") for number in range(32)]
        await put(ledger, *missions)
        dice = random.Random(38)
        asked = []
        for _ in range(1_000):
            mission = dice.choice(missions)
            asked.append((mission, asyncio.create_task(ledger.fetch([mission.id]))))
            await asyncio.sleep(0)
            if dice.random() < 0.5:
                dice.choice(asked[-20:])[1].cancel()
        answers = await asyncio.gather(*(task for _, task in asked), return_exceptions=True)
        told = [(mission, answer) for (mission, _), answer in zip(asked, answers, strict=True)]
        given = [(mission, answer) for mission, answer in told if isinstance(answer, list)]
        assert all(answer == [Stored(mission, PAYLOAD)] for mission, answer in given)
        assert len(given) > 300, "many were not cut off"
        assert sum(isinstance(answer, asyncio.CancelledError) for answer in answers) == 1_000 - len(given)
        clients = [one for one in await stage.command("CLIENT", "LIST") if b"mission-commander" in str(one).encode()]
        assert len(clients) <= 2 * RedisSettings(urls=("redis://x",)).connections, "and the pool is no larger for it"


async def test_attack_38_requests_that_are_cut_off_mix_up_no_answers(api: Api) -> None:
    ids = {who: (await api.submit(who))["mission_id"] for who in ("anna", "ben")}
    dice = random.Random(38)

    async def look(who: str) -> None:
        client = await api.client(who)
        try:
            answer = await client.get(f"/missions/{ids[who]}", timeout=dice.choice([0.0005, 0.005, 5]))
        except httpx.TimeoutException:
            return
        assert answer.json()["mission_id"] == ids[who]

    await asyncio.gather(*(look(dice.choice(["anna", "ben"])) for _ in range(300)))
    for who, mission_id in ids.items():
        shown = (await (await api.client(who)).get("/missions")).json()["missions"]
        assert [one["mission_id"] for one in shown] == [mission_id]


async def test_attack_38_a_submission_that_is_cut_off_holds_nothing_up(api: Api) -> None:
    anna = await api.client("anna")
    api.ledger.gate.clear()
    for number in range(30):
        with pytest.raises(httpx.TimeoutException):
            await anna.post(
                "/missions", json={"type": "noop", "payload": {}}, timeout=0.01, headers={"X-N": str(number)}
            )
    api.ledger.gate.set()
    await api.submit("ben")
    await eventually(lambda: api.ledger.under_way == 0, "no commit is left")
