"""Every refusal over HTTP is problem+json, and its sentence says what to do."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from support.commander_api import SECRET, Api, Soldier
from support.commander_stage import eventually
from support.problems import problem

from mission_commander.api import batches
from mission_commander.domain import life
from mission_commander.domain.record import Mission
from mission_commander.ports import (
    Change,
    Committed,
    Conflict,
    EraChangedError,
    LedgerAwayError,
    RolledBackError,
)
from mission_commander.services.submission import Submitter
from mission_commander.services.turns import UnheardError
from mission_contracts.clock import SystemClock
from mission_contracts.envelope import Envelope
from mission_contracts.mission import Era, MissionId
from mission_contracts.signing_keys import SigningKeys
from mission_contracts.spec import MAX_PAYLOAD_BYTES, MissionSpec
from mission_contracts.tokens import Holder, Role, Tokens

NOOP: dict[str, Any] = {"type": "noop", "payload": {}}


# Submitting.


@pytest.mark.parametrize(
    ("body", "field", "hint"),
    [
        pytest.param({"payload": {}}, "type", "required", id="no type"),
        pytest.param({"type": "noop"}, "payload", "required", id="no payload"),
        pytest.param({"type": "a b", "payload": {}}, "type", "", id="a bad type"),
        pytest.param({"type": "noop", "payload": [1]}, "payload", "object", id="a payload that is no object"),
        pytest.param(NOOP | {"pool": "No_Label"}, "pool", "", id="a pool that is no DNS label"),
        pytest.param(NOOP | {"namespace": "UPPER"}, "namespace", "", id="a namespace that is no DNS label"),
        pytest.param(NOOP | {"timeout_seconds": 0}, "timeout_seconds", "greater", id="a timeout of nothing"),
        pytest.param(NOOP | {"timeout_seconds": "soon"}, "timeout_seconds", "number", id="a timeout in words"),
        pytest.param(NOOP | {"retry": {"max_attempts": 0}}, "retry.max_attempts", "greater", id="no attempt at all"),
        pytest.param(NOOP | {"start_after": "2030-01-01"}, "start_after", "", id="a start without zone"),
        pytest.param(NOOP | {"prioritty": "High"}, "prioritty", "", id="a field that does not exist"),
        pytest.param(NOOP | {"priority": "Urgent"}, "priority", "", id="a priority that does not exist"),
        pytest.param(NOOP | {"idempotency_key": ""}, "idempotency_key", "", id="an empty key"),
    ],
)
async def test_a_bad_field_is_named(api: Api, body: dict[str, Any], field: str, hint: str) -> None:
    answer = await (await api.client("anna")).post("/missions", json=body)
    said = problem(answer, 422, "BadField", field=field)
    assert field in said
    assert hint in said
    assert not api.ledger.store.data.records


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="half of it"),
        pytest.param(b"\xff\xfe", id="not text"),
        pytest.param(b'{"type":"noop","payload":' + b'{"a":' * 10_000, id="nested without end"),
    ],
)
async def test_what_is_not_json_is_told_so(api: Api, body: bytes) -> None:
    for path in ("/missions", "/missions/batch", "/missions/lookup"):
        answer = await (await api.client("anna")).post(path, content=body)
        problem(answer, 400, "BadJson")


@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"1e999"])
async def test_a_number_that_json_cannot_carry_is_refused(api: Api, text: bytes) -> None:
    body = b'{"type":"noop","payload":{"n":%b}}' % text
    answer = await (await api.client("anna")).post("/missions", content=body)
    assert answer.status_code in {400, 422}, answer.text
    assert not api.ledger.store.data.records


async def test_json_of_another_kind_is_told_so(api: Api) -> None:
    for body in (b"[]", b"3", b'"text"', b"null"):
        problem(await (await api.client("anna")).post("/missions", content=body), 422, "BadField")


async def test_a_payload_is_bounded(api: Api) -> None:
    fitting = {"x": "y" * (MAX_PAYLOAD_BYTES - len('{"x":""}'))}
    client = await api.client("anna")
    assert (await client.post("/missions", json=NOOP | {"payload": fitting})).status_code == 202
    too_large = {"x": fitting["x"] + "y"}
    said = problem(
        await client.post("/missions", json=NOOP | {"payload": too_large}), 413, "PayloadTooLarge", field="payload"
    )
    assert str(MAX_PAYLOAD_BYTES) in said
    problem(await client.post("/missions", content=b"x" * 600_000), 413, "BodyTooLarge")


async def test_a_key_is_for_one_mission(api: Api) -> None:
    client = await api.client("anna")
    first = await client.post("/missions", json=NOOP, headers={"Idempotency-Key": "k"})
    again = await client.post("/missions", json=NOOP, headers={"Idempotency-Key": "k"})
    assert again.json() == first.json()
    assert first.headers["location"] == f"/missions/{first.json()['mission_id']}"
    other = await client.post("/missions", json=NOOP | {"pool": "gpu"}, headers={"Idempotency-Key": "k"})
    problem(other, 422, "IdempotencyKeyReused")
    problem(
        await client.post("/missions", json=NOOP, headers={"Idempotency-Key": "k" * 256}),
        422,
        "BadField",
        field="Idempotency-Key",
    )
    bens = await (await api.client("ben")).post("/missions", json=NOOP, headers={"Idempotency-Key": "k"})
    assert bens.json()["mission_id"] != first.json()["mission_id"]


@pytest.mark.parametrize("own", [{"mission_id": "x"}, {"door": "cluster"}, {"floor": {"state": "QUEUED"}}])
@pytest.mark.parametrize("who", ["anna", "ada"])
async def test_only_the_operator_speaks_for_objects(api: Api, who: str, own: dict[str, Any]) -> None:
    said = problem(await (await api.client(who)).post("/missions", json=NOOP | own), 403, "OperatorOnly")
    assert next(iter(own)) in said


# Batches.


async def test_each_item_of_a_batch_has_its_own_answer(api: Api) -> None:
    items = [
        NOOP,
        {"type": "noop"},
        NOOP | {"payload": {"x": "y" * MAX_PAYLOAD_BYTES}},
        7,
        NOOP | {"mission_id": "x"},
        NOOP,
    ]
    answer = await (await api.client("anna")).post("/missions/batch", json={"missions": items})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [one["status"] for one in results] == [202, 422, 413, 422, 403, 202]
    assert [one["problem"]["code"] for one in results if "problem" in one] == [
        "BadField",
        "PayloadTooLarge",
        "BadField",
        "OperatorOnly",
    ]
    assert [one["mission"]["state"] for one in results if "mission" in one] == ["QUEUED", "QUEUED"]
    assert len(api.ledger.store.data.records) == 2


async def test_keys_count_within_a_batch_too(api: Api) -> None:
    items = [NOOP | {"idempotency_key": "k"}, NOOP | {"idempotency_key": "k"}]
    answer = await (await api.client("anna")).post("/missions/batch", json={"missions": items})
    first, second = answer.json()["results"]
    assert first == second


@pytest.mark.parametrize(
    ("path", "field", "who"),
    [
        ("/missions/batch", "missions", "anna"),
        ("/missions/lookup", "ids", "anna"),
        ("/missions/acknowledged", "ids", "operator"),
    ],
)
async def test_a_batch_has_at_most_a_thousand_items(api: Api, path: str, field: str, who: str) -> None:
    client = await api.client(who)
    items: list[Any] = [NOOP if field == "missions" else f"m-{number}" for number in range(1_001)]
    said = problem(await client.post(path, json={field: items}), 422, "BatchTooLarge", field=field)
    assert "1000" in said
    assert (await client.post(path, json={field: []})).status_code in {200, 204}


# Who may what.

ROUTES = [
    ("POST", "/missions", "user admin operator"),
    ("POST", "/missions/batch", "user admin operator"),
    ("POST", "/missions/lookup", "viewer user admin operator"),
    ("POST", "/missions/acknowledged", "operator"),
    ("GET", "/missions", "viewer user admin operator"),
    ("GET", "/missions/x", "viewer user admin operator"),
    ("PATCH", "/missions/x", "user admin operator"),
    ("POST", "/missions/x/cancel", "user admin operator"),
    ("POST", "/missions/x/retry", "user admin operator"),
    ("GET", "/missions/x/history", "viewer user admin operator"),
    ("GET", "/dead-letters", "viewer user admin operator"),
    ("POST", "/dead-letters/redrive", "user admin operator"),
    ("POST", "/dead-letters/x/redrive", "user admin operator"),
    ("PUT", "/pools/default/p", "admin operator"),
    ("DELETE", "/pools/default/p", "admin operator"),
    ("GET", "/pools", "viewer user admin operator"),
    ("GET", "/status", "viewer user admin operator"),
    ("POST", "/scheduler/start", "admin operator"),
    ("POST", "/scheduler/stop", "admin operator"),
    ("POST", "/soldiers", "soldier"),
    ("POST", "/soldiers/x/claims", "soldier"),
    ("POST", "/soldiers/x/heartbeat", "soldier"),
]
WHO = {"viewer": "vera", "user": "anna", "admin": "ada", "operator": "operator", "soldier": "soldiers"}


@pytest.mark.parametrize(("method", "path", "roles"), ROUTES)
async def test_roles(api: Api, method: str, path: str, roles: str) -> None:
    for role, who in WHO.items():
        answer = await (await api.client(who)).request(method, path, content=b"{}" if method != "GET" else None)
        if role in roles.split():
            assert answer.status_code not in {401, 403}, (role, answer.text)
        else:
            assert role in problem(answer, 403, "WrongRole")
    answer = await (await api.stranger()).request(method, path)
    problem(answer, 401, "NoToken")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_an_event_stream_has_roles_as_well(api: Api) -> None:
    problem(await (await api.client("soldiers")).get("/events"), 403, "WrongRole")
    problem(await (await api.stranger()).get("/events"), 401, "NoToken")


@pytest.mark.parametrize(
    "authorization",
    ["Bearer", "Basic YTpi", "Bearer not.a.token", "Bearer " + "x" * 9_000, "token"],
)
async def test_a_bad_token_is_refused(api: Api, authorization: str) -> None:
    answer = await (await api.stranger()).get("/missions", headers={"Authorization": authorization})
    assert problem(answer, 401, answer.json()["code"])
    assert "not.a.token" not in answer.text


async def test_an_expired_token_is_refused_after_its_grace(api: Api) -> None:
    tokens = Tokens(SigningKeys(api.commander.install_key), SystemClock())
    for lifetime, status in ((-3.0, 200), (-60.0, 401)):
        token = tokens.sign(Holder(subject="anna", role=Role.USER), lifetime_seconds=lifetime)
        answer = await (await api.stranger()).get("/missions", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status


@pytest.mark.parametrize(
    "asked",
    [
        {"client_id": "anna", "client_secret": "wrong"},
        {"client_id": "nobody", "client_secret": SECRET},
        {"client_id": "nobody", "client_secret": ""},
    ],
)
async def test_bad_credentials_all_look_the_same(api: Api, asked: dict[str, str]) -> None:
    said = problem(await (await api.stranger()).post("/token", json=asked), 401, "BadCredentials")
    assert said == "client id or secret is wrong: check both"


async def test_a_token_request_is_bounded(api: Api) -> None:
    stranger = await api.stranger()
    problem(await stranger.post("/token", json={"client_id": "anna"}), 422, "BadField", field="client_secret")
    problem(await stranger.post("/token", content=b"x" * 20_000), 413, "BodyTooLarge")


async def test_strangers_missions_do_not_exist(api: Api) -> None:
    mission = await api.submit("anna")
    path = f"/missions/{mission['mission_id']}"
    ben = await api.client("ben")
    answers = [
        await ben.get(path),
        await ben.patch(path, json={"suspend": True}),
        await ben.post(f"{path}/cancel"),
        await ben.get("/missions/no-such-id"),
        await ben.get("/missions/" + "%F0%9F%92%A9" * 30),
    ]
    assert len({problem(answer, 404, "UnknownMission") for answer in answers}) == 1, "the same for both"
    assert (await api.get(mission["mission_id"]))["state"] == "QUEUED"
    for who in ("ada", "operator"):
        assert (await api.get(mission["mission_id"], who))["mission_id"] == mission["mission_id"]


# Odd queries.


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("limit=-1", "limit"),
        ("limit=0000012345678", "limit"),
        ("limit=" + "9" * 5_000, "limit"),
        ("limit=000001" + "9" * 5_000, "limit"),
        ("limit=%D9%A3", "limit"),
        ("state=Queued", "state"),
        ("door=window", "door"),
        ("cursor=%21", "cursor"),
        ("cursor=bmFuIHg", "cursor"),  # nan x
        ("cursor=aW5mIHg", "cursor"),  # inf x
        ("cursor=%E2%82%AC", "cursor"),
        ("live=perhaps", "live"),
        ("namespace=NoLabel", "namespace"),
        ("sate=QUEUED", "sate"),
    ],
)
async def test_a_bad_query_is_named(api: Api, query: str, field: str) -> None:
    problem(await (await api.client("anna")).get(f"/missions?{query}"), 422, "BadField", field=field)


@pytest.mark.parametrize("wait", ["soon", "-1s", "1e3", "30m", "9" * 400, "1..2"])
async def test_a_bad_wait_is_named(api: Api, wait: str) -> None:
    mission = await api.submit()
    answer = await (await api.client("anna")).get(f"/missions/{mission['mission_id']}", params={"wait": wait})
    problem(answer, 422, "BadField", field="wait")


@pytest.mark.parametrize("last", ["x", "1", "1-", "-1", "1-1-1", "9" * 30 + "-0", "%D9%A3-0"])
async def test_an_event_id_that_is_none_is_named(api: Api, last: str) -> None:
    answer = await (await api.client("anna")).get("/events", headers={"Last-Event-ID": last})
    problem(answer, 422, "BadField", field="Last-Event-ID")


@pytest.mark.parametrize("body", [b"[]", b'{"suspend":"yes"}', b'{"cancel":true}'])
async def test_a_bad_change_is_refused(api: Api, body: bytes) -> None:
    mission = await api.submit()
    answer = await (await api.client("anna")).patch(f"/missions/{mission['mission_id']}", content=body)
    problem(answer, 422, "BadField")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "BadJson"),
        (b'{"why":"x"}', 422, "BadField"),
        (b'{"message":"' + b"x" * 257 + b'"}', 422, "BadField"),
        (b"x" * 5_000, 413, "BodyTooLarge"),
    ],
)
async def test_a_bad_cancel_is_refused(api: Api, body: bytes, status: int, code: str) -> None:
    mission = await api.submit()
    answer = await (await api.client("anna")).post(f"/missions/{mission['mission_id']}/cancel", content=body)
    problem(answer, status, code)
    assert (await api.get(mission["mission_id"]))["state"] == "QUEUED"


async def test_only_the_operator_says_that_an_object_is_gone(api: Api) -> None:
    mission = await api.submit()
    path = f"/missions/{mission['mission_id']}/cancel"
    problem(await (await api.client("anna")).post(path, json={"deleted": True}), 403, "OperatorOnly", field="deleted")
    answer = await (await api.client("operator")).post(path, json={"deleted": True})
    assert answer.json()["reason"] == "Deleted"


# Pools and soldiers.


@pytest.mark.parametrize("path", ["/pools/default/No_Label", "/pools/-x/default", "/pools/default/" + "x" * 64])
async def test_a_pools_name_is_a_dns_label(api: Api, path: str) -> None:
    operator = await api.client("operator")
    problem(await operator.put(path, json={}), 422, "BadName")
    problem(await operator.delete(path), 422, "BadName")


@pytest.mark.parametrize("body", [b"", b"{", b'{"size":3}', b'{"replicas":"many"}'])
async def test_a_bad_declaration_is_refused(api: Api, body: bytes) -> None:
    answer = await (await api.client("operator")).put("/pools/default/gpu", content=body)
    assert answer.status_code in {400, 422}
    problem(answer, answer.status_code, answer.json()["code"])
    assert not api.commander.garrison.knows(("default", "gpu"))


REGISTRATION: dict[str, Any] = {
    "instance": "soldier-1",
    "namespace": "default",
    "pool": "default",
    "types": [],
    "concurrency": 1,
}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"instance": ""}, "instance"),
        ({"instance": "a/b"}, "instance"),
        ({"instance": "x" * 254}, "instance"),
        ({"instance": "white space"}, "instance"),
        ({"namespace": "No"}, "namespace"),
        ({"pool": "No"}, "pool"),
        ({"concurrency": 0}, "concurrency"),
    ],
)
async def test_a_bad_registration_is_refused(api: Api, wrong: dict[str, Any], field: str) -> None:
    answer = await (await api.client("soldiers")).post("/soldiers", json=REGISTRATION | wrong)
    problem(answer, 422, "BadField", field=field)
    assert not api.ledger.store.data.registrations


async def test_who_is_not_registered_is_told_what_to_do(api: Api) -> None:
    beat = {"beat": 1, "after": 0, "era": 0, "held": [], "unclaimed": [], "slots": 1, "taking": True}
    answer = await (await api.client("soldiers")).post("/soldiers/nobody/heartbeat", json=beat)
    assert "POST /soldiers" in problem(answer, 404, "UnknownSoldier")


@pytest.mark.usefixtures("soldier")
async def test_claims_are_bounded(api: Api) -> None:
    claim = {"mission_id": "m", "epoch": 1, "era": 1, "accepted_at": 1}
    client = await api.client("soldiers")
    answer = await client.post("/soldiers/soldier-1/claims", json={"claims": [claim] * 257})
    problem(answer, 422, "BatchTooLarge", field="claims")
    problem(await client.post("/soldiers/soldier-1/claims", json={"claims": [{"epoch": "x"}]}), 422, "BadField")


CLAIM = {"mission_id": "m", "epoch": 1, "era": 1, "accepted_at": 1}
HOLD = {"mission_id": "m", "epoch": 1, "secret": "s"}
BEAT = {"beat": 1, "after": 0, "era": 1, "held": [], "unclaimed": [], "slots": 1, "taking": True}


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        pytest.param("claims", {"claims": [CLAIM | {"mission_id": "m" * 65}]}, "claims[0].mission_id", id="an id"),
        pytest.param("claims", {"claims": [CLAIM | {"epoch": -1}]}, "claims[0].epoch", id="a negative epoch"),
        pytest.param("claims", {"claims": [CLAIM | {"era": 10**12}]}, "claims[0].era", id="an era of no clock"),
        pytest.param("claims", {"claims": [CLAIM | {"accepted_at": 1e300}]}, "claims[0].accepted_at", id="a moment"),
        pytest.param("heartbeat", BEAT | {"held": [HOLD] * 10_001}, "held", id="more held than anybody can hold"),
        pytest.param(
            "heartbeat", BEAT | {"unclaimed": [{"mission_id": "m", "epoch": 1}] * 10_001}, "unclaimed", id="unclaimed"
        ),
        pytest.param("heartbeat", BEAT | {"held": [HOLD | {"secret": "s" * 257}]}, "held[0].secret", id="a secret"),
        pytest.param("heartbeat", BEAT | {"beat": -1}, "beat", id="a beat before the first"),
    ],
)
@pytest.mark.usefixtures("soldier")
async def test_what_a_soldier_says_is_bounded_field_by_field(
    api: Api, path: str, body: dict[str, object], where: str
) -> None:
    answer = await (await api.client("soldiers")).post(f"/soldiers/soldier-1/{path}", json=body)
    assert problem(answer, 422, "BadField").endswith(f"- at `$.{where}`")


@pytest.mark.usefixtures("soldier")
@pytest.mark.parametrize("path", ["claims", "heartbeat"])
async def test_a_body_beyond_any_use_is_not_read_to_its_end(api: Api, path: str) -> None:
    answer = await (await api.client("soldiers")).post(f"/soldiers/soldier-1/{path}", content=b" " * (33 * 1024 * 1024))
    assert "send less at once" in problem(answer, 413, "BodyTooLarge")


async def test_numbers_beyond_all_bounds_do_no_harm(api: Api, soldier: Soldier) -> None:
    client = await api.client("soldiers")
    for epoch in ("1e400", "9" * 400, "-1e9999"):
        body = '{"claims":[{"mission_id":"m","epoch":%s,"era":1,"accepted_at":1}]}' % epoch  # noqa: UP031
        answer = await client.post("/soldiers/soldier-1/claims", content=body)
        assert answer.status_code in {200, 400, 422}, answer.text
        assert "RUN" not in answer.text


# The frame.


async def test_no_such_route(api: Api) -> None:
    stranger = await api.stranger()
    problem(await stranger.get("/mission"), 404, "NoSuchRoute")
    answer = await stranger.delete("/missions")
    problem(answer, 405, "MethodNotAllowed")
    assert "POST" in answer.headers["allow"]


async def test_a_request_id_is_echoed_or_made(api: Api) -> None:
    stranger = await api.stranger()
    given = await stranger.get("/livez", headers={"Request-Id": "mine-1"})
    assert given.headers["request-id"] == "mine-1"
    assert (await stranger.get("/livez")).headers["request-id"]
    for odd in ("x" * 129, "a b", ""):
        answer = await stranger.get("/livez", headers={"Request-Id": odd})
        assert answer.headers["request-id"] not in {"", odd}


async def test_a_fault_of_ours_is_told_with_its_request_id(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Submitter, "submit_all", broken)
    answer = await (await api.client("anna")).post("/missions", json=NOOP, headers={"Request-Id": "mine-1"})
    said = problem(answer, 500, "Unexpected")
    assert "ZeroDivisionError" not in answer.text
    assert json.loads(answer.text)["request_id"] == "mine-1"
    assert "log" in said


async def test_the_log_has_a_fault_of_ours_under_its_request_id(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ExceptionGroup("two at once", [ZeroDivisionError(), KeyError("a")])

    monkeypatch.setattr(Submitter, "submit_all", broken)
    client = await api.client("anna")
    with capture_logs() as logged:
        answer = await client.post("/missions/batch", json={"missions": [NOOP]}, headers={"Request-Id": "mine-1"})
    problem(answer, 500, "Unexpected")
    [line] = [one for one in logged if one["log_level"] == "error"]
    assert (line["request_id"], line["path"], line["method"]) == ("mine-1", "/missions/batch", "POST")
    assert isinstance(line["exc_info"], ExceptionGroup)


ANSWERED = {
    LedgerAwayError("it is away"): (503, "LedgerAway"),
    EraChangedError("another era"): (503, "LedgerAway"),
    RolledBackError(): (503, "LedgerAway"),
    RuntimeError("a defect"): (500, "Unexpected"),
    ExceptionGroup("two at once", [RuntimeError("a defect"), LedgerAwayError("it is away")]): (500, "Unexpected"),
    UnheardError(MissionId("m-1")): (500, "Unexpected"),
}


@pytest.mark.parametrize("error", ANSWERED, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("path", ["/missions", "/missions/batch"])
async def test_whatever_a_commit_comes_to_is_answered_and_work_goes_on(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception, path: str
) -> None:
    commit = api.ledger.commit

    async def fails(era: Era, changes: Sequence[Change], **named: Any) -> Sequence[Committed | Conflict]:
        if not changes:  # a look at the ledger, which every Commander takes each second
            return await commit(era, changes, **named)
        raise error

    client = await api.client("anna")
    bodies = {"/missions": NOOP, "/missions/batch": {"missions": [NOOP, NOOP]}}
    status, code = ANSWERED[error]
    api.broker.cut()  # else it would be accepted by way of the broker
    with monkeypatch.context() as broken, capture_logs() as logged:
        broken.setattr(api.ledger, "commit", fails)
        answer = await client.post(path, json=bodies[path], headers={"Request-Id": "mine-1"})
    said = answer.json()
    told = [one["problem"] for one in said["results"]] if "results" in said else [said]
    assert {(one["status"], one["code"]) for one in told} == {(status, code)}
    assert "defect" not in answer.text
    logged_errors = [one for one in logged if one["log_level"] == "error" and one.get("exc_info")]
    assert bool(logged_errors) == (status == 500), "a defect is in the log, with its traceback"
    api.broker.mend()
    await eventually(lambda: not api.commander.vitals.ledger_is_away, "the ledger is back")
    await api.submit()


async def test_a_defect_of_one_mission_is_its_own(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    accept = life.accept

    def fails_on_some(envelope: Envelope, *given: Any, **named: Any) -> Mission:
        if envelope.type == "broken":
            raise ZeroDivisionError
        return accept(envelope, *given, **named)

    monkeypatch.setattr(life, "accept", fails_on_some)
    body = {"missions": [NOOP, NOOP | {"type": "broken"}, NOOP]}
    answer = await (await api.client("anna")).post("/missions/batch", json=body)
    assert [one["status"] for one in answer.json()["results"]] == [202, 500, 202]
    assert "ZeroDivisionError" not in answer.text


async def test_a_submission_that_we_fail_to_read_costs_its_neighbours_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_on_some(asked: MissionSpec, _: float) -> str | None:
        if asked.type == "broken":
            raise OverflowError
        return None

    monkeypatch.setattr(api.commander.submitter, "_refusal", fails_on_some)
    body = {"missions": [NOOP, NOOP | {"type": "broken"}]}
    with capture_logs() as logged:
        answer = await (await api.client("anna")).post("/missions/batch", json=body)
    assert [one["status"] for one in answer.json()["results"]] == [202, 500]
    assert [type(one["exc_info"]) for one in logged if one["log_level"] == "error"] == [OverflowError]


@pytest.mark.parametrize("item", [b'"\xff"', b"9" * 5_000, b"1" * 5_000 + b".0"], ids=["no UTF-8", "digits", "float"])
async def test_a_large_batch_is_read_item_by_item_whatever_one_of_them_is(api: Api, item: bytes) -> None:
    filler = b",".join([b"10000000000000000"] * (batches.FEW_COMMAS + 2))
    good = b'{"type":"noop","payload":{}}'
    large = b'{"type":"noop","payload":{"a":[' + filler + b"]}}"
    body = b'{"missions":[' + b",".join([large, item, good]) + b"]}"
    assert len(body) > batches.FEW_BYTES
    answer = await (await api.client("anna")).post("/missions/batch", content=body)
    assert [one["status"] for one in answer.json()["results"]] == [413, 400, 202]


async def test_a_caller_that_leaves_in_the_middle_of_its_request_is_no_fault_of_ours(api: Api) -> None:
    authorization = (await api.client("anna")).headers["Authorization"]
    address = httpx.URL(api.url)
    head = f"POST /missions HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Length: 100\r\n\r\n"
    with capture_logs() as said:
        _, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(head.encode() + b'{"type":')
        await writer.drain()
        await (await api.stranger()).get("/livez")  # by now the head was read, and its body is waited for
        writer.close()
        await writer.wait_closed()
        mission = await api.submit()
        await api.get(mission["mission_id"])
    assert [line for line in said if line["log_level"] == "error"] == []
