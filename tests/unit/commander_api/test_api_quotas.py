"""A subject may have so many missions that are not final; what it has already it may ask for again."""

import asyncio
from typing import Any

from support.commander_api import Api, Soldier, serving
from support.commander_stage import eventually
from support.problems import problem

from mission_contracts import metrics
from mission_contracts.mission import Failure

NOOP: dict[str, Any] = {"type": "noop", "payload": {}}


async def fill(api: Api, count: int, who: str = "anna") -> list[str]:
    return [(await api.submit(who))["mission_id"] for _ in range(count)]


async def test_one_more_than_the_quota_is_refused_until_one_has_ended() -> None:
    async with serving(limit_live=3) as api:
        ids = await fill(api, 3)
        anna = await api.client("anna")
        answer = await anna.post("/missions", json=NOOP)
        assert "3 missions that are not final" in problem(answer, 429, "QuotaReached")
        assert int(answer.headers["retry-after"]) >= 1
        assert len(api.ledger.store.data.records) == 3
        assert api.commander.counts.number(metrics.LIMITED, "live") == 1
        await fill(api, 3, "ben")
        assert (await anna.post(f"/missions/{ids[0]}/cancel")).json()["state"] == "CANCELLED"
        await fill(api, 1)
        problem(await anna.post("/missions", json=NOOP), 429, "QuotaReached")


async def test_what_is_there_already_may_be_asked_for_again() -> None:
    async with serving(limit_live=1) as api:
        anna = await api.client("anna")
        with_key = {"Idempotency-Key": "k"}
        first = await anna.post("/missions", json=NOOP, headers=with_key)
        again = await anna.post("/missions", json=NOOP, headers=with_key)
        assert (again.status_code, again.json()["mission_id"]) == (202, first.json()["mission_id"])


async def test_of_a_batch_as_many_are_accepted_as_there_is_room_for() -> None:
    async with serving(limit_live=5) as api:
        await fill(api, 2)
        answer = await (await api.client("anna")).post("/missions/batch", json={"missions": [NOOP] * 6})
        results = answer.json()["results"]
        assert [one["status"] for one in results] == [202] * 3 + [429] * 3
        assert results[-1]["problem"]["code"] == "QuotaReached"
        assert results[-1]["problem"]["retry_after_seconds"] > 0


async def test_who_submits_at_once_does_not_get_past_it() -> None:
    async with serving(limit_live=10) as api:
        anna = await api.client("anna")
        api.ledger.gate.clear()  # none of them is in memory while the others are looked at
        posting = [asyncio.create_task(anna.post("/missions", json=NOOP)) for _ in range(40)]
        await eventually(lambda: sum(one.done() for one in posting) == 30, "those beyond the quota are refused")
        api.ledger.gate.set()
        answers = [(await one).status_code for one in posting]
        assert (answers.count(202), answers.count(429)) == (10, 30)
        assert api.commander.memory.live_of("anna") == 10


async def test_what_has_ended_in_any_way_does_not_count(api: Api, soldier: Soldier) -> None:
    for _ in range(2):
        await api.submit()
    await soldier.run_one()
    order = await soldier.next_order()
    await soldier.fail(order, await soldier.claim(order), Failure.GIVE_UP)
    await eventually(lambda: not api.commander.memory.live_of("anna"), "both have ended")
    assert not api.commander.memory._live_of, "and nothing of them is left"


async def test_a_retry_is_a_mission_too() -> None:
    async with serving(limit_live=1) as api:
        anna = await api.client("anna")
        [cancelled] = await fill(api, 1)
        await anna.post(f"/missions/{cancelled}/cancel")
        await fill(api, 1)
        problem(await anna.post(f"/missions/{cancelled}/retry"), 429, "QuotaReached")


async def test_the_clusters_missions_are_bounded_in_the_cluster() -> None:
    async with serving(limit_live=1) as api:
        for number in range(3):
            await api.submit("operator", mission_id=f"uid-{number}", door="cluster", name=f"m-{number}")


async def test_what_was_accepted_without_the_ledger_counts() -> None:
    async with serving(limit_live=2) as api:
        await api.declare_pool()
        await fill(api, 1)
        api.ledger.cut()
        await eventually(lambda: api.commander.vitals.ledger_is_away, "it is noticed")
        await fill(api, 1)
        problem(await (await api.client("anna")).post("/missions", json=NOOP), 429, "QuotaReached")
        api.ledger.mend()
        await eventually(lambda: api.commander.memory.live_of("anna") == 2, "it is recorded")
        assert api.commander.unrecorded.count_of("anna") == 0


async def test_zero_is_no_quota() -> None:
    async with serving(limit_live=0) as api:
        await fill(api, 5)
