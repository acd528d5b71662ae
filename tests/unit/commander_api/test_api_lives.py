"""Whole lives over HTTP and the broker, with a soldier made of plain requests."""

import asyncio
from typing import Any

import msgspec
import pytest
from support.commander_api import Api, Soldier, serving
from support.commander_stage import eventually
from support.patience import until

from mission_contracts import metrics
from mission_contracts.messages import ReportKind
from mission_contracts.mission import Failure
from mission_contracts.soldiering import DropReason, Verdict

QUICK_RETRY = {"max_attempts": 2, "initial_delay_seconds": 0}


async def test_submitted_claimed_reported_completed(api: Api, soldier: Soldier) -> None:
    queued = await api.submit(payload={"width": 640})
    assert (queued["state"], queued["reason"], queued.get("attempt", 0)) == ("QUEUED", "WaitingForSoldier", 0)
    order = await soldier.next_order()
    assert bytes(order.payload) == b'{"width":640}'
    granted = await soldier.claim(order)
    running = await api.get(queued["mission_id"])
    assert (running["state"], running["attempt"], running["soldier"]) == ("IN_PROGRESS", 1, "soldier-1")
    await soldier.report(order, granted, ReportKind.PROGRESS, progress=50.0, note="half of it")
    await soldier.report(order, granted, result=msgspec.Raw(b'{"bytes":12}'), ran_seconds=0.01)
    done = await api.get(queued["mission_id"], wait="10s")
    assert (done["state"], done["reason"], done["result"]) == ("COMPLETED", "Completed", {"bytes": 12})
    assert done["progress"] == 100
    assert {"queued_at", "started_at", "finished_at", "duration_seconds", "trace_id", "epoch"} <= set(done)
    assert queued["sequence"] < running["sequence"] < done["sequence"]


async def test_failed_tried_again_and_completed(api: Api, soldier: Soldier) -> None:
    mission = await api.submit(retry=QUICK_RETRY)
    order = await soldier.next_order()
    await soldier.fail(order, await soldier.claim(order), Failure.ERROR, "disk full")
    second = await soldier.run_one()
    done = await api.get(mission["mission_id"], wait="10s")
    assert (done["state"], done["attempt"]) == ("COMPLETED", 2)
    assert second.epoch > order.epoch


async def test_failed_as_often_as_it_may(api: Api, soldier: Soldier) -> None:
    mission = await api.submit(retry=QUICK_RETRY)
    for _ in range(2):
        order = await soldier.next_order()
        await soldier.fail(order, await soldier.claim(order), Failure.ERROR, "disk full")
    done = await api.get(mission["mission_id"], wait="10s")
    assert (done["state"], done["reason"], done["dead_letter"]) == ("FAILED", "AttemptsExhausted", True)
    assert "disk full" in done["message"]


