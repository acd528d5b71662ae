"""What people wish of living Missions: delete, cancel, suspend, start later, be tidied away; and their pool."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from support.cluster_door import ClusterDoor, a_mission, noted, verdicts_of
from support.operator_stage import Object
from support.rest_door import RestDoor
from support.world import SLOTS, World

pytestmark = [pytest.mark.real, pytest.mark.kube, pytest.mark.timeout(120)]

FIVE = [f"running-{number}" for number in range(5)]


def deeds_of(world: World, mission_id: str) -> list[str]:
    """What handlers noted of one mission."""
    return [note.deed for note in world.notes if note.mission_id == mission_id]


async def running(cluster: ClusterDoor, *missions: Object) -> dict[str, str]:
    """Apply missions and wait until their handlers run; gives their ids by name."""
    ids = await cluster.apply(*missions)
    for name in ids:
        await cluster.until_it_is(name, "InProgress")
    return ids


# Deleting and cancelling


async def test_deleting_running_missions_cancels_them(world: World, cluster: ClusterDoor, commander: RestDoor) -> None:
    ids = await running(cluster, *map(noted, FIVE))
    await cluster.kubectl("delete", "missions", *FIVE)
    ended = await commander.until_final(ids.values(), seconds=20)
    assert {(view["state"], view["attempt"]) for view in ended.values()} == {("CANCELLED", 1)}
    assert {view["reason"] for view in ended.values()} <= {"Deleted", "Cancelled"}
    for mission_id in ids.values():
        assert deeds_of(world, mission_id) == ["began", "stopped"], "the handler was told, and did not go on"
    assert not set(FIVE) & set(await cluster.objects.all("missions")), "nothing of ours holds a deleted object"


async def test_deleting_a_waiting_mission_keeps_it_from_ever_running(
    world: World, cluster: ClusterDoor, commander: RestDoor
) -> None:
    (mission_id,) = (await cluster.apply(noted("never", suspend=True))).values()
    await cluster.until_it_is("never", "Queued", "Suspended")
    await cluster.kubectl("delete", "mission", "never")
    view = (await commander.until_final([mission_id]))[mission_id]
    assert (view["state"], view["reason"]) == ("CANCELLED", "Deleted")
    assert deeds_of(world, mission_id) == []


async def test_cancelling_a_running_mission_stops_its_handler_and_says_so(world: World, cluster: ClusterDoor) -> None:
    (mission_id,) = (await running(cluster, noted("stopped"))).values()
    await cluster.patch("stopped", {"spec": {"cancel": True}})
    await cluster.kubectl("wait", "--for=condition=Finished", "mission/stopped", "--timeout=20s")
    status = await cluster.status("stopped")
    assert (status["state"], status["reason"], status["attempt"]) == ("Cancelled", "Cancelled", 1)
    assert status["message"] == "cancelled while it ran"
    assert verdicts_of(status) == {
        "Accepted": ("True", "Accepted"),
        "Finished": ("True", "Cancelled"),
        "Succeeded": ("False", "Cancelled"),
    }
    assert status["startedAt"] < status["finishedAt"]
    assert deeds_of(world, mission_id) == ["began", "stopped"]


async def test_cancelling_a_waiting_mission_is_final_at_once(world: World, cluster: ClusterDoor) -> None:
    (mission_id,) = (await cluster.apply(noted("unstarted", suspend=True))).values()
    await cluster.until_it_is("unstarted", "Queued", "Suspended")
    await cluster.patch("unstarted", {"spec": {"cancel": True}})
    status = await cluster.until_it_is("unstarted", "Cancelled", "Cancelled")
    assert (status["attempt"], status["message"]) == (0, "cancelled before it ran")
    assert not {"startedAt", "soldier", "duration"} & set(status), "nothing ran"
    assert deeds_of(world, mission_id) == []


async def test_a_cancelled_mission_stays_cancelled_when_its_spec_changes_again(cluster: ClusterDoor) -> None:
    await cluster.apply(a_mission("over", cancel=True))
    before = await cluster.until_it_is("over", "Cancelled")
    await cluster.patch("over", {"spec": {"suspend": True}})
    await cluster.apply(a_mission("witness"))
    await cluster.until_it_is("witness", "Completed")
    assert await cluster.status("over") == before


# Waiting on purpose


async def test_a_suspended_mission_waits_until_it_is_resumed(cluster: ClusterDoor) -> None:
    await cluster.apply(a_mission("held", suspend=True))
    held = await cluster.until_it_is("held", "Queued", "Suspended")
    assert "set spec.suspend to false" in held["message"]
    assert verdicts_of(held)["Accepted"] == ("True", "Accepted")
    await cluster.patch("held", {"spec": {"suspend": False}})
    done = await cluster.until_it_is("held", "Completed")
    assert done["attempt"] == 1
    assert done["observedGeneration"] == 2
    assert done["queuedAt"] == held["queuedAt"]


async def test_a_running_mission_is_not_disturbed_by_suspending_it(world: World, cluster: ClusterDoor) -> None:
    (mission_id,) = (await running(cluster, noted("goes-on", seconds=1.5))).values()
    await cluster.patch("goes-on", {"spec": {"suspend": True}})
    assert (await cluster.until_it_is("goes-on", "Completed"))["attempt"] == 1
    assert deeds_of(world, mission_id) == ["began", "ended"]


async def test_a_mission_with_a_start_time_waits_for_it(cluster: ClusterDoor) -> None:
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)
    await cluster.apply(a_mission("later", startAfter=start.isoformat()))
    waiting = await cluster.until_it_is("later", "Queued", "Scheduled")
    assert waiting["attempt"] == 0
    done = await cluster.until_it_is("later", "Completed")
    assert start <= datetime.fromisoformat(done["startedAt"])


async def test_a_finished_mission_is_tidied_away_when_its_time_is_over(
    cluster: ClusterDoor, commander: RestDoor
) -> None:
    ids = await cluster.apply(
        a_mission("brief", ttlSecondsAfterFinished=1), a_mission("kept", ttlSecondsAfterFinished=600)
    )
    await commander.until_final(ids.values())
    deadline = asyncio.get_running_loop().time() + 20
    while "brief" in (missions := await cluster.objects.all("missions")):
        assert asyncio.get_running_loop().time() < deadline, missions["brief"]
        await asyncio.sleep(0.1)
    assert missions["kept"]["status"]["state"] == "Completed"
    assert (await commander.get(ids["brief"]))["state"] == "COMPLETED", "the object went, what happened did not change"


# Waiting for the end


async def test_kubectl_wait_returns_whichever_way_missions_end(cluster: ClusterDoor) -> None:
    unlucky = {"min_seconds": 0, "max_seconds": 0, "success_rate": 0}
    await cluster.kubectl("delete", "missions", "--all")
    await cluster.apply(
        *(a_mission(f"completes-{number}") for number in range(5)),
        a_mission("fails", "simulate", payload=unlucky, retry={"maxAttempts": 2, "initialDelaySeconds": 0}),
        a_mission("cancelled", suspend=True, cancel=True),
        a_mission("refused", startAfter="2100-01-01T00:00:00Z"),
    )
    await cluster.kubectl("wait", "--for=condition=Finished", "missions", "--all", "--timeout=30s")
    statuses = {name: one["status"] for name, one in (await cluster.objects.all("missions")).items()}
    assert {name: (one["state"], one["reason"]) for name, one in statuses.items()} == {
        **{f"completes-{number}": ("Completed", "Completed") for number in range(5)},
        "fails": ("Failed", "AttemptsExhausted"),
        "cancelled": ("Cancelled", "Cancelled"),
        "refused": ("Failed", "Refused"),
    }
    assert statuses["fails"]["attempt"] == 2
    assert "attempt 2 of 2 failed: SimulationFailedError: simulated failure" in statuses["fails"]["message"]
    assert verdicts_of(statuses["refused"]) == {
        "Accepted": ("False", "Refused"),
        "Finished": ("True", "Refused"),
        "Succeeded": ("False", "Refused"),
    }


# The pool


async def test_the_default_pool_exists_with_its_deployment(cluster: ClusterDoor) -> None:
    pool = (await cluster.objects.all("soldierpools"))["default"]
    assert pool["spec"]["minReplicas"] == 2
    deployment = await cluster.objects.get("deployments", "soldier-default")
    assert deployment["spec"]["replicas"] == 2
    (owner,) = deployment["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("SoldierPool", pool["metadata"]["uid"], True)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert dict(one.split("=") for one in pool["status"]["selector"].split(",")).items() <= labels.items()


async def test_the_pools_numbers_are_true(world: World, cluster: ClusterDoor) -> None:
    await cluster.until_pool("default", ready=1, busy=0, queued=0, inFlight=0, desired=2)
    names = [f"load-{number:02}" for number in range(SLOTS + 4)]
    ids = await cluster.apply(*map(noted, names))
    status = await cluster.until_pool("default", ready=1, busy=1, queued=4, inFlight=SLOTS)
    assert verdicts_of(status) == {
        "Declared": ("True", "Declared"),
        "Deployed": ("True", "Deployed"),
        "Ready": ("False", "SoldiersStarting"),
        "Active": ("True", "MissionsToRun"),
        "ScalingLimited": ("False", "WithinBounds"),
        "MetricsStale": ("False", "NumbersFresh"),
    }
    shown = [await cluster.until(name, lambda status: "state" in status, "shows a state") for name in names]
    states = dict(zip(names, (status["state"] for status in shown), strict=True))
    waiting = [name for name, state in states.items() if state == "Queued"]
    assert len(waiting) == 4, states
    told = await cluster.until_it_is(waiting[0], "Queued", "PoolScalingUp")
    assert told["message"] == '1 of 2 soldiers of pool "default" take missions yet'

    with world.another_soldier():
        status = await cluster.until_pool("default", ready=2, busy=2, queued=0, inFlight=SLOTS + 4)
        assert verdicts_of(status)["Ready"] == ("True", "SoldiersReady")
        await cluster.kubectl("delete", "missions", *names, "--wait=false")
        await cluster.until_pool("default", ready=2, busy=0, queued=0, inFlight=0)
    assert [deeds_of(world, one) for one in ids.values()] == [["began", "stopped"]] * len(names)
