"""The cluster door: `kubectl apply` to the end, on a real API server, RabbitMQ and Redis, with every part a process."""

import asyncio
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest
from support.cluster_door import ClusterDoor, a_mission, conditions_of, file_of
from support.mission_history import watched
from support.operator_stage import Object
from support.rest_door import RestDoor
from support.world import World

from mission_contracts.mission import NUMBERS_PER_ERA
from mission_contracts.resources import duration_text

pytestmark = [pytest.mark.real, pytest.mark.kube, pytest.mark.timeout(240)]

MANY = 500


async def test_five_hundred_missions_of_one_file_finish_with_every_field_true(
    world: World, cluster: ClusterDoor, commander: RestDoor, tmp_path: Path
) -> None:
    names = [f"noop-{number:03}" for number in range(MANY)]
    file = tmp_path / "missions.yaml"
    file.write_text(file_of(labelled(a_mission(name, payload={"n": name})) for name in names))
    async with watched(cluster.objects) as history:
        await cluster.kubectl("apply", "-f", str(file))
        missions = await cluster.until_finished(names, seconds=60)
        await history.until_it_shows(missions)
    # kubectl allows itself five questions a second and asks about each object: ten of them share the work.
    waits = [("wait", "--for=condition=Finished", "missions", "-l", f"tenth={tenth}") for tenth in range(10)]
    said = await asyncio.gather(*(cluster.kubectl(*wait, "--timeout=40s") for wait in waits))
    assert sum(len(one.splitlines()) for one in said) == MANY

    assert Counter(one["status"]["state"] for one in missions.values()) == {"Completed": MANY}
    views = await commander.look_up([one["metadata"]["uid"] for one in missions.values()])
    for mission, view in zip(missions.values(), views, strict=True):
        assert view is not None
        assert_completed_at_first_try(mission)
        assert_shows(mission["status"], view)
    (instance,) = {one["status"]["soldier"] for one in missions.values()}
    assert instance in world.soldiers[0].launch.log.read_text(), "the soldier is the one that ran"

    history.assert_numbers_never_fall()
    history.assert_states_never_go_back()
    history.assert_ends_are_written_once()
    ledger = await world.ledger_history()
    ledger.assert_each_completed_once({one["metadata"]["uid"] for one in missions.values()})


def labelled(mission: Object) -> Object:
    """The name's last digit as a label."""
    metadata = mission["metadata"]
    return mission | {"metadata": metadata | {"labels": {"tenth": metadata["name"][-1]}}}


def assert_completed_at_first_try(mission: Object) -> None:
    """Every field of the status of a mission that nothing went wrong with."""
    status, metadata = mission["status"], mission["metadata"]
    assert set(status) == {
        *("state", "reason", "missionId", "attempt", "epoch", "sequence", "soldier", "traceId"),
        *("queuedAt", "startedAt", "finishedAt", "duration", "observedGeneration", "conditions"),
        "progress",
    }, "nothing is missing, and a noop has neither result nor anything to say"
    assert (status["state"], status["reason"], status["attempt"]) == ("Completed", "Completed", 1)
    assert status["progress"] == 100
    assert status["missionId"] == metadata["uid"]
    assert status["observedGeneration"] == metadata["generation"] == 1
    assert status["sequence"] > status["epoch"] > NUMBERS_PER_ERA, "queued is one number, and running and ended follow"
    queued, started, finished = (
        datetime.fromisoformat(status[f"{what}At"]) for what in ("queued", "started", "finished")
    )
    created = datetime.fromisoformat(metadata["creationTimestamp"])
    assert created <= queued <= started <= finished
    ran = (finished - started).total_seconds()
    assert status["duration"] in {duration_text(ran + error) for error in (-0.002, 0, 0.002)}, (
        "times are in milliseconds"
    )
    assert_conditions_of_completed(status, created)
    assert "annotations" not in metadata or set(metadata["annotations"]) == {
        "kubectl.kubernetes.io/last-applied-configuration"
    }
    assert "finalizers" not in metadata, "no finalizer of ours can wedge a namespace"


def assert_conditions_of_completed(status: Object, created: datetime) -> None:
    conditions = conditions_of(status)
    assert {kind: (one["status"], one["reason"]) for kind, one in conditions.items()} == {
        "Accepted": ("True", "Accepted"),
        "Finished": ("True", "Completed"),
        "Succeeded": ("True", "Completed"),
    }
    assert {one["observedGeneration"] for one in conditions.values()} == {1}
    moments = {kind: datetime.fromisoformat(one["lastTransitionTime"]) for kind, one in conditions.items()}
    assert created <= moments["Accepted"] <= moments["Finished"] == moments["Succeeded"]
    assert moments["Accepted"] == datetime.fromisoformat(status["queuedAt"])
    assert moments["Finished"] == datetime.fromisoformat(status["finishedAt"])


def assert_shows(status: Object, view: Object) -> None:
    """The object shows what the Commander says."""
    assert status["state"].upper() == view["state"].replace("_", "")
    assert status["sequence"] <= view["sequence"], "the ledger counts on when the end is acknowledged"
    shown = {name: status[name] for name in ("reason", "missionId", "attempt", "epoch", "soldier", "traceId")}
    told = ("reason", "mission_id", "attempt", "epoch", "soldier", "trace_id")
    assert shown == dict(zip(shown, (view[name] for name in told), strict=True))
    for name, told_name in (("queuedAt", "queued_at"), ("startedAt", "started_at"), ("finishedAt", "finished_at")):
        difference = datetime.fromisoformat(status[name]) - datetime.fromisoformat(view[told_name])
        assert abs(difference.total_seconds()) < 0.001
