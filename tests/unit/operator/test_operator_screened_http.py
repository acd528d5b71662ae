"""kopf's connection, against a server that sends what no API server should, and what they do send."""

from collections.abc import AsyncIterator

import aiohttp
import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support import hostile

from mission_operator import screened_http

GOOD = b'{"type":"ADDED","object":{"metadata":{"uid":"u","name":"good"}}}'


async def _answer(request: web.Request) -> web.Response:
    if "continue" in request.query or "gone" in request.query:
        return web.json_response({"code": 410}, status=410)
    if "watch" in request.query:
        deep = GOOD.replace(b'"good"', b'"deep","v":' + hostile.nested(100_000))
        return web.Response(body=b"\n".join([b"no JSON", deep, GOOD, b'{"type":"ERROR","object":{"code":500}}', b""]))
    return web.json_response({"items": [{"metadata": {"uid": "u"}}], "metadata": {}})


@pytest.fixture
async def connected() -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    app = web.Application()
    app.router.add_get("/", _answer)
    async with TestServer(app) as server:
        address = str(server.make_url("/"))
        session = screened_http.session(kopf.ConnectionInfo(server=address)).aiohttp_session
        async with session:
            yield session, address


async def test_a_list_whose_beginning_is_forgotten_is_a_broken_answer(
    connected: tuple[aiohttp.ClientSession, str],
) -> None:
    session, address = connected
    with pytest.raises(aiohttp.ClientPayloadError):
        await session.get(address, params={"continue": "token"})


async def test_any_other_410_is_left_to_kopf(connected: tuple[aiohttp.ClientSession, str]) -> None:
    session, address = connected
    async with session.get(address, params={"gone": "1"}) as response:
        assert (response.status, await response.json()) == (410, {"code": 410})


async def test_a_list_is_read(connected: tuple[aiohttp.ClientSession, str]) -> None:
    session, address = connected
    async with session.get(address) as response:
        assert (await response.json())["items"] == [{"metadata": {"uid": "u"}}]


async def test_a_watch_passes_on_what_is_readable_and_begins_again_after_an_error(
    connected: tuple[aiohttp.ClientSession, str],
) -> None:
    session, address = connected
    async with session.get(address, params={"watch": "1"}) as response:
        lines = [line async for line in response.content.iter_chunked(1024)]
    assert len(lines) == 3
    assert b'"deep"' in lines[0]
    assert lines[1] == GOOD + b"\n"
    assert b"410" in lines[2]
