"""A queue is purged or deleted under traffic: all missions end, once, under the epoch they were handed out with."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

import pytest
from support.patience import until
from support.rabbitmq_probe import delete_queue, purge_queue
from support.rest_door import RestDoor
from support.world import Servers, World

from mission_contracts import topology

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

MISSIONS = 200
SLOTS = 4
TIMES = {"heartbeat_seconds": "0.5", "lease_seconds": "3"}
QUEUE = topology.orders_of("default", "default")
SHORT = {"min_seconds": 0.05, "max_seconds": 0.1, "success_rate": 1}


@pytest.fixture(scope="module")
def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Commander and one soldier."""
    with World(servers, tmp_path_factory.mktemp("vanish"), times=TIMES).running(concurrency=str(SLOTS)) as world:
        yield world
        world.assert_well()


Accident = Callable[[str, topology.Queue], Awaitable[object]]


@pytest.mark.parametrize("accident", [purge_queue, delete_queue], ids=["purged", "deleted"])
async def test_all_missions_of_a_lost_queue_complete_once(
    world: World, rest: RestDoor, servers: Servers, accident: Accident
) -> None:
    ids = await rest.submit_many(MISSIONS, "noted", payload=SHORT)
    await until(lambda: any(note.mission_id in ids for note in world.notes), "some of them run")
    await accident(servers.rabbitmq_url, QUEUE)
    late = await rest.submit_many(5, "noted", payload=SHORT)
    views = await rest.until_final([*ids, *late], seconds=60)
    assert Counter(view["state"] for view in views.values()) == {"COMPLETED": MISSIONS + 5}
    history = await world.ledger_history()
    history.assert_each_completed_once(views)
    began = Counter(note.mission_id for note in world.notes if note.deed == "began" and note.mission_id in views)
    assert set(began.values()) == {1}, "an order published again is no second execution"
    epochs = {one: history.epochs_claimed(one) for one in views}
    assert all(len(claimed) == 1 and claimed[0] == views[one]["epoch"] for one, claimed in epochs.items())
    counts = (await rest.status())["counts"]
    assert counts.get("orders republished", 0) > 0, "nothing was lost, which proves nothing"
