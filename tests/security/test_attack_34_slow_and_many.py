"""Attack 34, clients that are slow, many, or large: each is ended at its bound, and the others are served meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.bare_http import BareAnswer, BareHttp, Connection
from support.commander_api import Api, Soldier, serving
from support.commander_stage import eventually

from mission_commander import app as application
from mission_commander import http_server
from mission_contracts import metrics

HEAD = b"GET /livez HTTP/1.1\r\nHost: commander\r\n"
ALIVE = HEAD + b"\r\n"
ALIVE_ONCE = HEAD + b"Connection: close\r\n\r\n"
QUICK: dict[str, Any] = {"http_head_seconds": 0.4, "http_unread_seconds": 0.4}


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(http_server, "LINGER_SECONDS", 0.2)


@asynccontextmanager
async def attacked(**fields: Any) -> AsyncIterator[tuple[Api, BareHttp]]:
    """A Commander, and connections to it."""
    async with serving(**(QUICK | fields)) as api:
        address = urlsplit(api.url)
        async with BareHttp(str(address.hostname), address.port or 0) as bare:
            yield api, bare


def ended(api: Api, cause: str) -> int:
    return api.commander.counts.number(metrics.CONNECTIONS_ENDED, cause)


async def drip(connection: Connection, begun: bytes, drops: Sequence[bytes]) -> BareAnswer:
    """Send something, then drop by drop, until the server has had enough."""
    await connection.send(begun)
    reading = asyncio.create_task(connection.read())
    for drop in drops:
        await asyncio.wait([reading], timeout=0.05)
        if reading.done():
            break
        await connection.send(drop)
    return await reading


async def is_served(api: Api) -> None:
    """Somebody honest gets through."""
    shown = await api.submit()
    assert (await api.get(shown["mission_id"]))["state"] == "QUEUED"


async def eventually_served(bare: BareHttp) -> None:
    """A place that was left is free as soon as the server has noticed."""
    for _ in range(100):
        if (await bare.exchange(ALIVE_ONCE)).statuses == [200]:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("nobody is served, although a place is free")


# Slow.


@pytest.mark.parametrize(
    ("begun", "drop"),
    [
        pytest.param(b"G", b"E", id="a method without end"),
        pytest.param(b"GET /" + b"a" * 10, b"a", id="a path without end"),
        pytest.param(HEAD + b"X-One: ", b"a", id="a header without end"),
        pytest.param(HEAD, b"X: y\r\n", id="headers without end"),
        pytest.param(ALIVE + HEAD, b"X: y\r\n", id="headers without end, behind a request that is well"),
        pytest.param(b"", b"\r\n", id="empty lines"),
    ],
)
async def test_attack_34_a_head_that_comes_in_drop_by_drop_is_ended(begun: bytes, drop: bytes) -> None:
    async with attacked() as (api, bare):
        connection = await bare.connect()
        dripping = asyncio.create_task(drip(connection, begun, [drop] * 1_000))
        await is_served(api)
        answer = await dripping
        assert answer.is_closed
        assert answer.statuses[-1:] in ([408], [400]), answer
        assert ended(api, "slow_head") == 1 or answer.statuses[-1] == 400


async def test_attack_34_who_sends_nothing_at_all_is_ended() -> None:
    async with attacked() as (api, bare):
        answers = await asyncio.gather(*(bare.exchange(b"", seconds=10) for _ in range(50)), is_served(api))
        assert all(answer.is_closed for answer in answers if answer is not None)
        assert ended(api, "slow_head") == 50


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"Content-Length: 4000\r\n\r\n", id="of a known length"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n", id="in chunks"),
    ],
)
async def test_attack_34_a_body_that_comes_in_drop_by_drop_is_ended(head: bytes) -> None:
    async with attacked() as (api, bare):
        drop = b"1\r\n{\r\n" if b"chunked" in head else b"{"
        begun = b"POST /token HTTP/1.1\r\nHost: commander\r\n" + head
        answer = await drip(await bare.connect(), begun, [drop] * 1_000)
        assert (answer.statuses, answer.is_closed) == ([408], True), answer
        assert ended(api, "slow_body") == 1
        await is_served(api)


async def test_attack_34_the_body_of_a_request_that_is_answered_is_not_read_for_ever() -> None:
    async with attacked() as (api, bare):
        begun = b"POST /missions HTTP/1.1\r\nHost: commander\r\nContent-Length: 10000000000\r\n\r\n"
        answer = await drip(await bare.connect(), begun, [b"x" * 50_000] * 10_000)
        assert answer.statuses == [401], "it was refused by its head"
        assert answer.is_closed
        await is_served(api)


async def test_attack_34_who_does_not_read_is_ended() -> None:
    async with attacked() as (api, bare):
        connection = await bare.connect()
        await connection.send(b"GET /openapi.json HTTP/1.1\r\nHost: commander\r\n\r\n" * 300)
        await is_served(api)
        await eventually(lambda: ended(api, "unread") == 1, "the connection of who does not read is ended")


async def test_attack_34_who_waits_for_news_is_not_ended() -> None:
    async with attacked() as (api, _):
        anna = await api.client("anna")
        async with anna.stream("GET", "/events") as events:
            lines = events.aiter_lines()
            quiet = [await anext(lines) for _ in range(4)]
            assert set(quiet) == {": still here", ""}, "for longer than a request may take"
        assert not api.commander.counts.of(metrics.CONNECTIONS_ENDED)


# Many.


async def test_attack_34_idle_connections_make_room() -> None:
    async with attacked(http_connections=20, http_head_seconds=30) as (api, bare):
        for _ in range(100):
            await bare.connect()
        await is_served(api)
        await eventually(lambda: ended(api, "crowded") >= 80, "those idle longest have left")
        for _ in range(100):
            await (await bare.connect()).send(b"GET / HTTP/1.1\r\nHost:")
        await is_served(api)


async def test_attack_34_where_all_are_at_work_a_new_one_is_told_to_come_back() -> None:
    async with attacked(http_connections=10, http_head_seconds=30) as (api, bare):
        anna = await api.client("anna")
        token = anna.headers["authorization"].encode()
        watching = b"GET /events HTTP/1.1\r\nHost: commander\r\nAuthorization: " + token + b"\r\n\r\n"
        await anna.aclose()
        watchers = [await bare.connect() for _ in range(10)]
        for watcher in watchers:
            await watcher.send(watching)
            assert (await watcher.read(seconds=0.3)).statuses == [200]
        answer = await bare.exchange(ALIVE)
        assert (answer.statuses, answer.is_closed) == ([503], True)
        assert b"retry-after: 1" in answer.text
        await watchers[0].close()
        answers = [await bare.exchange(ALIVE) for _ in range(3)]
        assert [200] in [one.statuses for one in answers], "there is room again"


def upgrading(token: bytes) -> bytes:
    return (
        b"GET /ws HTTP/1.1\r\nHost: commander\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: "
        + token
        + b"\r\n\r\n"
    )


async def test_attack_34_a_websocket_takes_a_place_as_any_other_connection_does() -> None:
    async with attacked(http_connections=10, http_head_seconds=30) as (api, bare):
        anna = await api.client("anna")
        token = anna.headers["authorization"].encode()
        await anna.aclose()
        sockets = [await bare.connect() for _ in range(10)]
        for socket in sockets:
            await socket.send(upgrading(token))
            assert b"101 Switching Protocols" in await socket.some()
        answer = await bare.exchange(ALIVE)
        assert (answer.statuses, answer.is_closed) == ([503], True)
        await sockets[0].close()
        await eventually_served(bare)


async def test_attack_34_a_websocket_that_is_refused_leaves_its_place() -> None:
    async with attacked(http_connections=10, http_head_seconds=30) as (_, bare):
        for _ in range(50):
            answer = await bare.exchange(upgrading(b"Bearer nothing"))
            assert answer.statuses == [401]
        await eventually_served(bare)


async def test_attack_34_requests_in_one_piece_are_answered_one_after_the_other(bare: BareHttp, api: Api) -> None:
    pipelining = asyncio.create_task(bare.exchange(ALIVE * 500, seconds=2))
    await is_served(api)
    assert (await pipelining).statuses == [200] * 500


# Large.


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", id="a path"),
        pytest.param(HEAD + b"X-One: " + b"a" * 20_000 + b"\r\n\r\n", id="a header"),
        pytest.param(HEAD + b"X: y\r\n" * 4_000 + b"\r\n", id="many headers"),
        pytest.param(HEAD + b"X-One: " + b"a" * 2_000_000, id="a header that has no end"),
        pytest.param(
            ALIVE + HEAD + b"X-One: " + b"a" * 2_000_000, id="a header that has no end, behind a good request"
        ),
    ],
)
async def test_attack_34_a_large_head_is_refused(bare: BareHttp, api: Api, head: bytes) -> None:
    answer = await bare.exchange(head, seconds=3)
    assert answer.is_closed
    assert answer.statuses in ([431], [200, 431], [200]), answer.statuses
    assert ended(api, "head_too_large") == 1
    await is_served(api)


MIB = 1024 * 1024


async def upload(bare: BareHttp, token: str, size: int, request: bytes = b"POST /missions/batch") -> Connection:
    """Announce a little more than is sent, so that it stays."""
    connection = await bare.connect()
    length = b"Content-Length: %d\r\n" % (size + 100)
    head = request + b" HTTP/1.1\r\nHost: commander\r\nConnection: close\r\n" + length
    await connection.send(head + b"Authorization: " + token.encode() + b"\r\n\r\n" + b" " * size)
    return connection


async def test_attack_34_large_bodies_at_once_are_bounded_and_small_ones_come_in() -> None:
    async with attacked(http_bodies_bytes=64 * MIB, http_head_seconds=60) as (api, bare):
        anna = (await api.client("anna")).headers["authorization"]
        kept = [await upload(bare, anna, 31 * MIB) for _ in range(2)]
        await eventually(lambda: api.room_for_bodies == 2 * MIB, "both have come in, but for their ends")
        answer = await (await upload(bare, anna, 3 * MIB)).read()
        assert answer.statuses == [503]
        assert b"TooManyUploads" in answer.text
        assert b"retry-after: 1" in answer.text
        await is_served(api)
        await kept[0].close()
        await eventually(lambda: api.room_for_bodies == 33 * MIB, "who left, and who was refused, take no room")
        await kept[1].send(b"{}" + b" " * 98)
        assert (await kept[1].read()).statuses == [422], "it was read whole: it is no batch"
        await eventually(lambda: api.room_for_bodies == 64 * MIB, "nothing is in memory any more")


async def test_attack_34_large_bodies_of_people_keep_out_neither_soldiers_nor_the_operator() -> None:
    async with attacked(http_bodies_bytes=64 * MIB, http_head_seconds=60) as (api, bare):
        anna = (await api.client("anna")).headers["authorization"]
        for _ in range(2):
            await upload(bare, anna, 31 * MIB)
        await upload(bare, anna, 2 * MIB - 1)
        await eventually(lambda: api.room_for_bodies <= 1, "there is no room left")
        assert (await Soldier(api).register()).status_code == 200
        operator, soldiers = await api.client("operator"), await api.client("soldiers")
        spaces = b" " * MIB
        assert (await operator.post("/missions/batch", content=b'{"missions":[]}' + spaces)).status_code == 200
        claims = await soldiers.post("/soldiers/soldier-1/claims", content=b'{"claims":[]}' + spaces)
        assert claims.status_code == 200
        assert (await (await api.client("anna")).post("/missions", content=spaces[:20_000])).status_code == 503


async def test_attack_34_large_bodies_of_soldiers_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "PARTS_BYTES", 40 * MIB)
    async with attacked(http_head_seconds=60) as (api, bare):
        await Soldier(api).register()
        soldiers = (await api.client("soldiers")).headers["authorization"]
        claims = b"POST /soldiers/soldier-1/claims"
        await upload(bare, soldiers, 31 * MIB, claims)
        await eventually(lambda: api.room_for_bodies_of_parts == 9 * MIB, "it has come in")
        assert (await (await upload(bare, soldiers, 10 * MIB, claims)).read()).statuses == [503]
        assert (await (await api.client("anna")).get("/missions")).status_code == 200
        assert (await Soldier(api).register()).status_code == 200, "what is small comes in"


async def test_attack_34_a_large_body_keeps_its_room_until_it_is_answered(api: Api) -> None:
    """While the ledger is slow, what was read waits for it, and is in memory."""
    most, anna = api.room_for_bodies, await api.client("anna")
    api.ledger.gate.clear()
    body = {"type": "noop", "payload": {"text": "x" * 100_000}}
    sent = asyncio.ensure_future(anna.post("/missions", json=body))
    await eventually(lambda: api.room_for_bodies < most - 100_000, "it has come in")
    await asyncio.sleep(0.05)
    assert api.room_for_bodies < most - 100_000
    api.ledger.gate.set()
    assert (await sent).status_code == 202
    await eventually(lambda: api.room_for_bodies == most, "it is answered")


async def test_attack_34_a_head_of_ordinary_size_is_read(bare: BareHttp) -> None:
    answer = await bare.exchange(HEAD + b"X-One: " + b"a" * 15_000 + b"\r\n\r\n" + ALIVE)
    assert answer.statuses == [200, 200]


async def test_attack_34_ranges_and_parts_are_nothing_that_is_read_here(api: Api) -> None:
    anna = await api.client("anna")
    ranges = "bytes=" + ",".join(f"{number}-" for number in range(1_000))
    assert (await anna.get("/openapi.json", headers={"Range": ranges})).status_code == 200
    parts = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%d"\r\n\r\n1\r\n' % number for number in range(9_000)
    )
    answer = await anna.post(
        "/missions", content=parts[:500_000], headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == 400, "it is not JSON, and nothing else is read"
