"""One object, whatever somebody stored in it, and a real operator: that object is refused, all others are served."""

import json
from typing import Any

import pytest
from support import hostile
from support.operator_stage import Objects, Stage
from support.operators_commander import OperatorsCommander

from mission_contracts.resources import API_VERSION

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]

ENDS = {"Completed", "Failed"}
DEPTHS = {
    "as deep as is allowed": 62,
    "one level too deep": 63,
    "too deep for Python 3.11": 1_000,
    "as deep as the API server takes": 9_990,
}


async def store(objects: Objects, name: str, payload: bytes) -> bool:
    """Create a Mission with this text as a payload; False if the API server refuses it."""
    metadata = {"name": name, "namespace": objects.namespace}
    head = json.dumps({"apiVersion": API_VERSION, "kind": "Mission", "metadata": metadata})[:-1].encode()
    body = head + b',"spec":{"type":"noop","payload":{"v":' + payload + b"}}}"
    return await objects.store("missions", body)


async def until_refused(objects: Objects, name: str) -> dict[str, Any]:
    return await objects.until_status(
        "missions", name, lambda status: status.get("reason") == "Refused", f"{name} is refused"
    )


async def until_completed(objects: Objects, name: str) -> None:
    await objects.until_status(
        "missions", name, lambda status: status.get("state") == "Completed", f"{name} is completed"
    )


async def test_a_payload_that_is_too_deep_is_refused_however_it_comes(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    commander.finishes_at_once = True
    await objects.create_missions("before")
    for place, levels in enumerate(DEPTHS.values()):
        assert await store(objects, f"listed-{place}", hostile.nested(levels))
    operator = await stage.operator(resync_seconds="1")
    for place, levels in enumerate(DEPTHS.values()):
        assert await store(objects, f"watched-{place}", hostile.nested(levels, '{"v":', "}", "1"))
    await objects.create_missions("after")
    for name in ("before", "after", "listed-0", "watched-0"):
        await until_completed(objects, name)
    for place in range(1, len(DEPTHS)):
        for name in (f"listed-{place}", f"watched-{place}"):
            message = (await until_refused(objects, name))["message"]
            assert message.startswith("payload: ")
            assert "63" in message
    await commander.lose_everything()  # everything is compared, and read once more
    await objects.create_missions("at-last")
    await until_completed(objects, "at-last")
    assert operator.is_running
    await operator.stop()
    again = await stage.operator()
    await objects.create_missions("next")
    await until_completed(objects, "next")
    assert again.is_running


async def test_nothing_that_the_api_server_stores_harms_its_neighbours(
    stage: Stage, objects: Objects, commander: OperatorsCommander
) -> None:
    commander.finishes_at_once = True
    listed = await store_all(objects, "listed")
    operator = await stage.operator(resync_seconds="1")
    watched = await store_all(objects, "watched")
    await objects.create_missions("neighbour")
    await until_completed(objects, "neighbour")
    assert len(listed) == len(watched) > 10
    for name in [*listed, *watched]:
        await objects.until_status("missions", name, lambda status: status.get("state") in ENDS, f"{name} ends")
    await commander.lose_everything()
    await objects.create_missions("after-a-comparison")
    await until_completed(objects, "after-a-comparison")
    assert operator.is_running
    assert "passed over" not in operator.said


async def store_all(objects: Objects, how: str) -> list[str]:
    """Store what can be stored of the corpus; returns the names of those objects."""
    names = {f"{how}-{number}": make for number, make in enumerate(hostile.DOCUMENTS.values())}
    return [name for name, make in names.items() if await store(objects, name, make())]


async def test_a_pool_that_is_too_deep_leaves_the_others_alone(stage: Stage, objects: Objects) -> None:
    operator = await stage.operator()
    for name, spec in {"deep": b'{"template":{"affinity":{"v":%s}}}' % hostile.nested(2_000), "plain": b"{}"}.items():
        metadata = json.dumps({"apiVersion": API_VERSION, "kind": "SoldierPool", "metadata": {"name": name}}).encode()
        assert await objects.store("soldierpools", metadata[:-1] + b',"spec":' + spec + b"}")
    await objects.until_status("soldierpools", "plain", lambda status: "conditions" in status, "it is described")
    assert [reason for reason, _ in await objects.events_about("deep")] == ["Refused"]
    assert operator.is_running
