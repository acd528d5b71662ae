"""Attack 12, bodies that cost more to read than to send: refused before they do, and what is kept is what was read."""

import json
import tracemalloc
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from support.bare_http import BareHttp
from support.commander_api import Api
from support.problems import problem

from mission_commander.api import batches
from mission_contracts.rest import MAX_BATCH

MIB = 1024 * 1024
NOOP = b'{"type":"noop","payload":{}}'
BOMBS = {
    "items of one byte": b'{"missions":[' + b"0," * (4 * MIB) + b"0]}",
    "items of one byte, spread": b'{ "missions" :\n[' + b"0 ,\t" * (2 * MIB) + b"0 ]\r\n}",
    "texts that hold brackets": b'{"missions":[' + b'"],[",' * (2 * MIB) + b"0]}",
}


HIDDEN = {
    "under an escaped name": b'{"\\u006dissions":[' + b"{}," * (3 * MIB) + b"{}]}",
    "behind another one": b'{"missions":[],"missions":[' + b"0," * (4 * MIB) + b"0]}",
    "before another one": b'{"missions":[' + b"0," * (4 * MIB) + b'0],"missions":[]}',
}


async def measured(api: Api, body: bytes) -> httpx.Response:
    """Send a batch, and hold the memory that it takes within a bound."""
    anna = await api.client("anna")
    tracemalloc.start()
    try:
        answer = await anna.post("/missions/batch", content=body)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The body is here several times: as it is sent, as it comes in, and as it is looked through.
    assert most < 8 * len(body), "read at once, it would be 35 times its size"
    return answer


@pytest.mark.parametrize("body", HIDDEN.values(), ids=HIDDEN.keys())
async def test_attack_12_a_batch_that_hides_millions_is_refused_before_they_are_read(api: Api, body: bytes) -> None:
    assert "one field" in problem(await measured(api, body), 422, "BadField", field="missions")


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS.keys())
async def test_attack_12_a_batch_of_millions_is_refused_before_an_object_is_made_of_each(api: Api, body: bytes) -> None:
    assert "more than 1000" in problem(await measured(api, body), 422, "BatchTooLarge", field="missions")


@pytest.mark.parametrize("count", [MAX_BATCH, MAX_BATCH + 1])
def test_attack_12_items_are_counted_for_what_they_are(count: int) -> None:
    item = json.dumps({"type": "noop", "payload": {"numbers": [1] * 100, "text": '],[\\"'}})
    assert batches._has_too_many(f"[ {' , '.join([item] * count)} ]".encode()) == (count > MAX_BATCH)
    assert not batches._has_too_many(b"[]")
    assert not batches._has_too_many(b"{}"), "no array: whoever reads it says so"


async def test_attack_12_a_large_batch_of_large_payloads_is_still_accepted(api: Api) -> None:
    body = b'{"missions":[' + b",".join([b'{"type":"noop","payload":{"n":[%b0]}}' % (b"0," * 7_000)] * 100) + b"]}"
    assert batches._may_hold_many(body)
    answer = await (await api.client("anna")).post("/missions/batch", content=body)
    assert [one["status"] for one in answer.json()["results"]] == [202] * 100


@pytest.mark.parametrize(
    "nested",
    [
        pytest.param(lambda deep: b"[" * deep, id="opened and never closed"),
        pytest.param(lambda deep: b"[" * deep + b"]" * deep, id="closed again"),
        pytest.param(lambda deep: b'{"a":' * deep + b"0" + b"}" * deep, id="objects"),
    ],
)
async def test_attack_12_what_is_nested_without_end_is_refused(api: Api, nested: Callable[[int], bytes]) -> None:
    anna = await api.client("anna")
    for path, body in {
        "/missions": b'{"type":"noop","payload":{"x":%b}}' % nested(40_000),
        "/missions/batch": b'{"missions":[%b]}' % nested(2_000_000),
        "/missions/lookup": b'{"ids":[],"x":%b}' % nested(40_000),
    }.items():
        answer = await anna.post(path, content=body)
        assert answer.status_code in {400, 422}, (path, answer.text[:200])
    assert not api.ledger.store.data.records


@pytest.mark.parametrize("path", ["/missions", "/missions/lookup", "/missions/x/cancel", "/token"])
async def test_attack_12_a_body_is_bounded_whether_it_says_so_or_not(api: Api, path: str) -> None:
    anna = await api.client("anna")
    body = b'"' + b"x" * MIB + b'"'

    async def unannounced() -> AsyncIterator[bytes]:
        yield body

    problem(await anna.post(path, content=body), 413, "BodyTooLarge")
    problem(await anna.post(path, content=unannounced()), 413, "BodyTooLarge")


async def test_attack_12_a_body_that_announces_too_much_is_refused_before_it_comes(api: Api, bare: BareHttp) -> None:
    token = (await api.client("anna")).headers["authorization"].encode()
    head = b"POST /missions HTTP/1.1\r\nHost: commander\r\nAuthorization: %b\r\nContent-Length: %d\r\n\r\n"
    answer = await bare.exchange(head % (token, 10**12))
    assert answer.statuses == [413]


# A key that is there twice: readers differ on which one counts, so it is refused at every entry point and depth.


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param(b'{"type":"noop","type":"simulate","payload":{}}', "type", id="at the top"),
        pytest.param(b'{"type":"noop","payload":{"a":0},"payload":{"a":1}}', "payload", id="the payload itself"),
        pytest.param(b'{"type":"noop","payload":{"b":{"c":1,"c":2}}}', "payload.b.c", id="deep in the payload"),
    ],
)
async def test_attack_12_a_key_that_is_there_twice_is_refused(api: Api, body: bytes, field: str) -> None:
    anna = await api.client("anna")
    assert "twice" in problem(await anna.post("/missions", content=body), 400, "BadJson", field=field)
    [item] = (await anna.post("/missions/batch", content=b'{"missions":[%b]}' % body)).json()["results"]
    assert (item["status"], item["problem"]["code"], item["problem"]["field"]) == (400, "BadJson", field)
    assert not api.ledger.store.data.records


async def test_attack_12_a_name_that_is_there_twice_hides_nothing_that_is_not_allowed(api: Api) -> None:
    anna = await api.client("anna")
    hidden = NOOP[:-1] + b',"door":"rest","door":"cluster"}'
    problem(await anna.post("/missions", content=hidden), 400, "BadJson", field="door")
    unknown = NOOP[:-1] + b',"epoch":1,"epoch":2}'
    problem(await anna.post("/missions", content=unknown), 400, "BadJson", field="epoch")
