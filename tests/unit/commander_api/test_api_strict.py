"""A request says one thing, in strict JSON and with the types that the API server insists on, or it is refused."""

import json
from typing import Any

import pytest
from support.commander_api import Api
from support.problems import problem

SUBMIT = '{"type": "noop", "payload": {}, %s}'


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ('"timeout_seconds": "5"', "timeout_seconds"),
        ('"timeout_seconds": true', "timeout_seconds"),
        ('"deadline_seconds": "60"', "deadline_seconds"),
        ('"suspend": "yes"', "suspend"),
        ('"suspend": 1', "suspend"),
        ('"cancel": "true"', "cancel"),
        ('"retry": {"max_attempts": "5"}', "retry.max_attempts"),
        ('"retry": {"max_attempts": 5.5}', "retry.max_attempts"),
        ('"retry": {"multiplier": "2"}', "retry.multiplier"),
        ('"ordering_key": "a", "sequence_number": "1"', "sequence_number"),
        ('"ordering_key": "a", "sequence_number": true', "sequence_number"),
        ('"ttl_seconds_after_finished": "5"', "ttl_seconds_after_finished"),
        ('"start_after": 1700000000', "start_after"),
        ('"start_after": "1700000000"', "start_after"),
        ('"start_after": "2030-01-01 00:00:00Z"', "start_after"),
        ('"pool": "a\\n"', "pool"),
    ],
)
async def test_a_value_of_another_type_is_refused(api: Api, fields: str, field: str) -> None:
    client = await api.client("anna")
    problem(await client.post("/missions", content=SUBMIT % fields), 422, "BadField", field=field)
    answer = await client.post("/missions/batch", content='{"missions": [%s]}' % (SUBMIT % fields))
    assert [one["problem"]["field"] for one in answer.json()["results"]] == [field]
    assert not api.ledger.store.data.records


async def test_an_integer_may_be_written_with_a_zero_behind_the_point(api: Api) -> None:
    client = await api.client("anna")
    answer = await client.post("/missions", content=SUBMIT % '"ordering_key": "a", "sequence_number": 1.0')
    assert answer.json()["sequence_number"] == 1


@pytest.mark.parametrize(
    ("payload", "field", "hint"),
    [
        ('{"items": [1, {"price": NaN}]}', "payload.items[1].price", "NaN"),
        ('{"n": -Infinity}', "payload.n", "-Infinity"),
        ('{"n": 1e400}', "payload.n", "largest number"),
        ('{"a": 1, "a": 2}', "payload.a", "twice"),
        ('{"name": "\\ud800"}', "payload.name", "surrogate"),
        ('{"n": %s}' % ("9" * 5_000), "payload.n", "digits"),
        ('{"v": %s}' % ("[" * 64 + "]" * 64), "payload.v" + "[0]" * 62, "64 deep"),
    ],
)
async def test_what_is_not_strict_json_is_named_by_its_path(api: Api, payload: str, field: str, hint: str) -> None:
    client = await api.client("anna")
    answer = await client.post("/missions", content=f'{{"type": "noop", "payload": {payload}}}')
    named = answer.json()["field"]
    detail = problem(answer, 400, "BadJson", field=named)
    assert field.startswith(named.rstrip("…"))
    assert detail.startswith(f"{named}: ")
    assert hint in detail
    assert not api.ledger.store.data.records


@pytest.mark.parametrize(
    "body",
    [
        '{"missions": [%s], "missions": []}',
        '{"missions": [], "missions": [%s]}',
        '{"missions": [%s], "missi\\u006fns": [%s]}',
        '{"missions": [%s], "mode": "all"}',
    ],
)
async def test_a_batch_has_one_list_of_missions(api: Api, body: str) -> None:
    client = await api.client("anna")
    answer = await client.post("/missions/batch", content=body.replace("%s", '{"type": "noop", "payload": {}}'))
    assert "missions" in problem(answer, 422, "BadField", field="missions")
    assert not api.ledger.store.data.records


async def test_a_payload_arrives_as_it_was_sent(api: Api) -> None:
    payload = {"big": 2**53 + 1, "huge": 10**100, "text": "\U0001f600\0", "n": -0.0, "none": None, "deep": [[[]]]}
    client = await api.client("anna")
    answer = await client.post("/missions", content=json.dumps({"type": "noop", "payload": payload}))
    recorded = await api.ledger.payloads([answer.json()["mission_id"]])
    assert [json.loads(one or b"") for one in recorded] == [payload]


@pytest.mark.parametrize("name", ["Authorization", "Content-Type", "Idempotency-Key", "Request-Id", "Last-Event-ID"])
async def test_a_header_with_one_value_is_sent_once(api: Api, name: str) -> None:
    client = await api.client("anna")
    own: dict[str, Any] = {"Content-Type": "application/json", **client.headers}
    value = own.get(name, "one")
    headers = [*((key, text) for key, text in own.items() if key.lower() != name.lower()), (name, value), (name, value)]
    said = problem(
        await client.post("/missions", content=SUBMIT % '"pool": "a"', headers=headers),
        400,
        "RepeatedHeader",
        field=name.lower(),
    )
    assert name.lower() in said
    assert not api.ledger.store.data.records


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/missions", "namespace=a&namespace=b"),
        ("/missions", "limit=1&limit=1"),
        ("/missions/{id}", "wait=1&wait=2"),
        ("/dead-letters", "pool=a&pool=b"),
        ("/events", "door=rest&door=cluster"),
    ],
)
async def test_a_query_parameter_is_given_once(api: Api, path: str, query: str) -> None:
    mission = await api.submit()
    field = query.split("=", maxsplit=1)[0]
    answer = await (await api.client("anna")).get(path.format(id=mission["mission_id"]) + "?" + query)
    assert "twice" in problem(answer, 422, "BadField", field=field)


@pytest.mark.parametrize("wait", ["30s%0A", "٣", "1e3", "NaN", "-1"])
async def test_a_wait_is_a_number_of_seconds(api: Api, wait: str) -> None:
    mission = await api.submit()
    answer = await (await api.client("anna")).get(f"/missions/{mission['mission_id']}?wait={wait}")
    problem(answer, 422, "BadField", field="wait")
