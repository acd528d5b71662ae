"""Fixtures for tests of the API: one Commander behind HTTP for each test, and one soldier that is registered."""

from collections.abc import AsyncIterator

import pytest
from support.commander_api import Api, Soldier, serving


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving() as api:
        await api.declare_pool()
        yield api


@pytest.fixture
async def soldier(api: Api) -> AsyncIterator[Soldier]:
    soldier = Soldier(api)
    assert (await soldier.register()).status_code == 200
    async with soldier.taking():
        yield soldier
