"""Dead letters: looking at them, and trying them again, one or many; a retry of any final mission."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from support.commander_api import Api, Soldier
from support.commander_stage import eventually

from mission_contracts.messages import AttemptError, ReportKind
from mission_contracts.mission import Failure

GIVE_UP = AttemptError(failure=Failure.GIVE_UP, message="no such picture")


async def dead(api: Api, soldier: Soldier, who: str = "anna", **fields: Any) -> str:
    """The id of a mission that has given up."""
    mission_id: str = (await api.submit(who, **fields))["mission_id"]
    await soldier.run_one(ReportKind.FAILED, error=GIVE_UP)
    assert (await api.get(mission_id, who, wait="10s"))["state"] == "FAILED"
    return mission_id


async def completed(api: Api, soldier: Soldier, **fields: Any) -> str:
    mission_id: str = (await api.submit(**fields))["mission_id"]
    await soldier.run_one()
    assert (await api.get(mission_id, wait="10s"))["state"] == "COMPLETED"
    return mission_id


async def letters(api: Api, who: str = "anna", **query: Any) -> dict[str, Any]:
    answer = await (await api.client(who)).get("/dead-letters", params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def ids_of(page: dict[str, Any]) -> list[str]:
    return [one["mission"]["mission_id"] for one in page["dead_letters"]]


async def post(api: Api, path: str, who: str = "anna", body: dict[str, Any] | None = None) -> httpx.Response:
    return await (await api.client(who)).post(path, json=body)


async def redriven(api: Api, who: str = "anna", **asked: Any) -> dict[str, Any]:
    answer = await post(api, "/dead-letters/redrive", who, asked)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


# Looking.


async def test_a_dead_letter_comes_with_its_reason_and_the_history_of_its_attempts(api: Api, soldier: Soldier) -> None:
    mission_id = await dead(api, soldier)
    [letter] = (await letters(api))["dead_letters"]
    assert (letter["mission"]["mission_id"], letter["mission"]["reason"]) == (mission_id, "GaveUp")
    [attempt] = letter["attempts"]
    assert (attempt["number"], attempt["failure"], attempt["message"]) == (1, "GiveUp", "no such picture")
    assert (attempt["soldier"], attempt["epoch"]) == (soldier.instance, letter["mission"]["epoch"])
    assert attempt["started_at"] <= attempt["ended_at"]


async def test_what_completed_is_no_dead_letter(api: Api, soldier: Soldier) -> None:
    await completed(api, soldier)
    assert await letters(api) == {"dead_letters": []}


async def test_pages_meet_newest_first(api: Api, soldier: Soldier) -> None:
    ids = [await dead(api, soldier, payload={"n": number}) for number in range(5)]
    first = await letters(api, limit=2)
    second = await letters(api, limit=2, cursor=first["cursor"])
    third = await letters(api, limit=2, cursor=second["cursor"])
    assert [ids_of(page) for page in (first, second, third)] == [ids[:2:-1], ids[2:0:-1], ids[:1]]
    assert "cursor" not in third


async def test_a_full_page_that_is_the_last_has_no_cursor(api: Api, soldier: Soldier) -> None:
    for number in range(2):
        await dead(api, soldier, payload={"n": number})
    assert "cursor" not in await letters(api, limit=2)


async def test_filters_choose(api: Api, soldier: Soldier) -> None:
    small, other = await dead(api, soldier, type="small"), await dead(api, soldier, type="other")
    in_an_hour = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    long_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    assert ids_of(await letters(api)) == [other, small]
    assert ids_of(await letters(api, type="small")) == [small]
    assert ids_of(await letters(api, pool="default", reason="GaveUp", since=long_ago)) == [other, small]
    for nothing in ({"pool": "gpu"}, {"reason": "DeadlineExceeded"}, {"since": in_an_hour}, {"namespace": "other"}):
        assert ids_of(await letters(api, **nothing)) == [], nothing


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"reason": "GivenUp"}, "reason"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2030-01-31T08:00:00"}, "since"),
        ({"pool": "No Pool"}, "pool"),
        ({"limit": "0"}, "limit"),
        ({"cursor": "?"}, "cursor"),
        ({"state": "FAILED"}, "state"),
    ],
)
async def test_a_filter_that_is_misspelt_is_refused(api: Api, query: dict[str, str], field: str) -> None:
    answer = await (await api.client("anna")).get("/dead-letters", params=query)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


@pytest.mark.parametrize(
    "body", [{"reason": "GivenUp"}, {"since": "2030-01-31T08:00:00"}, {"pool": "No Pool"}, {"limit": 1_001}, {"x": 1}]
)
async def test_a_redrive_whose_filter_is_misspelt_is_refused(api: Api, body: dict[str, Any]) -> None:
    assert (await post(api, "/dead-letters/redrive", body=body)).status_code == 422


async def test_people_see_and_redrive_their_own_and_admins_all(api: Api, soldier: Soldier) -> None:
    mission_id = await dead(api, soldier)
    assert ids_of(await letters(api, "ben")) == []
    assert (await redriven(api, "ben"))["redriven"] == 0
    for path in (f"/missions/{mission_id}/retry", f"/dead-letters/{mission_id}/redrive"):
        assert (await post(api, path, "ben")).status_code == 404
    assert ids_of(await letters(api, "ada")) == [mission_id]
    new = (await redriven(api, "ada"))["missions"][0]["mission_id"]
    assert (await api.get(new, "anna"))["retry_of"] == mission_id, "whoever's it was sees its retry too"


# Trying again.


async def test_a_redrive_makes_a_new_mission_that_runs_the_same(api: Api, soldier: Soldier) -> None:
    mission_id = await dead(api, soldier, payload={"width": 640})
    answer = await post(api, f"/dead-letters/{mission_id}/redrive")
    assert answer.status_code == 202, answer.text
    new = answer.json()
    assert answer.headers["location"] == f"/missions/{new['mission_id']}"
    assert (new["retry_of"], new["state"], new["type"]) == (mission_id, "QUEUED", "noop")
    order = await soldier.next_order()
    assert (order.envelope.mission_id, bytes(order.payload)) == (new["mission_id"], b'{"width":640}')
    old = await api.get(mission_id)
    assert (old["state"], old["reason"], old["retried_as"]) == ("FAILED", "GaveUp", new["mission_id"])
    assert "dead_letter" not in old
    assert await letters(api) == {"dead_letters": []}


async def test_the_same_redrive_twice_gives_the_same_mission(api: Api, soldier: Soldier) -> None:
    mission_id = await dead(api, soldier)
    paths = [f"/dead-letters/{mission_id}/redrive", f"/missions/{mission_id}/retry"]
    made = {(await post(api, path)).json()["mission_id"] for path in paths * 2}
    assert len(made) == 1
    sequence = (await api.get(mission_id))["sequence"]
    await post(api, paths[0])
    assert (await api.get(mission_id))["sequence"] == sequence, "nothing changes any more"


async def test_a_redrive_that_broke_off_in_the_middle_is_ended_by_the_next_one(api: Api, soldier: Soldier) -> None:
    """The new mission was durable and the old one knew nothing of it yet."""
    mission_id = await dead(api, soldier)
    record = api.ledger.store.data.records[mission_id]  # type: ignore[index]
    first = (await post(api, f"/missions/{mission_id}/retry")).json()["mission_id"]
    api.commander.memory.forget(record.id)
    api.ledger.store.data.records[record.id] = record
    api.ledger.store.data.dead.put(record.id, record.finished_at or 0)
    said = await redriven(api)
    assert (said["redriven"], said["missions"][0]["mission_id"], said["more"]) == (1, first, False)
    assert (await api.get(mission_id))["retried_as"] == first


async def test_a_retry_that_fails_can_be_retried_in_its_turn(api: Api, soldier: Soldier) -> None:
    first = await dead(api, soldier)
    second = (await post(api, f"/missions/{first}/retry")).json()["mission_id"]
    await soldier.run_one(ReportKind.FAILED, error=GIVE_UP)
    await api.get(second, wait="10s")
    assert ids_of(await letters(api)) == [second]
    third = (await post(api, f"/missions/{second}/retry")).json()
    assert third["retry_of"] == second
    assert len({first, second, third["mission_id"]}) == 3


async def test_any_final_mission_can_be_retried(api: Api, soldier: Soldier) -> None:
    mission_id = await completed(api, soldier)
    answer = await post(api, f"/missions/{mission_id}/retry")
    assert (answer.status_code, answer.json()["retry_of"]) == (202, mission_id)
    assert (await api.get(mission_id))["state"] == "COMPLETED"


async def test_what_is_not_final_is_not_retried(api: Api) -> None:
    mission_id = (await api.submit())["mission_id"]
    answer = await post(api, f"/missions/{mission_id}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "NotFinal")


async def test_what_is_no_dead_letter_is_not_redriven(api: Api, soldier: Soldier) -> None:
    mission_id = await completed(api, soldier)
    answer = await post(api, f"/dead-letters/{mission_id}/redrive")
    assert (answer.status_code, answer.json()["code"]) == (409, "NotADeadLetter")
    assert (await post(api, "/dead-letters/unknown/redrive")).status_code == 404


async def test_a_mission_whose_payload_is_lost_is_refused_and_stays_a_dead_letter(api: Api, soldier: Soldier) -> None:
    mission_id = await dead(api, soldier)
    api.ledger.store.data.payloads.clear()
    answer = await post(api, f"/missions/{mission_id}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "PayloadLost")
    said = await redriven(api)
    assert (said["redriven"], [one["code"] for one in said["refused"]]) == (0, ["PayloadLost"])
    assert ids_of(await letters(api)) == [mission_id]


async def test_many_are_redriven_a_bounded_number_at_a_time(api: Api, soldier: Soldier) -> None:
    ids = [await dead(api, soldier, payload={"n": number}) for number in range(5)]
    other = await dead(api, soldier, type="other")
    seen: list[str] = []
    numbers: list[tuple[int, bool]] = []
    more = True
    while more:
        said = await redriven(api, type="noop", limit=2)
        seen += [one["retry_of"] for one in said["missions"]]
        numbers.append((said["redriven"], said["more"]))
        more = said["more"]
    assert numbers == [(2, True), (2, True), (1, False)]
    assert seen == ids[::-1]
    assert ids_of(await letters(api)) == [other]
    assert (await redriven(api, type="noop"))["redriven"] == 0


async def test_without_ledger_nothing_is_redriven(api: Api, soldier: Soldier) -> None:
    mission_id = await dead(api, soldier)
    api.ledger.cut()
    for path in (f"/missions/{mission_id}/retry", "/dead-letters/redrive"):
        answer = await post(api, path, body={})
        assert (answer.status_code, answer.json()["code"]) == (503, "LedgerAway")
    api.ledger.mend()
    assert (await redriven(api))["redriven"] == 1


# The history of any mission.


async def test_a_history_tells_of_each_ended_attempt(api: Api, soldier: Soldier) -> None:
    quick = {"max_attempts": 2, "initial_delay_seconds": 0}
    mission_id = (await api.submit(retry=quick))["mission_id"]
    await soldier.run_one(ReportKind.FAILED, error=AttemptError(failure=Failure.ERROR, message="first"))
    await eventually(lambda: soldier.orders, "the second attempt comes")
    await soldier.run_one()
    await api.get(mission_id, wait="10s")
    history = (await (await api.client("anna")).get(f"/missions/{mission_id}/history")).json()
    assert history["mission"]["state"] == "COMPLETED"
    told = [(one["number"], one.get("failure"), one.get("message", "")) for one in history["attempts"]]
    assert told == [(1, "Error", "first"), (2, None, "")]
