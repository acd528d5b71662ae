"""Missions that have ended stay in the cluster, and cost a running or a new operator nothing."""

import json
from collections.abc import AsyncIterator

import pytest
from support.operator_stage import Objects, Stage
from support.operators_commander import OperatorsCommander
from support.patience import until
from tools.stack import KubeAccess

from mission_contracts.mission import MissionId
from mission_contracts.resources import MISSION

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]

MANY = [f"ended-{number}" for number in range(200)]


async def run_to_their_end(objects: Objects, *names: str, **spec: object) -> None:
    await objects.create_missions(*names, **spec)
    for name in names:
        await objects.until_status(
            "missions", name, lambda status: status.get("state") == "Completed", f"{name} is completed"
        )


@pytest.fixture(params=["by state", "everything"])
async def selecting(request: pytest.FixtureRequest, served: KubeAccess) -> AsyncIterator[str]:
    """An API server that selects by state, and one with the definition of an older release, which does not."""
    crd = json.loads(served.kubectl("get", "crd", MISSION.full_name, "-o", "json"))
    fields = crd["spec"]["versions"][0]["selectableFields"]
    if request.param == "everything":
        _set_selectable(served, [])
    yield request.param
    _set_selectable(served, fields)


def _set_selectable(kube: KubeAccess, fields: list[dict[str, str]]) -> None:
    change = [{"op": "add", "path": "/spec/versions/0/selectableFields", "value": fields}]
    kube.kubectl("patch", "crd", MISSION.full_name, "--type=json", f"--patch={json.dumps(change)}")


async def test_a_new_operator_reads_nothing_of_what_has_ended(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    commander.finishes_at_once = True
    first = await stage.operator()
    await run_to_their_end(objects, *MANY)
    ended = {one["metadata"]["uid"] for one in (await objects.all("missions")).values()}
    await until(lambda: ended <= commander.acknowledged, "all ends are acknowledged")
    await first.stop()
    for uid in ended:  # the Commander has purged them: whoever acknowledges one now has read its object
        del commander.missions[MissionId(uid)]
    commander.acknowledged.clear()
    await stage.operator(resync_seconds="1")
    await run_to_their_end(objects, "new")
    new = (await objects.get("missions", "new"))["metadata"]["uid"]
    await until(lambda: new in commander.acknowledged, "the new one's end is acknowledged")
    assert not commander.acknowledged & ended
    assert commander.cancelled == {}


async def test_ends_and_deletions_are_told_apart(
    stage: Stage, objects: Objects, commander: OperatorsCommander, selecting: str
) -> None:
    await stage.operator()
    await objects.create_missions("deleted", "waits", "ends")
    await until(lambda: len(commander.missions) == 3, "all are accepted")
    uids = {name: commander.of(name).mission_id for name in ("deleted", "waits", "ends")}
    await commander.complete(uids["ends"])
    await objects.delete("missions", "deleted")
    await until(lambda: uids["deleted"] in commander.cancelled, "the deleted one is cancelled")
    await until(lambda: uids["ends"] in commander.acknowledged, "the end of the other is acknowledged")
    assert set(commander.cancelled) == {uids["deleted"]}
    await objects.until_status("missions", "ends", lambda status: status["state"] == "Completed", "it shows its end")


async def test_a_time_to_live_counts_whenever_it_is_given(
    stage: Stage, objects: Objects, commander: OperatorsCommander, selecting: str
) -> None:
    commander.finishes_at_once = True
    first = await stage.operator()
    await objects.create_missions("at-once", ttlSecondsAfterFinished=0)  # gone before its end can be looked at
    await run_to_their_end(objects, "after-its-end", "kept", ttlSecondsAfterFinished=3600)
    await objects.patch("missions", "after-its-end", {"spec": {"ttlSecondsAfterFinished": 0}})
    await _until_gone(objects, "at-once", "after-its-end")
    await run_to_their_end(objects, "while-none-lives")
    await first.stop()
    await objects.patch("missions", "while-none-lives", {"spec": {"ttlSecondsAfterFinished": 0}})
    await stage.operator()
    await _until_gone(objects, "while-none-lives")
    assert set(await objects.all("missions")) == {"kept"}


async def _until_gone(objects: Objects, *names: str) -> None:
    for name in names:
        await objects.until_gone("missions", name)
