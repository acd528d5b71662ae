"""One Commander's parts for each test."""

import pytest
from support.commander_stage import Stage


@pytest.fixture
async def stage() -> Stage:
    return Stage()
