"""One suite, two subjects: each test that asks for `ledger` or `stage` runs on memory and on a real Redis."""

from collections.abc import AsyncIterator

import pytest
from support.ledger_probe import ERA, MemoryStage, Stage, redis_stage

from mission_commander.ports import Ledger


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.real)])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    if request.param == "memory":
        yield MemoryStage()
        return
    async with redis_stage(request.getfixturevalue("redis_db")) as real:
        yield real


@pytest.fixture
async def fresh(stage: Stage) -> Ledger:
    """A ledger at its very first start."""
    return await stage.another()


@pytest.fixture
async def ledger(fresh: Ledger) -> Ledger:
    """A ledger with an era in force."""
    assert await fresh.begin_era(ERA) == ERA
    return fresh
