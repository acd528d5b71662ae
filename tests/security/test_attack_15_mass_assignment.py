"""Attack 15: a client sets what is not its own to set. Safe result: 422 or 403, and what is stored is ours."""

from typing import Any

import pytest
from support.commander_api import Api
from support.problems import problem

OWN = {
    "state": "COMPLETED",
    "status": {"state": "Completed"},
    "epoch": 7,
    "attempt": 99,
    "sequence": 1,
    "owner": "ben",
    "subject": "ben",
    "role": "admin",
    "accepted_at": 0,
    "result": {"forged": True},
    "dead_letter": True,
    "retry_of": "another",
    "leads": True,
}


@pytest.mark.parametrize("field", OWN)
async def test_attack_15_a_field_of_ours_is_refused_by_its_name(api: Api, field: str) -> None:
    body = {"type": "noop", "payload": {}, field: OWN[field]}
    answer = await (await api.client("anna")).post("/missions", json=body)
    assert "there is no such field" in problem(answer, 422, "BadField", field=field)
    assert api.commander.memory.live() is not None
    assert not list(api.commander.memory.live()), "nothing was made"


@pytest.mark.parametrize(
    "fields",
    [
        {"mission_id": "chosen"},
        {"door": "cluster"},
        {"floor": {"state": "COMPLETED", "sequence": 9}},
        {"missionId": "chosen"},
    ],
)
async def test_attack_15_what_the_operator_may_set_nobody_else_may(api: Api, fields: dict[str, Any]) -> None:
    for who in ("anna", "ada"):
        answer = await (await api.client(who)).post("/missions", json={"type": "noop", "payload": {}} | fields)
        problem(answer, 403, "OperatorOnly")
    assert not list(api.commander.memory.live())


async def test_attack_15_in_a_batch_too(api: Api) -> None:
    body = {
        "missions": [{"type": "noop", "payload": {}, "epoch": 7}, {"type": "noop", "payload": {}, "door": "cluster"}]
    }
    results = (await (await api.client("anna")).post("/missions/batch", json=body)).json()["results"]
    assert [(one["status"], one["problem"]["code"]) for one in results] == [(422, "BadField"), (403, "OperatorOnly")]


@pytest.mark.parametrize(
    "fields", [{"state": "COMPLETED"}, {"payload": {}}, {"priority": "High"}, {"suspend": True, "epoch": 1}]
)
async def test_attack_15_a_change_changes_what_may_change_only(api: Api, fields: dict[str, Any]) -> None:
    mission = await api.submit()
    answer = await (await api.client("anna")).patch(f"/missions/{mission['mission_id']}", json=fields)
    problem(answer, 422, "BadField")
    assert await api.get(mission["mission_id"]) == mission
