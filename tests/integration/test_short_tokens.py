"""Tokens of 30 s: a mission that outlives several of them, and a Commander that is away for two of their lives."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from chaos.sink import BEGAN
from support.patience import until
from support.world import Servers, World

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.timeout(600)]

TOKEN_SECONDS = 30
LONG_SECONDS = 90
AWAY_SECONDS = 60
SOLDIERS = 2


def simulated(seconds: float) -> dict[str, float]:
    return {"min_seconds": seconds, "max_seconds": seconds, "success_rate": 1}


async def test_long_missions_and_a_commander_that_is_away_under_short_tokens(servers: Servers, tmp_path: Path) -> None:
    world = World(servers, tmp_path, times={"token_seconds": str(TOKEN_SECONDS)})
    with world.running(soldiers=SOLDIERS):
        async with world.door() as door:
            long = (await door.submit("noted", payload=simulated(LONG_SECONDS)))["mission_id"]
            others = [
                (await door.submit("noted", payload=simulated(seconds)))["mission_id"] for seconds in range(12, 72, 10)
            ]
            ids = [long, *others]
            await until(lambda: {one.mission_id for one in world.notes} == set(ids), "all run")
            await world.kill(world.commander)
            await asyncio.sleep(AWAY_SECONDS)  # what is tested: nothing that one could wait for instead
            await world.start(world.commander)
        async with world.door() as door:
            ended = await door.until_final(ids, seconds=LONG_SECONDS)
        world.assert_well()
    assert {(one["state"], one["attempt"]) for one in ended.values()} == {("COMPLETED", 1)}
    assert Counter(one.mission_id for one in world.notes if one.deed == BEGAN) == Counter(ids), "none ran again"
