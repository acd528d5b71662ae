"""The scheduler is stopped and started under traffic, and its Commander killed between: nothing is lost by it."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest
from support.patience import until
from support.rest_door import RestDoor
from support.world import Servers, World

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

MISSIONS = 100
SHORT = {"min_seconds": 0.02, "max_seconds": 0.05, "success_rate": 1}


@pytest.fixture(scope="module")
def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Commander and one soldier."""
    with World(servers, tmp_path_factory.mktemp("scheduler")).running() as world:
        yield world
        world.assert_well()


@pytest.fixture
async def operator(world: World) -> AsyncIterator[RestDoor]:
    async with world.door("operator") as door:
        yield door


async def stopped(door: RestDoor, *, stop: bool) -> None:
    answer = await door.client.post(f"/scheduler/{'stop' if stop else 'start'}")
    assert answer.json()["stopped"] is stop, answer.text


async def test_what_is_accepted_while_it_is_stopped_runs_once_it_is_started(
    world: World, rest: RestDoor, operator: RestDoor
) -> None:
    before = await rest.submit_many(MISSIONS, "noted", payload=SHORT)
    await until(lambda: any(note.mission_id in before for note in world.notes), "some of them run")
    await stopped(operator, stop=True)
    meanwhile = await rest.submit_many(MISSIONS, "noted", payload=SHORT)
    await world.kill(world.commander)
    await world.start(world.commander)

    status = await operator.status()
    assert status["outbox"]["stopped"], "a Commander that starts finds the switch as it was left"
    assert status["outbox"]["depth"] >= MISSIONS
    assert status["outbox"]["oldest_seconds"] > 0
    assert not {note.mission_id for note in world.notes} & set(meanwhile), "nothing is handed out"

    await stopped(operator, stop=False)
    views = await rest.until_final([*before, *meanwhile], seconds=60)
    assert Counter(view["state"] for view in views.values()) == {"COMPLETED": 2 * MISSIONS}
    (await world.ledger_history()).assert_each_completed_once(views)
