"""The operator as a process with its own rights only, on a real API server, with a Commander that tests control."""

import asyncio
import time

import pytest
from support.operator_stage import Objects, Stage
from support.operators_commander import OperatorsCommander
from support.patience import until
from tools.stack import ApiServer

from mission_contracts.mission import MissionState, Reason
from mission_operator.leadership import LEASE_SECONDS

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]


def _names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


# Missions


async def test_each_mission_is_submitted_once_and_its_end_is_written(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    commander.finishes_at_once = True
    await stage.operator()
    names = _names("noop", 100)
    await asyncio.gather(*(objects.create_missions(name) for name in names))
    await objects.until_states(dict.fromkeys(names, "Completed"))

    missions = await objects.all("missions")
    assert set(commander.submitted) == {one["metadata"]["uid"] for one in missions.values()}
    assert set(commander.submitted.values()) == {1}
    assert all("annotations" not in one["metadata"] for one in missions.values()), "nothing is written but the status"
    assert all("finalizers" not in one["metadata"] for one in missions.values())
    await until(lambda: commander.acknowledged == set(commander.missions), "every end is acknowledged")


async def test_the_status_says_everything_the_commander_knows(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    await stage.operator()
    await objects.create_missions("told")
    await until(lambda: len(commander.missions) == 1, "the mission is submitted")
    mission_id = next(iter(commander.missions))
    await commander.start(mission_id)
    running = await objects.until_status("missions", "told", lambda s: s.get("state") == "InProgress", "it runs")
    assert "finishedAt" not in running
    await commander.complete(mission_id, b'{"answer": 42}')
    status = await objects.until_status("missions", "told", lambda s: s.get("state") == "Completed", "it is done")

    view = commander.missions[mission_id]
    assert status["missionId"] == (await objects.get("missions", "told"))["metadata"]["uid"]
    assert status["result"] == {"answer": 42}
    assert (status["sequence"], status["attempt"], status["epoch"]) == (view.sequence, 1, 1_000_001)
    assert status["queuedAt"] <= status["startedAt"] <= status["finishedAt"]
    assert {one["type"]: one["status"] for one in status["conditions"]} == {
        "Accepted": "True",
        "Finished": "True",
        "Succeeded": "True",
    }
    assert running["conditions"][0] == status["conditions"][0], "Accepted did not change, nor did its moment"


async def test_a_mission_that_ended_while_no_operator_lived_is_shown_by_the_next(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    first = await stage.operator()
    names = _names("outlives", 20)
    await objects.create_missions(*names)
    await until(lambda: len(commander.missions) == len(names), "all are submitted")
    await first.kill()
    for mission_id in tuple(commander.missions):
        await commander.start(mission_id)
        await commander.complete(mission_id)
    await stage.operator()
    await objects.until_states(dict.fromkeys(names, "Completed"))
    await until(lambda: commander.acknowledged == set(commander.missions), "every end is acknowledged")


async def test_a_finished_mission_is_never_submitted(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    await objects.create_missions("done", "fresh")
    status = {"state": "Completed", "sequence": 7, "reason": "Completed"}
    await objects.patch("missions", "done", {"status": status}, subresource="status")
    await stage.operator()
    await until(lambda: len(commander.submitted) == 1, "one mission is submitted")
    await objects.create_missions("later")
    await until(lambda: len(commander.submitted) == 2, "the next one is submitted")
    done = (await objects.get("missions", "done"))["metadata"]["uid"]
    assert done not in commander.submitted


async def test_a_wiped_ledger_gets_all_unfinished_missions_again_with_their_floor(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    await stage.operator()
    names = _names("again", 5)
    await objects.create_missions(*names)
    await objects.until_states(dict.fromkeys(names, "Queued"))
    shown = {one["metadata"]["uid"]: one["status"]["sequence"] for one in (await objects.all("missions")).values()}
    await commander.lose_everything()
    await until(lambda: set(commander.missions) == set(shown), "the Commander knows them all again")
    floors = {uid: submission.floor.sequence for uid, submission in commander.submissions.items() if submission.floor}
    assert floors == shown


async def test_a_refused_mission_says_why(stage: Stage, objects: Objects, commander: OperatorsCommander) -> None:
    commander.refuses["forbidden"] = "this type is not served here: use another"
    await stage.operator()
    await objects.create_missions("bad", type="forbidden")
    await objects.create_missions("good")
    status = await objects.until_status("missions", "bad", lambda s: s.get("state") == "Failed", "it is refused")
    accepted = next(one for one in status["conditions"] if one["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "Refused")
    assert "this type is not served here" in status["message"]
    await objects.until_status("missions", "good", lambda s: s.get("state") == "Queued", "its neighbour is accepted")
    await _until_event(objects, "bad", "Refused")


async def _until_event(objects: Objects, name: str, reason: str) -> None:
    deadline = time.monotonic() + 10
    while not [
        one
        for one in (await objects.all("events")).values()
        if one["regarding"]["name"] == name and one["reason"] == reason
    ]:
        assert time.monotonic() < deadline, f"no Event {reason} about {name}"
        await asyncio.sleep(0.1)


async def test_a_deleted_mission_is_cancelled(stage: Stage, objects: Objects, commander: OperatorsCommander) -> None:
    await stage.operator()
    await objects.create_missions("unwanted", "wanted")
    await objects.until_states({"unwanted": "Queued", "wanted": "Queued"})
    unwanted = commander.of("unwanted").mission_id
    await objects.delete("missions", "unwanted")
    await until(lambda: unwanted in commander.cancelled, "the Commander is told")
    assert commander.cancelled[unwanted].deleted
    await until(lambda: unwanted in commander.acknowledged, "the record may be purged")
    assert commander.of("wanted").mission_id not in commander.cancelled


async def test_a_mission_deleted_while_no_operator_lived_is_cancelled(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    first = await stage.operator()
    await objects.create_missions("gone")
    await objects.until_states({"gone": "Queued"})
    gone = commander.of("gone").mission_id
    await first.kill()
    await objects.delete("missions", "gone")
    await stage.operator()
    await until(lambda: gone in commander.cancelled, "the orphan is cancelled")
    assert commander.cancelled[gone].deleted


async def test_a_new_object_of_the_same_name_never_gets_the_old_ones_status(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    first = await stage.operator()
    await objects.create_missions("twin")
    await objects.until_states({"twin": "Queued"})
    old = commander.of("twin").mission_id
    await first.kill()
    await objects.delete("missions", "twin")
    await objects.create_missions("twin")
    new = (await objects.get("missions", "twin"))["metadata"]["uid"]
    await stage.operator()
    await until(lambda: new in commander.missions, "the new one is submitted")
    await commander.complete(old)
    await until(lambda: old in commander.acknowledged, "the old one's record may go: its object is gone")
    status = await objects.until_status("missions", "twin", bool, "the new one has a status")
    assert (status["state"], status["missionId"]) == ("Queued", new)


async def test_spec_changes_are_told(stage: Stage, objects: Objects, commander: OperatorsCommander) -> None:
    await stage.operator()
    await objects.create_missions("held", suspend=True)
    await objects.create_missions("stopped")
    await objects.until_states({"held": "Queued", "stopped": "Queued"})
    held, stopped = commander.of("held").mission_id, commander.of("stopped").mission_id
    assert commander.submissions[held].suspend
    await objects.patch("missions", "held", {"spec": {"suspend": False}})
    await until(lambda: commander.suspended.get(held) is False, "it is released")
    await objects.patch("missions", "stopped", {"spec": {"cancel": True}})
    await objects.until_status("missions", "stopped", lambda s: s["state"] == "Cancelled", "it is cancelled")
    assert not commander.cancelled[stopped].deleted


async def test_a_finished_mission_is_deleted_when_its_time_is_over(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    commander.finishes_at_once = True
    await stage.operator()
    await objects.create_missions("kept", ttlSecondsAfterFinished=600)
    await objects.create_missions("brief", ttlSecondsAfterFinished=1)
    await objects.until_states({"kept": "Completed"})


async def test_missions_say_that_the_commander_is_away_and_are_handed_over_when_it_is_back(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    await stage.operator()
    await objects.create_missions("early")
    await objects.until_states({"early": "Queued"})
    commander.go_down()
    await objects.create_missions("late")
    status = await objects.until_status("missions", "late", bool, "it says why it waits")
    assert (status["state"], status["reason"]) == ("Queued", Reason.COMMANDER_UNREACHABLE)
    assert status["conditions"][0] | {"type": "Accepted", "status": "False"} == status["conditions"][0]
    assert (await objects.get("missions", "early"))["status"]["reason"] != Reason.COMMANDER_UNREACHABLE
    await commander.complete(commander.of("early").mission_id)
    commander.come_back()
    await objects.until_status("missions", "late", lambda s: s["reason"] == "WaitingForSoldier", "it is accepted")
    await objects.until_states({"early": "Completed", "late": "Queued"})


async def test_a_status_that_the_api_server_refuses_is_written_in_short(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    await stage.operator()
    await objects.create_missions("odd")
    await objects.until_states({"odd": "Queued"})
    mission_id = commander.of("odd").mission_id
    await commander.move(mission_id, MissionState.COMPLETED, Reason.COMPLETED, soldier="x" * 300)
    status = await objects.until_status("missions", "odd", lambda s: s["state"] == "Completed", "it is done")
    assert status["reason"] == Reason.STATUS_REFUSED
    await until(lambda: mission_id in commander.acknowledged, "its end is acknowledged")


async def test_statuses_never_fall_behind_whoever_else_writes(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    await stage.operator()
    await objects.create_missions("ahead")
    await objects.until_states({"ahead": "Queued"})
    ahead = {"state": "InProgress", "sequence": 9_000_000}
    await objects.patch("missions", "ahead", {"status": ahead}, subresource="status")
    await commander.start(commander.of("ahead").mission_id)
    await objects.create_missions("witness")
    await objects.until_states({"ahead": "InProgress", "witness": "Queued"})
    assert (await objects.get("missions", "ahead"))["status"]["sequence"] == 9_000_000


# Leadership


async def test_a_second_operator_waits_and_takes_over_from_a_killed_one(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    first = await stage.operator()
    second = await stage.operator(must_act=False)
    await second.until_it_says("waiting for the Lease")
    await objects.create_missions("before")
    await objects.until_states({"before": "Queued"})
    await first.kill()
    killed_at = time.monotonic()
    await objects.create_missions("after")
    await second.until_it_says("this operator acts now")
    took = time.monotonic() - killed_at
    await objects.until_states({"before": "Queued", "after": "Queued"})
    assert 1 < took < 15, f"the lease is 3 s: a takeover after {took:.1f} s was none, or far too late"


async def test_an_operator_that_is_stopped_hands_over_at_once(stage: Stage, objects: Objects) -> None:
    first = await stage.operator()
    second = await stage.operator(must_act=False)
    await second.until_it_says("waiting for the Lease")
    assert await first.stop() == 0
    lease = await objects.get("leases", "mission-operator")
    assert lease["spec"]["holderIdentity"] in {"", "operator-1"}
    await second.until_it_says("this operator acts now")


async def test_an_operator_that_was_frozen_past_its_lease_stops(stage: Stage) -> None:
    first = await stage.operator()
    second = await stage.operator(must_act=False)
    first.freeze()
    await second.until_it_says("this operator acts now")
    first.thaw()
    assert await first.exit_code() == 1
    assert "the Lease" in first.said
    assert second.is_running


async def test_an_operator_that_was_frozen_while_nobody_took_its_lease_goes_on(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    operator = await stage.operator()
    await objects.create_missions("held")
    await objects.until_states({"held": "Queued"})
    operator.freeze()
    await asyncio.sleep(LEASE_SECONDS + 1)  # what is tried is that time alone takes nothing from it
    await commander.complete(commander.of("held").mission_id)
    operator.thaw()
    await objects.until_states({"held": "Completed"})
    assert operator.is_running


async def test_an_operator_whose_watches_show_nothing_stops_and_frees_its_lease(stage: Stage, objects: Objects) -> None:
    async with stage.link() as link:
        blind = await stage.operator(through=link, stale_watch_seconds="1")
        await objects.create_missions("unseen")
        await objects.until_states({"unseen": "Queued"})

        def is_over() -> bool:
            link.strand(quiet_seconds=1.2)  # watches: whatever else is said is said more often
            return not blind.is_running

        await until(is_over, "the operator finds out that its watches are dead")
        assert await blind.exit_code() == 1
        assert "the watch is dead" in blind.said
        assert (await objects.get("leases", "mission-operator"))["spec"]["holderIdentity"] == ""


async def test_statuses_are_written_soon_although_every_connection_died_in_silence(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    async with stage.link() as link:
        operator = await stage.operator(through=link)
        names = _names("held", 40)
        await objects.create_missions(*names)
        await objects.until_states(dict.fromkeys(names, "Queued"))
        link.strand()
        for name in names:
            await commander.complete(commander.of(name).mission_id)
        await objects.until_states(dict.fromkeys(names, "Completed"), seconds=14)
        assert operator.is_running


async def test_an_operator_outlives_an_outage_of_its_api_server_and_cancels_nothing(
    stage: Stage, objects: Objects, commander: OperatorsCommander, api_server: ApiServer
) -> None:
    operator = await stage.operator(stale_watch_seconds="1")
    await objects.create_missions("patient")
    await objects.until_states({"patient": "Queued"})
    api_server.kill()
    await operator.until_it_says("the Lease could not be renewed")
    await commander.complete(commander.of("patient").mission_id)
    api_server.start()
    await objects.until_states({"patient": "Completed"})
    await objects.create_missions("later")
    await objects.until_states({"patient": "Completed", "later": "Queued"})
    assert operator.is_running, operator.said
    assert commander.of("patient").mission_id not in commander.cancelled


async def test_an_operator_that_ends_leaves_no_traceback(stage: Stage, objects: Objects) -> None:
    operator = await stage.operator()
    names = _names("seen", 20)
    await objects.create_missions(*names)
    await objects.until_states(dict.fromkeys(names, "Queued"))
    assert await operator.stop() == 0
    assert "Traceback" not in operator.said
