"""Attacks 23 to 26: what somebody with a way into the broker says, or says again, changes nothing that is not his.

On a real broker, with processes: tests/integration (test_reports_that_change_nothing, test_malformed_messages).
"""

import asyncio

import msgspec
from support import soldier_handlers
from support.commander_api import Api, Soldier
from support.commander_stage import eventually
from support.malformed import MALFORMED
from support.soldier_stage import a_stage

from mission_broker.port import Message
from mission_contracts import messages, metrics, topology
from mission_contracts.messages import ReportKind
from mission_contracts.metrics import Dropped
from mission_contracts.mission import Epoch, Failure
from mission_contracts.soldiering import DropReason, Verdict


def dropped(api: Api, cause: Dropped) -> int:
    return api.commander.counts.number(metrics.REPORTS_DROPPED, cause.value)


# 23: reports for a mission that one does not hold.


async def test_attack_23_a_report_without_the_claims_secret_changes_nothing(api: Api, soldier: Soldier) -> None:
    shown = await api.submit()
    order = await soldier.next_order()
    granted = await soldier.claim(order)
    thief = Soldier(api, "thief")
    await thief.register()
    thief.held = dict(soldier.held)
    for secret in (granted.secret, "", "guessed"):  # also the right one: it is the right one of another instance
        await thief.report(order, msgspec.structs.replace(granted, secret=secret))
    await eventually(lambda: sum(dropped(api, one) for one in Dropped) == 3, "all three are dropped")
    assert (await api.get(shown["mission_id"]))["state"] == "IN_PROGRESS"
    await soldier.report(order, granted)
    await eventually(lambda: not api.commander.memory.live_count(), "its holder's own report ends it")
    assert (await api.get(shown["mission_id"]))["soldier"] == "soldier-1"


async def test_attack_23_a_report_of_another_epoch_changes_nothing(api: Api, soldier: Soldier) -> None:
    shown = await api.submit()
    order = await soldier.next_order()
    granted = await soldier.claim(order)
    for epoch in (order.epoch - 1, order.epoch + 1):
        other = msgspec.structs.replace(order, epoch=Epoch(epoch))
        soldier.held[order.envelope.mission_id, epoch] = {}
        await soldier.report(other, granted)
    await eventually(lambda: sum(dropped(api, one) for one in Dropped) == 2, "both are dropped")
    assert (await api.get(shown["mission_id"]))["state"] == "IN_PROGRESS"


# 24: messages that nobody can use.


async def test_attack_24_what_cannot_be_read_is_kept_apart_with_its_reason_and_work_goes_on(
    api: Api, soldier: Soldier
) -> None:
    good = messages.encode(messages.StatusMessage(v=messages.VERSION))
    queue = topology.STATUS
    for what in MALFORMED.values():
        await api.broker.publish([Message(exchange=queue.bound_to, key=queue.key, body=what.of(good))])
    rejected = api.commander.counts
    await eventually(
        lambda: sum(rejected.of(metrics.REJECTED).values()) == len(MALFORMED), "each of them is moved to the rejected"
    )
    kept = api.broker.server.find(topology.REJECTED.name)
    assert kept is not None
    assert kept.ready == len(MALFORMED)
    shown = await api.submit()
    await soldier.run_one()
    await eventually(lambda: not api.commander.memory.live_count(), "a mission runs as ever")
    assert (await api.get(shown["mission_id"]))["state"] == "COMPLETED"


# 25: a mission that kills whoever runs it.


async def test_attack_25_a_handler_that_kills_its_process_takes_no_neighbour_with_it() -> None:
    async with a_stage(soldier_handlers.soldier) as stage:
        neighbour = asyncio.create_task(stage.run("who-am-i", b'{"number":7}', mission_id="neighbour"))
        killed = await stage.run("die", mission_id="poison")
        assert killed.error is not None
        assert killed.error.failure is Failure.PROCESS_DIED
        assert (await neighbour).kind is ReportKind.COMPLETED


async def test_attack_25_a_poison_mission_ends_as_a_dead_letter_and_charges_nobody_else(
    api: Api, soldier: Soldier
) -> None:
    poison = await api.submit(retry={"max_attempts": 3, "initial_delay_seconds": 0})
    neighbour = await api.submit()
    charged = 0
    while charged < 3:
        order = await soldier.next_order()
        granted = await soldier.claim(order)
        if order.envelope.mission_id == poison["mission_id"]:
            charged += 1
            await soldier.fail(order, granted, Failure.PROCESS_DIED, "exit code 139")
        else:
            await soldier.report(order, granted)
    await eventually(lambda: not api.commander.memory.live_count(), "both have ended")
    ended = await api.get(poison["mission_id"])
    assert (ended["state"], ended["dead_letter"], ended["attempt"]) == ("FAILED", True, 3)
    untouched = await api.get(neighbour["mission_id"])
    assert (untouched["state"], untouched["attempt"]) == ("COMPLETED", 1)


# 26: old captures.


async def test_attack_26_an_order_that_is_played_again_runs_nothing(api: Api, soldier: Soldier) -> None:
    shown = await api.submit()
    order = await soldier.next_order()
    granted = await soldier.claim(order)
    thief = Soldier(api, "thief")
    await thief.register()
    while_it_runs = await thief.claim(order)
    assert (while_it_runs.verdict, while_it_runs.drop) == (Verdict.DROP, DropReason.SPENT)
    await soldier.report(order, granted)
    await eventually(lambda: not api.commander.memory.live_count(), "it has ended")
    for whoever in (soldier, thief):
        afterwards = await whoever.claim(order)
        assert (afterwards.verdict, afterwards.drop) == (Verdict.DROP, DropReason.FINAL)
    assert (await api.get(shown["mission_id"]))["attempt"] == 1


async def test_attack_26_a_report_that_is_played_again_changes_nothing(api: Api, soldier: Soldier) -> None:
    shown = await api.submit()
    order = await soldier.next_order()
    granted = await soldier.claim(order)
    await soldier.report(order, granted)
    await eventually(lambda: not api.commander.memory.live_count(), "it has ended")
    before = await api.get(shown["mission_id"])
    await soldier.report(order, granted)
    await soldier.report(order, granted, ReportKind.PROGRESS, progress=1.0)
    await eventually(lambda: dropped(api, Dropped.FINAL) == 2, "both come after the end")
    assert await api.get(shown["mission_id"]) == before
