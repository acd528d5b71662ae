"""Why does it wait? Missions that wait for a soldier longer than a moment are told, truthfully and boundedly."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.commander_stage import SOLDIER, Stage, a_beat, a_pool, a_soldier, eventually, running, turns

from mission_commander.services import explaining
from mission_commander.services.explaining import PATIENCE_SECONDS, Explainer
from mission_contracts.mission import Reason

POOL = ("default", "default")


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "LOOK_SECONDS", 0.005)


@pytest.fixture
async def explainer(stage: Stage) -> AsyncIterator[Explainer]:
    await stage.garrison.declare(a_pool())
    explainer = Explainer(stage.recorder, stage.memory, stage.garrison, stage.clock)
    async with running(stage.recorder.run, explainer.run):
        yield explainer


async def test_without_soldiers_the_pool_is_scaling_up(stage: Stage, explainer: Explainer) -> None:
    mission = await stage.accept("m-1")
    stage.clock.turn(PATIENCE_SECONDS + 1)
    await eventually(lambda: stage.record(mission).reason is Reason.POOL_SCALING_UP, "it is told")
    assert "no soldier" in stage.record(mission).message


async def test_with_soldiers_that_are_all_busy_the_pool_is_at_its_maximum(stage: Stage, explainer: Explainer) -> None:
    mission = await stage.accept("m-1")
    stage.clock.turn(PATIENCE_SECONDS + 1)
    await stage.garrison.register(a_soldier())
    await eventually(lambda: stage.record(mission).reason is Reason.POOL_AT_MAX, "it is told")
    assert "all 4 slots" in stage.record(mission).message


async def test_a_soldier_that_retires_counts_for_nothing(stage: Stage, explainer: Explainer) -> None:
    await stage.garrison.register(a_soldier())
    await stage.garrison.beat(SOLDIER, a_beat(1, taking=False))
    assert explainer.why(POOL)[0] is Reason.POOL_SCALING_UP


@pytest.mark.parametrize(
    ("declared", "taking", "reason", "says"),
    [
        pytest.param({"replicas": 3, "max_replicas": 3}, 1, Reason.POOL_SCALING_UP, "1 of 3", id="others are starting"),
        pytest.param({"replicas": 0, "max_replicas": 3}, 0, Reason.POOL_SCALING_UP, "no soldier", id="about to wake"),
        pytest.param({"replicas": 1, "max_replicas": 1}, 1, Reason.POOL_AT_MAX, "no more", id="as many as may be"),
        pytest.param({"replicas": 0, "max_replicas": 0}, 0, Reason.POOL_AT_MAX, "pinned", id="pinned to none"),
        pytest.param(
            {"replicas": 1, "max_replicas": 3}, 1, Reason.WAITING_FOR_SOLDIER, "enough", id="more are not worth it"
        ),
    ],
)
async def test_what_the_pool_says_of_itself(
    stage: Stage, explainer: Explainer, declared: dict[str, Any], taking: int, reason: Reason, says: str
) -> None:
    await stage.garrison.declare(a_pool(**declared))
    for number in range(taking):
        await stage.garrison.register(a_soldier(f"soldier-{number}"))
    found, message = explainer.why(POOL)
    assert found is reason
    assert says in message


async def test_an_order_whose_pool_was_deleted_waits_for_a_pool(stage: Stage, explainer: Explainer) -> None:
    mission = await stage.accept("m-1")
    await stage.garrison.remove(POOL)
    stage.clock.turn(PATIENCE_SECONDS + 1)
    await eventually(lambda: stage.record(mission).reason is Reason.NO_POOL, "it is told")


async def test_a_paused_pool_says_so(stage: Stage, explainer: Explainer) -> None:
    await stage.garrison.declare(a_pool(paused=True))
    reason, message = explainer.why(POOL)
    assert reason is Reason.SUSPENDED
    assert "paused" in message


async def test_who_waits_for_a_moment_only_is_not_told(stage: Stage, explainer: Explainer) -> None:
    mission = await stage.accept("m-1")
    stage.clock.turn(PATIENCE_SECONDS - 0.1)
    await turns(100)
    assert stage.record(mission) == mission


async def test_a_long_queue_is_told_bit_by_bit_the_oldest_first(
    stage: Stage, explainer: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "MOST_AT_ONCE", 10)
    missions = [await stage.accept(f"m-{number}") for number in range(35)]
    before = len(stage.ledger.commits)
    stage.clock.turn(PATIENCE_SECONDS + 1)
    await eventually(
        lambda: all(stage.record(one).reason is Reason.POOL_SCALING_UP for one in missions), "all are told"
    )
    told = [[change.mission.id for change in changes] for changes in stage.ledger.commits[before:]]
    assert [len(ids) for ids in told] == [10, 10, 10, 5]
    assert [one for ids in told for one in ids] == [one.id for one in missions]


async def test_a_mission_that_is_claimed_meanwhile_is_left_alone(stage: Stage, explainer: Explainer) -> None:
    mission = await stage.accept("m-1")
    stage.ledger.gate.clear()
    stage.clock.turn(PATIENCE_SECONDS + 1)
    await eventually(lambda: stage.ledger.under_way, "it is being told")
    other = stage.another()
    async with running(other.recorder.run):
        claimed = await other.claim(mission)
    stage.ledger.gate.set()
    await turns(50)
    assert stage.record(mission) == claimed


async def test_without_ledger_it_goes_on_later(stage: Stage, explainer: Explainer) -> None:
    mission = await stage.accept("m-1")
    stage.ledger.cut()
    stage.clock.turn(PATIENCE_SECONDS + 1)
    await turns(50)
    stage.ledger.mend()
    await eventually(lambda: stage.record(mission).reason is Reason.POOL_SCALING_UP, "it is told")


async def test_while_the_broker_is_away_that_is_what_missions_wait_for(stage: Stage) -> None:
    await stage.garrison.declare(a_pool())
    await stage.garrison.register(a_soldier())
    is_away = True
    explainer = Explainer(stage.recorder, stage.memory, stage.garrison, stage.clock, broker_is_away=lambda: is_away)
    async with running(stage.recorder.run, explainer.run):
        mission = await stage.accept("m-1")
        stage.clock.turn(PATIENCE_SECONDS + 1)
        await eventually(lambda: stage.record(mission).message == explaining.BROKER_AWAY, "it is told")
        assert stage.record(mission).reason is Reason.WAITING_FOR_SOLDIER
        is_away = False
        await eventually(lambda: "slots" in stage.record(mission).message, "and told again when it is back")


async def test_a_pool_that_is_not_there_is_told_also_while_the_broker_is_away(stage: Stage) -> None:
    explainer = Explainer(stage.recorder, stage.memory, stage.garrison, stage.clock, broker_is_away=lambda: True)
    assert explainer.why(POOL)[0] is Reason.NO_POOL
