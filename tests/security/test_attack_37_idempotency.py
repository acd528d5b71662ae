"""Attack 37: an idempotency key is used again, with another body or by another user.

Safe result: 422 for another body; and keys are their subject's own, so nobody meets another's mission by guessing one.
"""

from support.commander_api import Api
from support.problems import problem

KEY = {"Idempotency-Key": "order-4711"}
BODY = {"type": "noop", "payload": {"n": 1}}


async def test_attack_37_another_body_is_refused_and_the_first_stays(api: Api) -> None:
    client = await api.client("anna")
    first = (await client.post("/missions", json=BODY, headers=KEY)).json()
    for other in (BODY | {"payload": {"n": 2}}, BODY | {"pool": "gpu"}, BODY | {"timeout_seconds": 5}):
        problem(await client.post("/missions", json=other, headers=KEY), 422, "IdempotencyKeyReused")
    again = await client.post("/missions", json=BODY, headers=KEY)
    assert (again.status_code, again.json()) == (202, first)


async def test_attack_37_keys_belong_to_their_subject(api: Api) -> None:
    annas = (await (await api.client("anna")).post("/missions", json=BODY, headers=KEY)).json()
    ben = await api.client("ben")
    for body in (BODY, BODY | {"payload": {"n": 2}}):
        bens = await ben.post("/missions", json=body, headers=KEY | {"Idempotency-Key": f"order-4711{body is BODY}"})
        assert bens.status_code == 202
    same_key = await ben.post("/missions", json=BODY | {"payload": {"n": 3}}, headers=KEY)
    assert same_key.status_code == 202, "as if nobody had ever used it"
    assert same_key.json()["mission_id"] != annas["mission_id"]
    assert await api.get(annas["mission_id"]) == annas


async def test_attack_37_a_batch_meets_the_same_keys(api: Api) -> None:
    client = await api.client("anna")
    first = (await client.post("/missions", json=BODY, headers=KEY)).json()
    missions = [BODY | {"idempotency_key": "order-4711"}, BODY | {"payload": {}, "idempotency_key": "order-4711"}]
    same, other = (await client.post("/missions/batch", json={"missions": missions})).json()["results"]
    assert same["mission"] == first
    assert (other["status"], other["problem"]["code"]) == (422, "IdempotencyKeyReused")
