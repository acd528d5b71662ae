"""Attack 15: a client sets what is not its own to set. Safe result: 422 or 403, and what is stored is ours."""

from typing import Any

import pytest
from support.commander_api import Api, Soldier
from support.problems import problem

from mission_contracts import metrics
from mission_contracts.mission import GREATEST_ERA, NUMBERS_PER_ERA
from mission_contracts.soldiering import Verdict

UID = "2f1c6d1e-0000-4000-8000-000000000015"

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


async def test_attack_15_a_stolen_operators_token_cannot_set_numbers_for_ever(api: Api) -> None:
    era = api.commander.recorder.era
    floor = {"state": "QUEUED", "sequence": (era + 5_000_000) * NUMBERS_PER_ERA}
    body = {"type": "noop", "payload": {}, "door": "cluster", "mission_id": UID, "name": "forged", "floor": floor}
    operator = await api.client("operator")
    assert "check who wrote its status" in problem(
        await operator.post("/missions", json=body), 422, "EraAhead", field="floor"
    )
    beyond = body | {"floor": {"state": "QUEUED", "sequence": 10**23, "epoch": 10**23}}
    honest = {"type": "noop", "payload": {}}
    results = (await operator.post("/missions/batch", json={"missions": [body, beyond, honest]})).json()["results"]
    assert [one["status"] for one in results] == [422, 422, 202]
    assert api.commander.recorder.era == era
    assert not api.commander.eras.is_in_doubt


async def test_attack_15_a_stolen_soldiers_token_cannot_name_an_era(api: Api, soldier: Soldier) -> None:
    shown = await api.submit()
    order = await soldier.next_order()
    era = api.commander.recorder.era
    beat = {"beat": 1, "after": 0, "era": GREATEST_ERA, "held": [], "unclaimed": [], "slots": 4, "taking": True}
    client = await api.client(soldier.client_id)
    answer = await client.post(f"/soldiers/{soldier.instance}/heartbeat", json=beat)
    assert (answer.status_code, answer.json()["era"]) == (200, era)
    forged = await soldier.claim(order, era=GREATEST_ERA, epoch=GREATEST_ERA * NUMBERS_PER_ERA + 1)
    assert forged.verdict is Verdict.DROP
    assert (await soldier.claim(order)).verdict is Verdict.RUN, "work goes on in the era that is in force"
    assert api.commander.counts.number(metrics.ERAS_DISBELIEVED) == 3, "the beat's, and the claim's two"
    assert not api.commander.eras.is_in_doubt
    assert (await api.get(shown["mission_id"]))["epoch"] == order.epoch
