"""Pools as the operator declares them: queues, numbers, and the missions that waited for them."""

from collections.abc import AsyncIterator, Callable

import pytest
from support.commander_stage import (
    CANCEL_DEADLINE_SECONDS,
    SOLDIER,
    Stage,
    a_beat,
    a_pool,
    a_soldier,
    eventually,
    running,
)

from mission_broker.port import Message
from mission_commander.domain import life
from mission_commander.domain.life import Surroundings
from mission_commander.domain.record import Mission, Phase
from mission_commander.ports import LedgerAwayError
from mission_commander.services import pooling
from mission_commander.services.counting import BELIEVED_SECONDS, QueueCounts
from mission_commander.services.pooling import Pools
from mission_commander.services.recorder import Command, Decision
from mission_commander.services.timing import Timer
from mission_commander.services.vitals import Vitals
from mission_contracts import topology
from mission_contracts.mission import Reason
from mission_contracts.rest import PoolDeclaration, SoldierView
from mission_contracts.testing import a_mission

PLAIN = PoolDeclaration()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling, "REFRESH_SECONDS", 0.02)


@pytest.fixture
def vitals(stage: Stage) -> Vitals:
    return Vitals(stage.ledger, stage.broker, stage.clock, tuple, stage.headroom.room)


@pytest.fixture
def counts(stage: Stage) -> QueueCounts:
    return QueueCounts(stage.garrison, stage.broker, stage.clock)


@pytest.fixture
async def pools(stage: Stage, counts: QueueCounts, vitals: Vitals) -> AsyncIterator[Pools]:
    timer = Timer(
        stage.recorder, stage.memory, stage.clock, stage.around, cancel_deadline_seconds=CANCEL_DEADLINE_SECONDS
    )
    async with running(stage.recorder.run):
        yield Pools(
            stage.garrison,
            stage.broker,
            stage.memory,
            stage.recorder,
            timer,
            stage.clock,
            counts=counts,
            is_current=lambda: not vitals.ledger_is_away,
        )


async def waiting_for_pool(stage: Stage, mission_id: str = "m-1") -> Mission:
    envelope = a_mission(mission_id)

    def decide(_: Mission | None, moment: life.Moment) -> Decision[Mission]:
        mission = life.accept(envelope, moment, Surroundings(pool_is_known=False))
        return Decision(mission, mission, b"{}")

    mission = await stage.recorder.decide(Command(envelope.mission_id, decide))
    assert mission.reason is Reason.NO_POOL
    return mission


def has_queues(stage: Stage) -> bool:
    return all(stage.broker.server.find(queue.name) for queue in topology.queues_of("default", "default"))


async def test_a_declared_pool_has_its_queues_when_the_answer_arrives(stage: Stage, pools: Pools) -> None:
    view = await pools.declare("default", "default", PLAIN)
    assert has_queues(stage)
    assert (view.queued, view.waiting, view.in_flight) == (0, 0, 0)


async def test_what_waited_for_the_pool_is_handed_out(stage: Stage, pools: Pools) -> None:
    mission = await waiting_for_pool(stage)
    view = await pools.declare("default", "default", PLAIN)
    assert stage.record(mission).phase is Phase.OUT
    assert view.queued == 1


async def test_a_mission_that_was_looked_at_just_before_its_pool_became_known_goes_too(
    stage: Stage, pools: Pools
) -> None:
    await pools.declare("default", "default", PLAIN)
    async with running(pools.run):
        mission = await waiting_for_pool(stage)
        await eventually(lambda: stage.record(mission).phase is Phase.OUT, "it is handed out")


async def test_a_pool_whose_missions_could_not_be_woken_is_looked_at_again(stage: Stage, pools: Pools) -> None:
    mission = await waiting_for_pool(stage)
    async with running(pools.run):
        other = stage.another()
        await other.garrison.declare(a_pool())
        await stage.garrison.refresh()
        stage.ledger.cut()
        await eventually(lambda: has_queues(stage), "its queues exist")
        stage.ledger.mend()
        await eventually(lambda: stage.record(mission).phase is Phase.OUT, "it is handed out")


async def test_without_broker_the_queues_follow_at_its_return(stage: Stage, pools: Pools) -> None:
    stage.broker.cut()
    await pools.declare("default", "default", PLAIN)
    assert not has_queues(stage)
    stage.broker.mend()
    assert has_queues(stage)


