"""Looking at missions: one, many, pages of them, waiting for an end; and health."""

import asyncio
from typing import Any

import pytest
from support.commander_api import Api, Soldier, serving
from support.commander_stage import eventually, turns

from mission_broker.memory import MemoryBroker
from mission_broker.port import Message
from mission_commander.adapters.memory_ledger import MemoryStore
from mission_commander.services import vitals
from mission_contracts import metrics, topology


async def listed(api: Api, who: str = "anna", **query: Any) -> dict[str, Any]:
    answer = await (await api.client(who)).get("/missions", params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def ids_of(page: dict[str, Any]) -> list[str]:
    return [one["mission_id"] for one in page["missions"]]


async def several(api: Api, count: int, who: str = "anna", **fields: Any) -> list[str]:
    """The ids of so many new missions, oldest first."""
    return [(await api.submit(who, payload={"n": number}, **fields))["mission_id"] for number in range(count)]


# Waiting.


async def test_a_long_poll_ends_with_the_mission(api: Api, soldier: Soldier) -> None:
    mission = await api.submit()
    waiting = asyncio.create_task(api.get(mission["mission_id"], wait="10s"))
    await soldier.run_one()
    assert (await waiting)["state"] == "COMPLETED"


async def test_a_long_poll_does_not_end_with_just_any_change(api: Api, soldier: Soldier) -> None:
    mission = await api.submit()
    waiting = asyncio.create_task(api.get(mission["mission_id"], wait="10s"))
    await eventually(lambda: api.commander.ends._waiting, "it waits")
    order = await soldier.next_order()
    granted = await soldier.claim(order)
    assert (await api.get(mission["mission_id"]))["state"] == "IN_PROGRESS"
    await turns()
    assert not waiting.done()
    await soldier.report(order, granted)
    assert (await waiting)["state"] == "COMPLETED"


async def test_a_long_poll_ends_with_its_time(api: Api) -> None:
    mission = await api.submit()
    assert (await api.get(mission["mission_id"], wait="0.05"))["state"] == "QUEUED"
    assert not api.commander.ends._waiting, "nobody waits any more"


async def test_a_final_mission_is_not_waited_for(api: Api) -> None:
    mission = await api.submit(cancel=True)
    async with asyncio.timeout(5):
        assert (await api.get(mission["mission_id"], wait="60s"))["state"] == "CANCELLED"


async def test_many_wait_for_one_mission(api: Api, soldier: Soldier) -> None:
    mission = await api.submit()
    waiting = [asyncio.create_task(api.get(mission["mission_id"], wait="10s")) for _ in range(10)]
    await soldier.run_one()
    assert {one["state"] for one in await asyncio.gather(*waiting)} == {"COMPLETED"}


async def test_a_mission_that_ends_at_another_commander_is_waited_for_too(api: Api) -> None:
    async with serving(api.ledger.store, MemoryBroker(api.broker.server)) as other:
        mission = await api.submit()
        waiting = asyncio.create_task(other.get(mission["mission_id"], wait="10s"))
        await turns()
        await (await api.client("anna")).post(f"/missions/{mission['mission_id']}/cancel")
        assert (await waiting)["state"] == "CANCELLED"


# Lists.


async def test_newest_first_in_pages_without_gap_or_double(api: Api) -> None:
    made = await several(api, 23)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(10):
        page = await listed(api, limit=5, **cursor)
        assert len(page["missions"]) <= 5
        seen += ids_of(page)
        if "cursor" not in page:
            break
        cursor = {"cursor": page["cursor"]}
    assert seen == made[::-1]


async def test_pages_stay_right_while_missions_arrive(api: Api) -> None:
    made = await several(api, 10)
    first = await listed(api, limit=5)
    await several(api, 3)
    second = await listed(api, limit=50, cursor=first["cursor"])
    assert ids_of(first) + ids_of(second) == made[::-1]


async def test_one_sees_ones_own_missions_only(api: Api) -> None:
    mine = await several(api, 3, "anna")
    theirs = await several(api, 3, "ben")
    assert set(ids_of(await listed(api, "anna"))) == set(mine)
    assert set(ids_of(await listed(api, "ben"))) == set(theirs)
    assert ids_of(await listed(api, "vera")) == []
    for who in ("ada", "operator"):
        assert set(ids_of(await listed(api, who))) == {*mine, *theirs}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"type": "resize"}, ["resize"]),
        ({"pool": "gpu"}, ["gpu"]),
        ({"state": "CANCELLED"}, ["cancelled"]),
        ({"state": "QUEUED", "type": "noop", "pool": "default"}, ["plain"]),
        ({"live": "true"}, ["gpu", "resize", "plain"]),
        ({"live": "true", "pool": "gpu"}, ["gpu"]),
        ({"door": "cluster"}, []),
        ({"door": "rest", "type": "resize"}, ["resize"]),
        ({"namespace": "elsewhere"}, ["elsewhere"]),
        ({"state": "COMPLETED"}, []),
    ],
)
async def test_filters(api: Api, query: dict[str, str], expected: list[str]) -> None:
    made = {
        "plain": await api.submit(),
        "resize": await api.submit(type="resize"),
        "gpu": await api.submit(pool="gpu"),
        "cancelled": await api.submit(cancel=True),
        "elsewhere": await api.submit(namespace="elsewhere"),
    }
    names = {mission["mission_id"]: name for name, mission in made.items()}
    assert [names[one] for one in ids_of(await listed(api, **query))] == expected


