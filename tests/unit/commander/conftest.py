"""One Commander's parts for each test."""

import pytest
from support.commander_stage import Stage

from mission_commander.services.claims import Claims


@pytest.fixture
async def stage() -> Stage:
    return Stage()


@pytest.fixture
def claims(stage: Stage) -> Claims:
    return Claims(
        stage.recorder,
        stage.tombstones,
        stage.secrets,
        stage.eras,
        stage.proofs,
        known_types=lambda _: ["noop"],
        is_paused=stage.garrison.is_paused,
        counts=stage.counts,
    )
