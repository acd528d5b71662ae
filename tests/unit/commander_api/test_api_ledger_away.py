"""The doors while the ledger is away: what is served from memory says so, and nobody is told what is not known."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from support.commander_api import Api, Soldier, serving
from support.commander_stage import eventually

from mission_broker.memory import MemoryBroker
from mission_commander.services import vitals

DEGRADED = "degraded"


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "LOOK_SECONDS", 0.02)


@asynccontextmanager
async def ledger_away(api: Api) -> AsyncIterator[None]:
    api.ledger.cut()
    await eventually(lambda: api.commander.vitals.ledger_is_away, "the ledger's absence is noticed")
    yield
    api.ledger.mend()
    await eventually(lambda: not api.commander.vitals.ledger_is_away, "its return is noticed")


async def asked(api: Api, path: str, who: str = "anna", **query: Any) -> httpx.Response:
    return await (await api.client(who)).get(path, params=query)


async def posted(api: Api, path: str, body: object, who: str = "anna", **headers: str) -> httpx.Response:
    return await (await api.client(who)).post(path, json=body, headers=headers)


def assert_not_now(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["code"] == "LedgerAway"


async def test_runnable_work_is_accepted_shown_and_run_once_the_ledger_is_back(api: Api, soldier: Soldier) -> None:
    async with ledger_away(api):
        answer = await posted(api, "/missions", {"type": "noop", "payload": {}})
        assert (answer.status_code, answer.headers["Ledger"]) == (202, DEGRADED)
        mission_id = answer.json()["mission_id"]
        shown = await asked(api, answer.headers["Location"])
        assert (shown.status_code, shown.headers["Ledger"]) == (200, DEGRADED)
        assert shown.json() == answer.json()
    await soldier.run_one()
    done = await api.get(mission_id, wait="10s")
    assert done["state"] == "COMPLETED"
    assert done["sequence"] > answer.json()["sequence"]


async def test_a_key_gives_the_same_mission_while_it_is_away_and_afterwards(api: Api, soldier: Soldier) -> None:
    body, key = {"type": "noop", "payload": {}}, {"Idempotency-Key": "k"}
    async with ledger_away(api):
        first = await posted(api, "/missions", body, **key)
        assert (await posted(api, "/missions", body, **key)).json() == first.json()
    await soldier.run_one()
    again = await posted(api, "/missions", body, **key)
    assert again.json()["mission_id"] == first.json()["mission_id"]
    assert "Ledger" not in again.headers
    assert not soldier.orders


async def test_each_of_a_batch_is_answered_by_itself(api: Api) -> None:
    one, later = {"type": "noop", "payload": {}}, {"type": "noop", "payload": {}, "suspend": True}
    async with ledger_away(api):
        answer = await posted(api, "/missions/batch", {"missions": [one, later, {"type": 7}]})
        assert (answer.status_code, answer.headers["Ledger"]) == (200, DEGRADED)
        assert [item["status"] for item in answer.json()["results"]] == [202, 503, 422]
        assert answer.json()["results"][1]["problem"]["retry_after_seconds"] == 1
        assert_not_now(await posted(api, "/missions/batch", {"missions": [later, later]}))


async def test_what_cannot_run_now_says_so(api: Api) -> None:
    async with ledger_away(api):
        answer = await posted(api, "/missions", {"type": "noop", "payload": {}, "ordering_key": "k"})
        assert_not_now(answer)
        assert "no orderingKey" in answer.json()["detail"]


async def test_without_both_the_doors_say_not_now_and_health_says_down(api: Api) -> None:
    async with ledger_away(api):
        api.broker.cut()
        assert_not_now(await posted(api, "/missions", {"type": "noop", "payload": {}}))
        health = await asked(api, "/health")
        assert (health.status_code, health.json()["status"]) == (503, "down")
        api.broker.mend()


async def test_health_says_which_part_is_away_and_why(api: Api) -> None:
    async with ledger_away(api):
        health = await asked(api, "/health")
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
        assert health.json()["parts"] == {"ledger": "away", "broker": "ok"}
        assert health.json()["detail"]["ledger"]
    assert (await asked(api, "/health")).json()["status"] == "ok"


async def test_live_and_recent_missions_are_served_from_memory(api: Api) -> None:
    live, over = await api.submit(), await api.submit(cancel=True)
    async with ledger_away(api):
        for mission in (live, over):
            answer = await asked(api, f"/missions/{mission['mission_id']}")
            assert (answer.json()["state"], answer.headers["Ledger"]) == (mission["state"], DEGRADED)
        history = await asked(api, f"/missions/{over['mission_id']}/history")
        assert (history.status_code, history.headers["Ledger"]) == (200, DEGRADED)


async def test_an_id_that_memory_lacks_is_not_said_to_be_unknown(api: Api) -> None:
    known = await api.submit()
    async with ledger_away(api):
        assert_not_now(await asked(api, "/missions/no-such"))
        assert_not_now(await posted(api, "/missions/lookup", {"ids": [known["mission_id"], "no-such"]}))
        found = await posted(api, "/missions/lookup", {"ids": [known["mission_id"]]})
        assert (found.json()["missions"][0]["mission_id"], found.headers["Ledger"]) == (known["mission_id"], DEGRADED)


async def test_right_after_its_return_an_unknown_id_may_be_one_that_is_being_recorded(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ledger_away(api):
        pass
    assert_not_now(await asked(api, "/missions/no-such"))
    monkeypatch.setattr(vitals, "NEWLY_BACK_SECONDS", 0.0)
    assert (await asked(api, "/missions/no-such")).status_code == 404


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param({}, ["accepted", "gpu", "over", "plain"], id="all, newest first"),
        pytest.param({"live": "true"}, ["accepted", "gpu", "plain"], id="live ones"),
        pytest.param({"state": "CANCELLED"}, ["over"], id="by state"),
        pytest.param({"pool": "gpu"}, ["gpu"], id="by pool"),
        pytest.param({"namespace": "elsewhere"}, [], id="another namespace"),
    ],
)
async def test_lists_and_filters_are_served_from_memory(api: Api, query: dict[str, str], expected: list[str]) -> None:
    made = {"plain": await api.submit(), "over": await api.submit(cancel=True), "gpu": await api.submit(pool="gpu")}
    async with ledger_away(api):
        made["accepted"] = await api.submit()
        names = {mission["mission_id"]: name for name, mission in made.items()}
        answer = await asked(api, "/missions", **query)
        assert (answer.status_code, answer.headers["Ledger"]) == (200, DEGRADED)
        assert [names[one["mission_id"]] for one in answer.json()["missions"]] == expected


async def test_pages_go_on_from_their_cursor_whether_the_ledger_is_there_or_not(api: Api) -> None:
    made = [(await api.submit())["mission_id"] for _ in range(6)][::-1]
    first = (await asked(api, "/missions", limit=2)).json()
    async with ledger_away(api):
        second = (await asked(api, "/missions", limit=2, cursor=first["cursor"])).json()
    third = (await asked(api, "/missions", limit=2, cursor=second["cursor"])).json()
    seen = [one["mission_id"] for page in (first, second, third) for one in page["missions"]]
    assert seen == made


async def test_a_list_that_finds_the_ledger_gone_is_served_from_memory(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    mission = await api.submit()
    monkeypatch.setattr(vitals, "LOOK_SECONDS", 60.0)
    await eventually(lambda: api.commander.vitals.health().parts["ledger"] == "ok", "it was asked")
    api.ledger.cut()
    answer = await asked(api, "/missions")
    assert [one["mission_id"] for one in answer.json()["missions"]] == [mission["mission_id"]]
    assert answer.headers["Ledger"] == DEGRADED


async def test_wishes_wait_for_the_ledger(api: Api) -> None:
    recorded = await api.submit()
    async with ledger_away(api):
        accepted = await api.submit()
        for mission in (recorded, accepted):
            assert_not_now(await posted(api, f"/missions/{mission['mission_id']}/cancel", {}))


async def test_claims_wait_and_heartbeats_are_answered_and_no_lease_is_lost(api: Api, soldier: Soldier) -> None:
    held, waiting = await api.submit(), await api.submit()
    order = await soldier.next_order()
    granted = await soldier.claim(order)
    other = await soldier.next_order()
    async with ledger_away(api):
        assert (await soldier.claim(other)).verdict == "WAIT"
        answer = await soldier.beat()
        assert (answer.drops, answer.cancels, answer.unknown) == ((), (), ())
        await soldier.report(order, granted)
    assert (await soldier.claim(other)).verdict == "RUN"
    assert (await api.get(held["mission_id"], wait="10s"))["state"] == "COMPLETED"
    assert (await api.get(waiting["mission_id"]))["attempt"] == 1


async def test_a_soldier_is_sent_to_another_commander_while_this_one_has_no_ledger(api: Api, soldier: Soldier) -> None:
    beat = {"beat": 7, "after": 0, "era": 0, "held": [], "unclaimed": [], "slots": 4, "taking": True}
    path = f"/soldiers/{soldier.instance}/heartbeat"
    client = await api.client("soldiers")
    assert "Connection" not in (await client.post(path, json=beat)).headers
    async with ledger_away(api):
        answer = await client.post(path, json=beat | {"beat": 8})
    assert (answer.status_code, answer.headers["Connection"]) == (200, "close")


async def test_a_commander_that_starts_without_ledger_accepts_and_records_once_it_has_read_it() -> None:
    async with serving(loaded=False) as api:
        answer = await posted(api, "/missions", {"type": "noop", "payload": {}})
        assert (answer.status_code, answer.headers["Ledger"]) == (202, DEGRADED)
        api.ledger.mend()
        await eventually(lambda: api.commander.is_loaded, "the ledger is read")
        await eventually(lambda: api.ledger.store.data.records, "it is recorded")
        assert list(api.ledger.store.data.records) == [answer.json()["mission_id"]]


async def test_what_one_commander_accepted_another_one_shows_at_once_and_once_it_is_recorded(api: Api) -> None:
    async with serving(api.ledger.store, MemoryBroker(api.broker.server)) as other:
        async with ledger_away(other), ledger_away(api):
            mission = await api.submit()
            await eventually(lambda: other.commander.unrecorded.get(mission["mission_id"]), "the other one heard of it")
            assert (await asked(other, f"/missions/{mission['mission_id']}")).json() == mission
            assert_not_now(await asked(other, "/missions/6f9619ff-8b86-5d01-b42d-00cf4fc964ff"))
        await eventually(lambda: mission["mission_id"] in api.ledger.store.data.records, "it is recorded")
        assert (await other.get(mission["mission_id"]))["mission_id"] == mission["mission_id"]


@pytest.mark.parametrize("wish", ["cancel", "suspend"])
async def test_who_wishes_while_a_mission_is_being_recorded_is_asked_to_come_back(
    api: Api, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    mission_id = (await posted(api, "/missions", {"type": "noop", "payload": {}})).json()["mission_id"]

    async def not_in_the_ledger_yet(*_: Any, **__: Any) -> None:
        return None

    monkeypatch.setattr(api.commander.wishes, wish, not_in_the_ledger_yet)
    client = await api.client("anna")
    if wish == "cancel":
        assert_not_now(await client.post(f"/missions/{mission_id}/cancel"))
    else:
        assert_not_now(await client.patch(f"/missions/{mission_id}", json={"suspend": True}))
