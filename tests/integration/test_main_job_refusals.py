"""What cannot be: refused where it is asked for, or shown on the object with a sentence that helps; nothing crashes."""

import json
from typing import Any

import pytest
from support.cluster_door import ClusterDoor, a_mission, a_pool, noted, verdicts_of
from support.operator_stage import Object
from support.rest_door import RestDoor
from support.world import World
from tools.stack import StackError

from mission_contracts.spec import MAX_PAYLOAD_BYTES

pytestmark = [pytest.mark.real, pytest.mark.kube, pytest.mark.timeout(120)]

TOO_LARGE = {"text": "x" * MAX_PAYLOAD_BYTES}
JUST_FITS = {"text": "x" * (MAX_PAYLOAD_BYTES - len('{"text":""}'))}


async def refusal(cluster: ClusterDoor, mission: Object) -> str:
    """What the API server says to a Mission that it does not take."""
    with pytest.raises(StackError) as refused:
        await cluster.kubectl("create", "-f", "-", stdin=json.dumps(mission))
    return str(refused.value)


async def refusal_of_patch(cluster: ClusterDoor, name: str, change: Object, *options: str) -> str:
    with pytest.raises(StackError) as refused:
        await cluster.patch(name, change, *options)
    return str(refused.value)


# What waits for something that is not there


async def test_a_type_that_nobody_handles_waits_says_so_and_runs_once_somebody_does(
    world: World, cluster: ClusterDoor
) -> None:
    await cluster.apply(a_mission("unknown-type", "who-am-i", payload={"number": 4}))
    waiting = await cluster.until_it_is("unknown-type", "Queued", "NoHandler")
    assert waiting["message"] == (
        'no soldier of pool "default" handles type "who-am-i"; it handles noop, noted, simulate: '
        "correct the type, or deploy soldiers with a handler for it"
    )
    assert verdicts_of(waiting) == {
        "Accepted": ("True", "Accepted"),
        "Finished": ("False", "NoHandler"),
        "Succeeded": ("Unknown", "NoHandler"),
    }
    with world.another_soldier(handlers="support.soldier_handlers"):
        done = await cluster.until_it_is("unknown-type", "Completed")
    assert (done["attempt"], done["result"]["number"]) == (1, 4), "asking in vain was no attempt"


async def test_a_pool_that_does_not_exist_is_waited_for(world: World, cluster: ClusterDoor) -> None:
    await cluster.apply(a_mission("unknown-pool", pool="render"))
    waiting = await cluster.until_it_is("unknown-pool", "Queued", "NoPool")
    assert waiting["message"] == 'there is no pool "render" yet: create the SoldierPool to run it'
    await cluster.kubectl("apply", "-f", "-", stdin=json.dumps(a_pool("render")))
    waiting = await cluster.until_it_is("unknown-pool", "Queued", "PoolScalingUp")
    assert waiting["message"] == '0 of 1 soldiers of pool "render" take missions yet'
    with world.another_soldier(pool="render"):
        assert (await cluster.until_it_is("unknown-pool", "Completed"))["attempt"] == 1
    await cluster.until_pool("render", ready=0)


# What is too large


async def test_a_payload_may_be_as_large_as_promised_at_both_doors(cluster: ClusterDoor, rest: RestDoor) -> None:
    await cluster.kubectl("create", "-f", "-", stdin=json.dumps(a_mission("just-fits", payload=JUST_FITS)))
    mission = await rest.submit("noop", payload=JUST_FITS)
    assert (await rest.until_final([mission["mission_id"]]))[mission["mission_id"]]["state"] == "COMPLETED"
    await cluster.until_it_is("just-fits", "Completed")


