"""The cluster door: `kubectl apply` to the end, on a real API server, RabbitMQ and Redis, with every part a process."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.mission_history import conditions_of, watched
from support.operator_stage import Object, Objects
from support.rest_door import RestDoor
from support.world import Servers, World, a_cluster
from tools.stack import KubeAccess

from mission_contracts.mission import NUMBERS_PER_ERA, MissionState
from mission_contracts.resources import API_VERSION, duration_text

pytestmark = [pytest.mark.real, pytest.mark.kube, pytest.mark.timeout(240)]

MANY = 500


@pytest.fixture(scope="module")
def world(servers: Servers, kube: KubeAccess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Commander, one soldier, operator."""
    state = tmp_path_factory.mktemp("kubectl")
    with World(servers, state, cluster=a_cluster(kube, state)).running() as world:
        yield world
        world.assert_well()


@pytest.fixture
async def objects(world: World) -> AsyncIterator[Objects]:
    async with world.objects() as objects:
        yield objects


@pytest.fixture
async def commander(world: World) -> AsyncIterator[RestDoor]:
    """The Commander as the operator sees it."""
    async with world.door("operator") as door:
        yield door


def a_mission(name: str, mission_type: str = "noop", **spec: Any) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": "Mission",
        "metadata": {"name": name},
        "spec": {"type": mission_type, "payload": {}} | spec,
    }


async def until_final(objects: Objects, names: Sequence[str], *, seconds: float = 30) -> dict[str, Object]:
    """Wait until the missions of these names have condition Finished; gives the objects by name."""
    deadline = time.monotonic() + seconds
    while True:
        found = {name: one for name, one in (await objects.all("missions")).items() if name in names}
        unfinished = [one for one in found.values() if not is_finished(one)]
        if len(found) == len(names) and not unfinished:
            return found
        states = Counter(str(one.get("status", {}).get("reason")) for one in unfinished)
        assert time.monotonic() < deadline, f"after {seconds:g} s {len(unfinished)} are not finished: {dict(states)}"
        await asyncio.sleep(0.2)


def is_finished(mission: Object) -> bool:
    return "status" in mission and bool(conditions_of(mission["status"])["Finished"]["status"] == "True")


async def kubectl(world: World, *arguments: str, stdin: str = "") -> str:
    return await asyncio.to_thread(world.cluster.kubectl, *arguments, stdin=stdin)


async def test_five_hundred_missions_of_one_file_finish_with_every_field_true(
    world: World, objects: Objects, commander: RestDoor, tmp_path: Path
) -> None:
    names = [f"noop-{number:03}" for number in range(MANY)]
    file = tmp_path / "missions.yaml"
    file.write_text("\n---\n".join(json.dumps(a_mission(name, payload={"n": name})) for name in names))
    async with watched(objects) as history:
        await kubectl(world, "apply", "-f", str(file))
        missions = await until_final(objects, names, seconds=60)
        await history.until_it_shows(missions)

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
    await assert_completed_once_in_the_ledger(world, missions)


async def assert_completed_once_in_the_ledger(world: World, missions: Mapping[str, Object]) -> None:
    """The event stream tells of every change: each mission was running or queued before, and became Completed once."""
    ends: Counter[str] = Counter()
    state: dict[str, str] = {}
    for event in await world.events():
        one = event.mission
        ends[one.id] += one.state is MissionState.COMPLETED and state.get(one.id) != one.state
        assert state.get(one.id) != MissionState.COMPLETED or one.state is MissionState.COMPLETED
        state[one.id] = one.state
    assert {ends[one["metadata"]["uid"]] for one in missions.values()} == {1}


def assert_completed_at_first_try(mission: Object) -> None:
    """Every field of the status of a mission that nothing went wrong with."""
    status, metadata = mission["status"], mission["metadata"]
    assert set(status) == {
        *("state", "reason", "missionId", "attempt", "epoch", "sequence", "soldier", "traceId"),
        *("queuedAt", "startedAt", "finishedAt", "duration", "observedGeneration", "conditions"),
    }, "nothing is missing, and a noop has neither progress nor result nor anything to say"
    assert (status["state"], status["reason"], status["attempt"]) == ("Completed", "Completed", 1)
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
