"""kill -9 of each part while missions run, and of RabbitMQ and Redis: all final, once, and no epoch runs twice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest
from support.cluster_door import ClusterDoor, noted
from support.mission_history import watched
from support.operator_stage import Object
from support.patience import until
from support.rest_door import RestDoor
from support.world import Servers, World
from tools.installation import a_cluster
from tools.stack import KubeAccess, RabbitServer, RedisServer, Server
from tools.stack.process import Process

pytestmark = [pytest.mark.real, pytest.mark.kube, pytest.mark.timeout(180)]

MISSIONS = 100
BY_REST = 200
SOLDIERS = 2
SLOTS = 6
"""Few, so that the missions outlast the faults."""
TIMES = {"heartbeat_seconds": "0.5", "lease_seconds": "3"}
"""Short, so that a death is found soon; a lease is still six beats, as a busy machine may lose some."""

A_SECOND = {"min_seconds": 0.8, "max_seconds": 1.2, "success_rate": 1}


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest) -> Servers:
    """Servers that may be killed: never those that the environment names."""
    rabbitmq, redis = request.getfixturevalue("_our_rabbitmq"), request.getfixturevalue("_our_redis")
    return Servers(rabbitmq_url=rabbitmq.fresh_vhost(), redis_url=redis.url)


@pytest.fixture(scope="module")
def whole_world(servers: Servers, kube: KubeAccess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Commander, two soldiers and operator."""
    state = tmp_path_factory.mktemp("kills")
    with World(servers, state, cluster=a_cluster(kube, state), times=TIMES).running(
        soldiers=SOLDIERS, concurrency=str(SLOTS)
    ) as world:
        yield world
        world.assert_well()


@pytest.fixture
def world(whole_world: World) -> World:
    """The same for each test, with everything alive again."""
    whole_world.mend()
    return whole_world


Victims = Callable[[World], Sequence[Process]]
VICTIMS: dict[str, Victims] = {
    "operator": lambda world: [world.operator] if world.operator else [],
    "Commander": lambda world: [world.commander],
    "a soldier": lambda world: world.soldiers[:1],
    "each in turn": lambda world: [world.soldiers[0], world.commander, *([world.operator] if world.operator else [])],
}


@pytest.mark.parametrize("victims", VICTIMS.values(), ids=VICTIMS.keys())
async def test_killing_it_loses_nothing_and_completes_nothing_twice(
    world: World, cluster: ClusterDoor, victims: Victims, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id.replace(" ", "-").lower()
    missions = [noted(f"{name}-{number:03}", 0.8, up_to=1.2) for number in range(MISSIONS)]
    dying = victims(world)
    ids: dict[str, str] = {}
    async with watched(cluster.objects) as history:
        for turn, victim in enumerate(dying):
            newest = await cluster.apply(*missions[turn :: len(dying)])
            ids |= newest
            await until_some_end(world, set(newest.values()))
            if victim in world.soldiers:
                await until_it_runs_something(world, victim)
            await world.kill(victim)
            await world.start(victim)
        ended = await cluster.until_finished(ids, seconds=90)
        await history.until_it_shows(ended)

    assert {one["status"]["state"] for one in ended.values()} == {"Completed"}
    assert {one["status"]["missionId"] for one in ended.values()} == set(ids.values())
    assert {one["status"]["attempt"] for one in ended.values()} == {1}, "a process's death is nobody's attempt"
    history.assert_numbers_never_fall()
    history.assert_states_only_move_on()
    soldiers_killed = sum(victim in world.soldiers for victim in dying)
    await assert_completed_once(world, set(ids.values()), cut_off_at_most=SLOTS * soldiers_killed)
    await assert_shown_as_recorded(world, ended)


async def until_some_end(world: World, ids: set[str]) -> None:
    """Wait until some more of these missions ended, while others run: the moment to break something."""
    before = len(ended_of(world, ids))
    await until(lambda: len(ended_of(world, ids)) > before, "some more missions end", seconds=40)
    assert len(ended_of(world, ids)) < len(ids), "the fault would come too late to prove anything"


async def until_it_runs_something(world: World, soldier: Process) -> None:
    def unfinished() -> int:
        deeds = Counter(note.deed for note in world.notes if note.process == soldier.pid)
        return deeds["began"] - deeds["ended"]

    await until(lambda: unfinished() > 0, f"{soldier.launch.name} runs something")


def ended_of(world: World, ids: set[str]) -> set[str]:
    return {note.mission_id for note in world.notes if note.deed == "ended"} & ids


async def assert_completed_once(world: World, ids: set[str], *, cut_off_at_most: int) -> None:
    """In the ledger each completes once; where the work is done no epoch runs twice, and few missions do."""
    ledger = await world.ledger_history()
    ledger.assert_each_completed_once(ids)
    runs = [(note.mission_id, note.epoch) for note in world.notes if note.deed == "began" and note.mission_id in ids]
    twice = {run: count for run, count in Counter(runs).items() if count > 1}
    assert not twice, f"epochs that ran twice: {twice}"
    unclaimed = [(one, epoch) for one, epoch in runs if epoch not in ledger.epochs_claimed(one)]
    assert not unclaimed, f"epochs that ran without a claim: {unclaimed}"
    repeated = len(runs) - len(ids)
    assert {one for one, _ in runs} == ids
    assert repeated <= cut_off_at_most, f"{repeated} executions too many, {cut_off_at_most} could have been cut off"
    assert repeated or not cut_off_at_most, "the soldier was killed while it ran nothing, which proves nothing"


async def assert_shown_as_recorded(world: World, missions: dict[str, Object]) -> None:
    ledger = await world.ledger_history()
    for name, mission in missions.items():
        status, record = mission["status"], ledger.last(mission["metadata"]["uid"])
        assert status["state"].upper() == record.state, name
        assert (status["attempt"], status["epoch"]) == (record.attempt, record.epoch), name
        assert status["soldier"] == record.attempts[-1].instance, name


# The servers


@asynccontextmanager
async def two_hundred_running(world: World, rest: RestDoor) -> AsyncIterator[list[str]]:
    """Submit by REST; what happens in the block happens while they run; then all are final, once."""
    ids = await rest.submit_many(BY_REST, "noted", payload=A_SECOND)
    await until_some_end(world, set(ids))
    yield ids
    views = await rest.until_final(ids, seconds=90)
    assert Counter((view["state"], view["attempt"]) for view in views.values()) == {("COMPLETED", 1): BY_REST}


async def test_a_killed_redis_loses_nothing(world: World, rest: RestDoor, redis_server: RedisServer) -> None:
    async with two_hundred_running(world, rest) as ids:
        await down_for_a_moment(redis_server)
    await assert_completed_once(world, set(ids), cut_off_at_most=0)


async def test_a_killed_rabbitmq_loses_nothing(world: World, rest: RestDoor, rabbitmq_server: RabbitServer) -> None:
    async with two_hundred_running(world, rest) as ids:
        await asyncio.to_thread(rabbitmq_server.settle)
        await down_for_a_moment(rabbitmq_server)
    await assert_completed_once(world, set(ids), cut_off_at_most=0)


async def down_for_a_moment(server: Server) -> None:
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)


# Leaving in good order


async def test_a_soldier_that_is_told_to_leave_repeats_nothing(world: World, rest: RestDoor) -> None:
    leaving = world.soldiers[0]
    async with two_hundred_running(world, rest) as ids:
        await world.leave(leaving)
        await world.start(leaving)
    await assert_completed_once(world, set(ids), cut_off_at_most=0)