async def test_a_larger_payload_is_refused_by_the_api_server(cluster: ClusterDoor) -> None:
    said = await refusal(cluster, a_mission("too-large", payload=TOO_LARGE))
    assert f"spec.payload has {MAX_PAYLOAD_BYTES + len(json.dumps({'text': ''})) - 1} bytes as JSON" in said
    assert "store the data elsewhere and give a reference to it" in said


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        pytest.param(TOO_LARGE, "PayloadTooLarge", id="a payload beyond the bound"),
        pytest.param({"text": "x" * (1024 * 1024)}, "BodyTooLarge", id="a body beyond any payload"),
    ],
)
async def test_a_larger_payload_is_refused_by_rest(rest: RestDoor, payload: Object, code: str) -> None:
    answer = await rest.post({"type": "noop", "payload": payload})
    assert (answer.status_code, answer.json()["code"]) == (413, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "send less at once" in answer.json()["detail"] or "pass a reference" in answer.json()["detail"]


# What is not well-formed


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        pytest.param({"tpye": "noop"}, 'unknown field "spec.tpye"', id="a field that does not exist"),
        pytest.param({"timeoutSeconds": -1}, "spec.timeoutSeconds", id="a negative time"),
        pytest.param({"priority": "Urgent"}, 'supported values: "Normal", "High"', id="a priority that does not exist"),
        pytest.param({"retry": {"maxAttempts": 0}}, "spec.retry.maxAttempts", id="no attempt at all"),
        pytest.param({"pool": "Not_A_Label"}, "spec.pool", id="a pool's name that is no label"),
        pytest.param({"type": "no spaces"}, "spec.type", id="a type with a space"),
        pytest.param({"payload": "text"}, "spec.payload", id="a payload that is no object"),
        pytest.param({"startAfter": "tomorrow"}, "spec.startAfter", id="a time that is none"),
        pytest.param({"sequenceNumber": 1}, "needs orderingKey", id="a number without its lane"),
        pytest.param(
            {"callback": {"url": "ftp://x"}}, "must begin with https:// or http://", id="a callback to nowhere"
        ),
    ],
)
async def test_a_bad_field_is_refused_by_its_name(cluster: ClusterDoor, spec: dict[str, Any], sentence: str) -> None:
    assert sentence in await refusal(cluster, a_mission("bad-field", **spec))


@pytest.mark.parametrize("name", ["Upper-Case", "under_score", "-dash", "x" * 254])
async def test_a_bad_name_is_refused(cluster: ClusterDoor, name: str) -> None:
    assert "metadata.name: Invalid value" in await refusal(cluster, a_mission(name))


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        pytest.param({"payload": {}}, 422, "type", id="no type"),
        pytest.param({"type": "noop"}, 422, "payload", id="no payload"),
        pytest.param({"type": "noop", "payload": {}, "tpye": 1}, 422, "tpye", id="a field that does not exist"),
        pytest.param({"type": "no spaces", "payload": {}}, 422, "type", id="a type with a space"),
        pytest.param({"type": "noop", "payload": {}, "pool": "Not_A_Label"}, 422, "pool", id="a bad pool"),
        pytest.param(
            {"type": "noop", "payload": {}, "retry": {"max_attempts": 0}}, 422, "retry.max_attempts", id="none"
        ),
        pytest.param({"type": "noop", "payload": {}, "mission_id": "mine"}, 403, None, id="an id of one's own"),
    ],
)
async def test_a_bad_submission_is_refused_by_rest(
    rest: RestDoor, body: dict[str, Any], status: int, field: str | None
) -> None:
    answer = await rest.post(body)
    problem = answer.json()
    assert answer.status_code == problem["status"] == status, problem
    assert problem.get("field") == field
    assert problem["detail"].startswith(field or "mission_id")


