"""What /health says of ledger and broker, and of what is wrong while both are there."""

from collections.abc import Mapping

import pytest
from support.commander_stage import Stage

from mission_broker.memory import MemoryBroker
from mission_commander.services.vitals import Vitals


class Troubled(MemoryBroker):
    """A broker that is there, and has something to complain about."""

    @property
    def troubles(self) -> Mapping[str, str]:
        return {"missions.orders.default.default": "it exists with other arguments"}


async def test_all_is_well(stage: Stage) -> None:
    vitals = Vitals(stage.ledger, stage.broker, stage.clock, tuple, stage.headroom.room)
    await vitals.look()
    health = vitals.health()
    assert (health.status, health.parts) == ("ok", {"ledger": "ok", "broker": "ok"})


async def test_a_trouble_with_one_queue_degrades_and_is_told(stage: Stage) -> None:
    vitals = Vitals(stage.ledger, Troubled(), stage.clock, tuple, stage.headroom.room)
    await vitals.look()
    health = vitals.health()
    assert (health.status, health.parts["broker"]) == ("degraded", "troubled")
    assert health.detail["broker"] == "it exists with other arguments"


async def test_a_queue_that_does_not_answer_is_named(stage: Stage) -> None:
    vitals = Vitals(
        stage.ledger, stage.broker, stage.clock, lambda: ["missions.orders.default.images"], stage.headroom.room
    )
    await vitals.look()
    health = vitals.health()
    assert health.status == "degraded"
    assert "takes no orders for missions.orders.default.images" in health.detail["broker"]


@pytest.mark.parametrize("fault", ["cut", "block"])
async def test_a_broker_that_takes_nothing_degrades(stage: Stage, fault: str) -> None:
    vitals = Vitals(stage.ledger, stage.broker, stage.clock, tuple, stage.headroom.room)
    await vitals.look()
    getattr(stage.broker, fault)()
    health = vitals.health()
    assert (health.status, health.parts["broker"]) == ("degraded", {"cut": "disconnected", "block": "blocked"}[fault])


async def test_a_troubled_broker_is_not_down_when_the_ledger_is_away(stage: Stage) -> None:
    vitals = Vitals(stage.ledger, Troubled(), stage.clock, tuple, stage.headroom.room)
    stage.ledger.cut()
    await vitals.look()
    assert vitals.health().status == "degraded"
    assert vitals.is_ready


async def test_without_both_it_is_down(stage: Stage) -> None:
    vitals = Vitals(stage.ledger, stage.broker, stage.clock, tuple, stage.headroom.room)
    stage.ledger.cut()
    stage.broker.cut()
    await vitals.look()
    assert vitals.health().status == "down"
    assert not vitals.is_ready
