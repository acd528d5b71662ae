"""One suite, two subjects: each test that asks for `store` or `other` runs on memory and on a real Redis."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from mission_commander.adapters.memory_users import MemoryUserData, MemoryUsers
from mission_commander.adapters.redis_ledger import RedisSettings
from mission_commander.adapters.redis_users import connect
from mission_commander.services.user_store import UserStore

Pair = tuple[UserStore, UserStore]


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.real)])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """Two Commanders' ways to the same users."""
    if request.param == "memory":
        data = MemoryUserData()
        yield MemoryUsers(data), MemoryUsers(data)
        return
    settings = RedisSettings(urls=(request.getfixturevalue("redis_db"),), prefix="test:", operation_seconds=5.0)
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(connect(settings)),
            await stack.enter_async_context(connect(settings)),
        )


@pytest.fixture
def store(stores: Pair) -> UserStore:
    return stores[0]


@pytest.fixture
def other(stores: Pair) -> UserStore:
    return stores[1]