async def test_a_filtered_page_that_looked_at_very_many_goes_on_with_its_cursor(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mission_commander.api.missions.MOST_SCANNED", 4)
    [wanted] = await several(api, 1, type="resize")
    await several(api, 9)
    seen: list[str] = []
    page = await listed(api, type="resize")
    for _ in range(10):
        seen += ids_of(page)
        if "cursor" not in page:
            break
        page = await listed(api, type="resize", cursor=page["cursor"])
    assert seen == [wanted]


@pytest.mark.parametrize("live", ["true", "false"])
async def test_an_empty_list(api: Api, live: str) -> None:
    assert await listed(api, live=live) == {"missions": []}


# Lookups and acknowledgements.


async def test_a_lookup_answers_in_order_and_null_for_what_one_may_not_see(api: Api) -> None:
    [mine] = await several(api, 1, "anna")
    [theirs] = await several(api, 1, "ben")
    body = {"ids": [theirs, mine, "no-such", mine]}
    shown = (await (await api.client("anna")).post("/missions/lookup", json=body)).json()["missions"]
    assert [one and one["mission_id"] for one in shown] == [None, mine, None, mine]


async def test_what_is_final_is_found_in_the_ledger_after_a_restart(api: Api) -> None:
    mission = await api.submit(cancel=True)
    async with serving(api.ledger.store, MemoryBroker(api.broker.server)) as restarted:
        assert await restarted.get(mission["mission_id"]) == mission
        assert ids_of(await listed(restarted)) == [mission["mission_id"]]


async def test_an_acknowledged_object_may_be_purged(api: Api) -> None:
    operator = await api.client("operator")
    body = {"type": "noop", "payload": {}, "door": "cluster", "mission_id": "uid-1", "name": "x", "cancel": True}
    assert (await operator.post("/missions", json=body)).status_code == 202
    far = api.commander.clock.now() + 1_000
    assert await api.ledger.purge(far, 10) == 0
    assert (await operator.post("/missions/acknowledged", json={"ids": ["uid-1", "no-such"]})).status_code == 204
    assert (await operator.post("/missions/acknowledged", json={"ids": ["uid-1"]})).status_code == 204
    assert await api.ledger.purge(far, 10) == 1


# Pools and status.


async def test_pools_are_shown_with_their_numbers(api: Api, soldier: Soldier) -> None:
    await several(api, 3)
    order = await soldier.next_order()
    await soldier.claim(order)
    [pool] = (await (await api.client("vera")).get("/pools")).json()["pools"]
    assert (pool["name"], pool["queued"], pool["in_flight"], pool["types"]) == ("default", 2, 1, ["noop"])
    assert [(one["instance"], one["busy"]) for one in pool["soldiers"]] == [("soldier-1", 1)]


async def test_a_removed_pool_is_gone(api: Api) -> None:
    operator = await api.client("operator")
    assert (await operator.delete("/pools/default/default")).status_code == 204
    assert (await operator.get("/pools")).json() == {"pools": []}
    assert (await api.submit())["reason"] == "NoPool"


async def test_status_counts(api: Api, soldier: Soldier) -> None:
    mission = await api.submit()
    await soldier.run_one()
    await api.get(mission["mission_id"], wait="10s")
    status = await status_of(api)
    assert status["live"] == 0
    assert status["counts"] == {"claims: RUN": 1, "reports: completed": 1}
    assert status["outbox"] == {"depth": 0, "oldest_seconds": None, "stopped": False}


async def status_of(api: Api) -> dict[str, Any]:
    shown: dict[str, Any] = (await (await api.client("ada")).get("/status")).raise_for_status().json()
    return shown


async def test_status_tells_how_much_there_is_of_everything(api: Api) -> None:
    await api.submit(pool="unknown")
    await (await api.client("ada")).post("/scheduler/stop")
    await api.submit()
    await eventually(lambda: api.ledger.store.data.outbox, "a hand-out is in the outbox")
    await api.broker.publish([Message(exchange=topology.STATUS.bound_to, key=topology.STATUS.key, body=b"?")])
    await eventually(lambda: api.commander.counts.of(metrics.REJECTED), "a message was rejected")
    status = await status_of(api)
    assert (status["live"], status["states"], status["waiting"]) == (2, {"QUEUED": 2, "IN_PROGRESS": 0}, 1)
    assert (status["outbox"]["depth"], status["outbox"]["stopped"]) == (1, True)
    assert 0 <= status["outbox"]["oldest_seconds"] < 60
    assert (status["dead_letters"], status["rejected"], status["due"]) == (0, 1, 0)
    assert (status["era"], status["reaper"]) == (api.commander.recorder.era, True)
    assert (status["ledger"], status["broker"], status["durability"]) == ("ok", "ok", "weak")


async def test_status_tells_what_it_can_without_ledger_and_broker(api: Api) -> None:
    await api.submit()
    api.ledger.cut()
    api.broker.block()
    await eventually(lambda: api.commander.vitals.ledger_is_away, "the Commander has noticed")
    status = await status_of(api)
    assert (status["ledger"], status["broker"]) == ("away", "blocked")
    assert (status["live"], status["dead_letters"], status["outbox"]["oldest_seconds"]) == (1, None, None)
    api.broker.unblock()
    api.broker.cut()
    assert (await status_of(api))["rejected"] is None
    api.broker.mend()
    api.ledger.mend()


# Without ledger, without broker, without both.


async def test_without_ledger_memory_answers_and_says_so(api: Api) -> None:
    mission = await api.submit()
    api.ledger.cut()
    await eventually(lambda: api.commander.vitals.ledger_is_away, "it is noticed")
    client = await api.client("anna")
    one = await client.get(f"/missions/{mission['mission_id']}")
    assert (one.status_code, one.headers["ledger"], one.json()) == (200, "degraded", mission)
    found = await client.post("/missions/lookup", json={"ids": [mission["mission_id"]]})
    assert (found.headers["ledger"], found.json()["missions"]) == ("degraded", [mission])
    live = await client.get("/missions", params={"live": "true"})
    assert (live.headers["ledger"], live.json()["missions"]) == ("degraded", [mission])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/missions/unknown"),
        ("POST", "/missions/lookup"),
        ("PUT", "/pools/default/gpu"),
        ("DELETE", "/pools/default/default"),
    ],
)
async def test_without_ledger_what_needs_it_says_when_to_come_back(
    api: Api, method: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vitals, "NEWLY_BACK_SECONDS", 0.0)
    bodies = {"/missions/lookup": {"ids": ["unknown"]}}
    api.ledger.cut()
    client = await api.client("operator")
    answer = await client.request(method, path, json=bodies.get(path, {}) if method != "GET" else None)
    assert (answer.status_code, answer.json()["code"]) == (503, "LedgerAway")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["request_id"] == answer.headers["request-id"]
    api.ledger.mend()
    again = await client.request(method, path, json=bodies.get(path, {}) if method != "GET" else None)
    assert again.status_code != 503