async def test_without_ledger_a_pool_is_not_declared(stage: Stage, pools: Pools) -> None:
    stage.ledger.cut()
    with pytest.raises(LedgerAwayError):
        await pools.declare("default", "default", PLAIN)
    assert not stage.garrison.knows(("default", "default"))


async def test_a_removed_pool_is_gone_with_its_queues_and_can_come_back(stage: Stage, pools: Pools) -> None:
    async with running(pools.run):
        await pools.declare("default", "default", PLAIN)
        await pools.remove("default", "default")
        assert not has_queues(stage)
        mission = await waiting_for_pool(stage)
        await pools.declare("default", "default", PLAIN)
        assert has_queues(stage)
        await eventually(lambda: stage.record(mission).phase is Phase.OUT, "it is handed out")


async def test_removing_a_pool_that_is_not_there_is_no_error(pools: Pools) -> None:
    await pools.remove("default", "nobody")


async def test_the_numbers_are_those_of_the_missions(stage: Stage, pools: Pools) -> None:
    await stage.garrison.register(a_soldier(SOLDIER, "noop", "resize", pod="pod-7", concurrency=8))
    await stage.garrison.beat(SOLDIER, a_beat(1, taking=False))
    claimed = await stage.claim(await stage.accept("claimed"))
    await stage.accept("out")
    await stage.accept("soon", start_after=stage.clock.now() + 30)
    await stage.accept("late", start_after=stage.clock.now() + 300)
    stage.clock.turn(2)
    view = await pools.declare("default", "default", PoolDeclaration(replicas=1, max_replicas=3, paused=True))
    assert claimed.holder == SOLDIER
    assert (view.queued, view.waiting, view.in_flight, view.due_within_minute) == (1, 2, 1, 1)
    assert view.oldest_queued_seconds == 2
    assert view.types == ("noop", "resize")
    assert view.paused
    assert view.soldiers == (SoldierView(instance=SOLDIER, pod="pod-7", slots=8, busy=1, taking=False, beat=1),)
    assert pools.views() == [view]


async def test_a_suspended_mission_is_due_for_nobody(stage: Stage, pools: Pools) -> None:
    soon = stage.clock.now() + 30
    await stage.accept("held", start_after=soon, suspended=True)
    await stage.accept("due", start_after=soon)
    assert (await pools.declare("default", "default", PLAIN)).due_within_minute == 1


async def test_what_a_soldier_says_it_holds_counts_although_the_ledger_has_lost_it(stage: Stage, pools: Pools) -> None:
    async with running((elsewhere := Stage()).recorder.run):
        forgotten = await elsewhere.accept("m-1")
    await stage.garrison.register(a_soldier())
    await stage.garrison.beat(SOLDIER, a_beat(3, forgotten, unclaimed=[forgotten]))
    (soldier,) = (await pools.declare("default", "default", PLAIN)).soldiers
    assert (soldier.busy, soldier.unclaimed, soldier.beat) == (1, 1, 3)


async def test_the_brokers_own_count_is_shown_while_it_is_known(
    stage: Stage, pools: Pools, counts: QueueCounts
) -> None:
    view = await pools.declare("default", "default", PLAIN)
    assert view.in_broker == 0, "a new pool is counted at once"
    high, normal = topology.queues_of("default", "default")
    for queue in (high, normal, normal):
        await stage.broker.publish([Message(exchange=queue.bound_to, key=queue.key, body=b"{}")])
    await counts.look()
    assert pools.views()[0].in_broker == 3
    stage.clock.turn(BELIEVED_SECONDS + 1)
    assert pools.views()[0].in_broker is None, "it is too old to be believed"
    await counts.look()
    stage.broker.cut()
    await counts.look()
    assert pools.views()[0].in_broker is None, "the broker cannot be asked"


async def test_numbers_say_when_the_ledger_behind_them_is_away(stage: Stage, pools: Pools, vitals: Vitals) -> None:
    await pools.declare("default", "default", PLAIN)
    await vitals.look()
    assert pools.views()[0].is_current
    stage.ledger.cut()
    await vitals.look()
    assert not pools.views()[0].is_current


@pytest.mark.parametrize("how_many", [1, 3])
async def test_every_pool_is_shown(pools: Pools, how_many: int) -> None:
    for number in range(how_many):
        await pools.declare("default", f"pool-{number}", PLAIN)
    shown: Callable[[], list[str]] = lambda: [view.name for view in pools.views()]  # noqa: E731
    assert shown() == [f"pool-{number}" for number in range(how_many)]