# What cannot change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"type": "simulate"}, "type", id="another type"),
        pytest.param({"pool": "other"}, "pool", id="another pool"),
        pytest.param({"retry": {"maxAttempts": 9}}, "retry", id="more attempts"),
        pytest.param({"startAfter": "2030-01-01T00:00:00Z"}, "startAfter", id="a start time where there was none"),
        pytest.param({"payload": {"a": 2}}, "spec.payload cannot change", id="another value in the payload"),
        pytest.param({"payload": {"a": None, "b": 1}}, "spec.payload cannot change", id="a renamed key in the payload"),
    ],
)
async def test_a_change_of_what_was_asked_for_is_refused(cluster: ClusterDoor, change: Object, sentence: str) -> None:
    await cluster.apply(a_mission("settled", payload={"a": 1}, suspend=True))
    said = await refusal_of_patch(cluster, "settled", {"spec": change})
    assert sentence in said
    assert "make a new Mission with another name" in said


async def test_a_cancellation_cannot_be_taken_back(cluster: ClusterDoor) -> None:
    await cluster.apply(a_mission("given-up", cancel=True))
    said = await refusal_of_patch(cluster, "given-up", {"spec": {"cancel": False}})
    assert "cannot be taken back" in said
    assert (await cluster.until_it_is("given-up", "Cancelled"))["attempt"] == 0


# What is not true


async def test_a_status_that_comes_with_the_object_is_not_believed(cluster: ClusterDoor) -> None:
    forged = a_mission("dreamer", suspend=True) | {"status": {"state": "Completed", "sequence": 1}}
    await cluster.apply(forged)
    assert (await cluster.until_it_is("dreamer", "Queued", "Suspended"))["attempt"] == 0


@pytest.mark.parametrize(
    ("forged", "sentence"),
    [
        pytest.param({"state": "Failed", "sequence": 10**15}, "a final state cannot change", id="another end"),
        pytest.param({"state": "Queued", "sequence": 10**15}, "a final state cannot change", id="to begin again"),
        pytest.param({"sequence": 1}, "status is older than the one recorded", id="an older status"),
        pytest.param({"state": "Splendid"}, "Unsupported value", id="a state that does not exist"),
    ],
)
async def test_a_forged_end_is_refused(cluster: ClusterDoor, forged: Object, sentence: str) -> None:
    await cluster.apply(a_mission("honest"))
    truth = await cluster.until_it_is("honest", "Completed")
    assert sentence in await refusal_of_patch(cluster, "honest", {"status": forged}, "--subresource=status")
    assert await cluster.status("honest") == truth


async def test_a_status_cannot_be_removed(cluster: ClusterDoor) -> None:
    await cluster.apply(a_mission("remembered"))
    truth = await cluster.until_it_is("remembered", "Completed")
    said = await refusal_of_patch(cluster, "remembered", {"status": None}, "--subresource=status")
    assert "cannot be removed" in said
    assert await cluster.status("remembered") == truth


async def test_a_forged_status_of_a_living_mission_does_not_keep_it_from_its_end(
    world: World, cluster: ClusterDoor
) -> None:
    (mission_id,) = (await cluster.apply(noted("slandered", 1))).values()
    status = await cluster.until_it_is("slandered", "InProgress")
    lie = {"reason": "Completed", "message": "all done", "progress": 100}
    await cluster.patch("slandered", {"status": lie}, "--subresource=status")
    done = await cluster.until_it_is("slandered", "Completed", "Completed")
    assert (done["attempt"], done["epoch"]) == (1, status["epoch"])
    assert "message" not in done
    assert [note.deed for note in world.notes if note.mission_id == mission_id] == ["began", "ended"]


async def test_an_end_that_is_forged_beyond_the_ledgers_numbers_leaves_the_truth_with_the_commander(
    cluster: ClusterDoor, commander: RestDoor
) -> None:
    (mission_id,) = (await cluster.apply(noted("framed", 1))).values()
    await cluster.until_it_is("framed", "InProgress")
    forged = {"state": "Failed", "reason": "Refused", "sequence": 10**15}
    await cluster.patch("framed", {"status": forged}, "--subresource=status")
    assert (await commander.until_final([mission_id]))[mission_id]["state"] == "COMPLETED"
    await cluster.apply(a_mission("bystander"))
    await cluster.until_it_is("bystander", "Completed")