async def test_without_ledger_claims_wait(api: Api, soldier: Soldier) -> None:
    await api.submit()
    order = await soldier.next_order()
    api.ledger.cut()
    assert (await soldier.claim(order)).verdict == "WAIT"
    api.ledger.mend()
    assert (await soldier.claim(order)).verdict == "RUN"


async def test_without_broker_missions_are_accepted_into_the_outbox(api: Api, soldier: Soldier) -> None:
    api.broker.cut()
    mission = await api.submit()
    assert mission["state"] == "QUEUED"
    api.broker.mend()
    await soldier.run_one()
    assert (await api.get(mission["mission_id"], wait="10s"))["state"] == "COMPLETED"


@pytest.mark.parametrize(
    ("cut", "status", "code"),
    [("", "ok", 200), ("ledger", "degraded", 200), ("broker", "degraded", 200), ("ledger broker", "down", 503)],
)
async def test_health_says_which_part_is_missing(api: Api, cut: str, status: str, code: int) -> None:
    if "ledger" in cut:
        api.ledger.cut()
    if "broker" in cut:
        api.broker.cut()
    await api.commander.vitals.look()
    stranger = await api.stranger()
    answer = await stranger.get("/health")
    said = answer.json()
    assert (answer.status_code, said["status"]) == (code, status)
    assert {part for part, state in said["parts"].items() if state != "ok"} == set(cut.split())
    assert said["durability"] == "weak"
    assert "memory" in said["detail"]["why_weak"]
    assert (await stranger.get("/livez")).status_code == 200
    assert (await stranger.get("/readyz")).status_code == code