async def test_cancelled_while_it_waits(api: Api, soldier: Soldier) -> None:
    mission = await api.submit()
    order = await soldier.next_order()
    answer = await (await api.client("anna")).post(f"/missions/{mission['mission_id']}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "CANCELLED")
    verdict = await soldier.claim(order)
    assert (verdict.verdict, verdict.drop) == (Verdict.DROP, DropReason.CANCELLED)


async def test_cancelled_while_it_runs(api: Api, soldier: Soldier) -> None:
    mission = await api.submit()
    order = await soldier.next_order()
    granted = await soldier.claim(order)
    answer = await (await api.client("anna")).post(f"/missions/{mission['mission_id']}/cancel", json={})
    assert (answer.json()["state"], answer.json()["reason"]) == ("IN_PROGRESS", "CancelRequested")
    told = await soldier.beat()
    assert [one.mission_id for one in told.cancels] == [mission["mission_id"]]
    await soldier.fail(order, granted, Failure.CANCELLED)
    assert (await api.get(mission["mission_id"], wait="10s"))["state"] == "CANCELLED"
    assert not (await soldier.beat()).cancels
    assert not soldier.held, "what was reported is applied"


async def test_suspended_resumed_and_run(api: Api, soldier: Soldier) -> None:
    client = await api.client("anna")
    mission = await api.submit()
    order = await soldier.next_order()
    held = await client.patch(f"/missions/{mission['mission_id']}", json={"suspend": True})
    assert (held.json()["state"], held.json()["reason"]) == ("QUEUED", "Suspended")
    assert (await soldier.claim(order)).drop is DropReason.HELD
    resumed = await client.patch(f"/missions/{mission['mission_id']}", json={"suspend": False})
    assert resumed.json()["reason"] == "WaitingForSoldier"
    await soldier.run_one()
    assert (await api.get(mission["mission_id"], wait="10s"))["state"] == "COMPLETED"


async def test_given_back_by_a_soldier_that_leaves(api: Api, soldier: Soldier) -> None:
    mission = await api.submit()
    first = await soldier.run_one(ReportKind.RELEASED)
    second = await soldier.run_one()
    assert second.epoch > first.epoch
    assert (await api.get(mission["mission_id"], wait="10s"))["attempt"] == 1


async def test_a_type_that_nobody_handles_waits_and_says_so(api: Api, soldier: Soldier) -> None:
    mission = await api.submit(type="resize")
    assert (await soldier.claim(await soldier.next_order(), has_handler=False)).drop is DropReason.NO_HANDLER
    waiting = await api.get(mission["mission_id"])
    assert (waiting["state"], waiting["reason"]) == ("QUEUED", "NoHandler")
    assert "noop" in waiting["message"]
    assert (await soldier.register("noop", "resize")).status_code == 200
    await soldier.run_one()
    assert (await api.get(mission["mission_id"], wait="10s"))["state"] == "COMPLETED"


async def test_a_pool_that_comes_later(api: Api) -> None:
    mission = await api.submit(pool="gpu")
    assert mission["reason"] == "NoPool"
    assert (await api.declare_pool("gpu"))["queued"] == 1
    late = Soldier(api, pool="gpu")
    await late.register()
    async with late.taking():
        await late.run_one()
    assert (await api.get(mission["mission_id"], wait="10s"))["state"] == "COMPLETED"


async def test_a_soldier_that_dies_loses_its_lease_and_another_one_runs_it_alone() -> None:
    async with serving(heartbeat_seconds=0.1, lease_seconds=0.6) as api:
        await api.declare_pool()
        mission = await api.submit()
        dying = Soldier(api, "dying")
        await dying.register()
        async with dying.taking():
            order = await dying.next_order()
            granted = await dying.claim(order)
            await dying.beat()
        heir = Soldier(api, "heir")
        await heir.register()
        async with heir.taking():
            again = await heir.next_order()
            verdict = await heir.claim(again)
            assert (verdict.verdict, verdict.solo, verdict.attempt) == (Verdict.RUN, True, 1)
            await dying.report(order, granted)  # it was only frozen
            await heir.report(again, verdict, result=msgspec.Raw(b'"by the heir"'))
            done = await api.get(mission["mission_id"], wait="10s")
    assert (done["state"], done["soldier"], done["result"]) == ("COMPLETED", "heir", "by the heir")


async def test_a_deadline_ends_what_nobody_runs(api: Api) -> None:
    mission = await api.submit(deadline_seconds=0.2)
    done = await api.get(mission["mission_id"], wait="10s")
    assert (done["state"], done["reason"]) == ("FAILED", "DeadlineExceeded")


async def test_many_at_once_all_end_exactly_once() -> None:
    """This soldier never beats: its lease is longer than a slow machine needs."""
    async with serving(lease_seconds=300) as api:
        await api.declare_pool()
        soldier = Soldier(api)
        await soldier.register()
        async with soldier.taking():
            await assert_all_end_exactly_once(api, soldier, 200)


async def assert_all_end_exactly_once(api: Api, soldier: Soldier, number: int) -> None:
    client = await api.client("anna")
    body = {"missions": [{"type": "noop", "payload": {"n": n}} for n in range(number)]}
    answer = await client.post("/missions/batch", json=body)
    ids = [item["mission"]["mission_id"] for item in answer.json()["results"]]
    assert len(set(ids)) == number

    async def work() -> None:
        while True:
            await soldier.run_one()

    workers = [asyncio.create_task(work()) for _ in range(8)]
    counts = api.commander.counts
    await until(lambda: counts.number(metrics.REPORTS, "completed") == number, "all are completed", seconds=120)
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    shown = (await client.post("/missions/lookup", json={"ids": ids})).json()["missions"]
    assert {one["state"] for one in shown} == {"COMPLETED"}
    assert counts.number(metrics.CLAIMS, "RUN") == number


@pytest.mark.parametrize("accident", ["ledger away", "broker away", "ledger wiped"])
async def test_an_accident_in_the_middle_of_a_life(api: Api, soldier: Soldier, accident: str) -> None:
    mission = await api.submit()
    order = await soldier.next_order()
    granted = await soldier.claim(order)
    if accident == "ledger away":
        api.ledger.cut()
        await soldier.report(order, granted)
        api.ledger.mend()
    elif accident == "broker away":
        api.broker.cut()
        api.broker.mend()
        await soldier.report(order, granted)
    else:
        api.ledger.wipe()
        await soldier.report(order, granted)
    done: dict[str, Any] = await api.get(mission["mission_id"], wait="10s")
    assert done["state"] == "COMPLETED"
    ledger = api.ledger.store.data
    await eventually(lambda: ledger is not api.ledger.store.data or ledger.records, "the ledger has it")
    await eventually(lambda: mission["mission_id"] in api.ledger.store.data.records, "the ledger has it")
