"""The REST door on real RabbitMQ and Redis: the same life as an object's, once per key, by ones and by thousands."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import pytest
from support.rest_door import RestDoor
from support.world import Servers, World

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

MANY = 5_000


@pytest.fixture(scope="module")
def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Commander and two soldiers."""
    with World(servers, tmp_path_factory.mktemp("rest")).running(soldiers=2) as world:
        yield world
        world.assert_well()


async def test_a_posted_mission_is_accepted_runs_and_shows_its_whole_life(rest: RestDoor) -> None:
    answer = await rest.post(
        {"type": "simulate", "payload": {"min_seconds": 0.2, "max_seconds": 0.2, "success_rate": 1}}
    )
    assert answer.status_code == 202, answer.text
    accepted = answer.json()
    assert answer.headers["Location"] == f"/missions/{accepted['mission_id']}"
    assert (accepted["state"], accepted["reason"]) == ("QUEUED", "WaitingForSoldier")

    ended = (await rest.client.get(f"/missions/{accepted['mission_id']}", params={"wait": "30s"})).json()
    assert (ended["state"], ended["reason"], ended["attempt"]) == ("COMPLETED", "Completed", 1)
    assert ended["result"] == {"seconds": 0.2}
    assert ended["progress"] == 100
    assert ended["soldier"]
    assert ended["sequence"] > accepted["sequence"]
    assert ended["epoch"] == accepted["epoch"], "one hand-out is one epoch"
    queued, started, finished = (
        datetime.fromisoformat(ended[f"{what}_at"]) for what in ("queued", "started", "finished")
    )
    assert queued <= started < finished
    assert ended["duration_seconds"] == pytest.approx((finished - started).total_seconds(), abs=0.001)
    assert ended["duration_seconds"] >= 0.2


async def test_without_a_token_nothing_is_accepted(rest: RestDoor) -> None:
    answer = await rest.client.post("/missions", json={"type": "noop", "payload": {}}, headers={"Authorization": ""})
    assert (answer.status_code, answer.json()["code"]) == (401, "NoToken")


async def test_the_same_key_gives_the_same_mission_before_and_after_its_end(rest: RestDoor) -> None:
    first = await rest.submit("noop", key="order-17", payload={"n": 1})
    again = await rest.submit("noop", key="order-17", payload={"n": 1})
    assert again["mission_id"] == first["mission_id"]
    await rest.until_final([first["mission_id"]])
    late = await rest.submit("noop", key="order-17", payload={"n": 1})
    assert (late["mission_id"], late["state"], late["attempt"]) == (first["mission_id"], "COMPLETED", 1)


async def test_another_body_under_a_used_key_is_refused_and_changes_nothing(rest: RestDoor) -> None:
    first = await rest.submit("noop", key="order-18", payload={"n": 1})
    answer = await rest.post({"type": "noop", "payload": {"n": 2}}, key="order-18")
    assert (answer.status_code, answer.json()["code"]) == (422, "IdempotencyKeyReused")
    assert "use a new key" in answer.json()["detail"]
    assert (await rest.until_final([first["mission_id"]]))[first["mission_id"]]["state"] == "COMPLETED"


async def test_keys_in_a_batch_count_as_much_as_the_header(rest: RestDoor) -> None:
    single = await rest.submit("noop", key="order-19")
    body = {"type": "noop", "payload": {}, "idempotency_key": "order-19"}
    results = await rest.submit_batch([body, body])
    assert [one["mission"]["mission_id"] for one in results] == [single["mission_id"]] * 2


async def test_thousands_by_batch_all_complete_once_in_the_ledger_and_in_the_claims(
    world: World, rest: RestDoor
) -> None:
    before = (await rest.status())["counts"]
    ids = await rest.submit_many(MANY)
    assert len(set(ids)) == MANY
    ended = await rest.until_final(ids, seconds=120)
    assert Counter(view["state"] for view in ended.values()) == {"COMPLETED": MANY}
    assert {view["attempt"] for view in ended.values()} == {1}
    assert len({view["soldier"] for view in ended.values()}) == 2, "both soldiers took their part"

    status = await rest.status()
    counts = Counter(status["counts"])
    counts.subtract(before)
    assert {what: count for what, count in counts.items() if count} == {
        "claims: RUN": MANY,
        "reports: completed": MANY,
    }
    assert (status["live"], status["outbox"]["depth"]) == (0, 0)

    (await world.ledger_history()).assert_each_completed_once(ids)