async def test_before_it_is_loaded_it_answers_that_it_is_not() -> None:
    async with serving(MemoryStore(), loaded=False) as api:
        stranger = await api.stranger()
        assert (await stranger.get("/livez")).status_code == 200
        assert (await stranger.get("/readyz")).status_code == 503
        answer = await (await api.client("anna")).get("/missions")
        assert (answer.status_code, answer.json()["code"]) == (503, "NotLoaded")
        assert answer.headers["retry-after"]
        api.ledger.mend()
        await eventually(lambda: api.commander.is_loaded, "it is loaded")
        assert (await (await api.client("anna")).get("/missions")).status_code == 200
        await eventually(lambda: api.commander.vitals.is_ready, "it is ready")
        assert (await stranger.get("/readyz")).status_code == 200


async def test_what_nobody_acknowledged_can_be_listed(api: Api) -> None:
    """The operator finds the ends that it has to acknowledge, also those from before it lived."""
    operator = await api.client("operator")
    for mission_id in ("uid-1", "uid-2", "uid-3"):
        body = {"type": "noop", "payload": {}, "mission_id": mission_id, "name": mission_id, "door": "cluster"}
        accepted = (await operator.post("/missions/batch", json={"missions": [body]})).json()["results"][0]
        assert accepted["status"] == 202, accepted
    await api.submit()
    for mission_id in ("uid-1", "uid-2"):
        await operator.post(f"/missions/{mission_id}/cancel")
    await operator.post("/missions/acknowledged", json={"ids": ["uid-1"]})
    assert ids_of(await listed(api, "operator", unacknowledged="true")) == ["uid-2"]


async def test_an_attempt_that_has_not_begun_is_told_as_none(api: Api) -> None:
    assert (await api.submit())["attempt"] == 0


async def test_a_completed_mission_has_all_its_progress(api: Api, soldier: Soldier) -> None:
    mission = await api.submit()
    assert "progress" not in mission
    await soldier.run_one()
    assert (await api.get(mission["mission_id"], wait="10s"))["progress"] == 100
