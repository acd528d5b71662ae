"""WS /ws: what it tells, to whom, from where on, and how it ends."""

import asyncio
import socket as sockets_of_the_system
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from support.commander_api import Api, serving
from support.commander_stage import eventually
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from mission_broker.memory import MemoryBroker
from mission_commander.api import sockets
from mission_commander.services import feed
from mission_contracts.tokens import Role
from mission_contracts.watching import PROTOCOL, TOKEN_PROTOCOL, Parting


class Socket:
    """A WebSocket, spoken by hand."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.last_id = ""

    async def say(self, kind: str, **fields: Any) -> None:
        await self.connection.send(msgspec.json.encode({"kind": kind} | fields).decode())

    async def subscribe(self, **filters: Any) -> None:
        await self.say("subscribe", **filters)
        assert (await self.next())["kind"] == "subscribed"

    async def next(self) -> dict[str, Any]:
        """The next message that is no mere sign of life."""
        async with asyncio.timeout(10):
            while (said := msgspec.json.decode(await self.connection.recv()))["kind"] == "pong":
                pass
        self.last_id = said.get("id", self.last_id)
        shown: dict[str, Any] = said
        return shown

    async def mission(self) -> dict[str, Any]:
        said = await self.next()
        assert said["kind"] == "mission", said
        shown: dict[str, Any] = said["mission"]
        return shown

    async def parting(self) -> tuple[int, str]:
        """With which code and sentence the server closed."""
        with pytest.raises(ConnectionClosed) as closed:
            await self.next()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, closed.value.rcvd.reason


@asynccontextmanager
async def connected(
    api: Api, who: str = "anna", *, receive_buffer: int | None = None, **filters: Any
) -> AsyncIterator[Socket]:
    headers = {"Authorization": (await api.client(who)).headers["Authorization"]}
    own = await small_socket(api, receive_buffer) if receive_buffer else None
    async with connect(address(api), additional_headers=headers, proxy=None, sock=own) as connection:
        socket = Socket(connection)
        await socket.subscribe(**filters)
        yield socket


async def small_socket(api: Api, receive_buffer: int) -> sockets_of_the_system.socket:
    """Linux would let megabytes pile up in a reader that reads nothing."""
    own = sockets_of_the_system.socket()
    own.setsockopt(sockets_of_the_system.SOL_SOCKET, sockets_of_the_system.SO_RCVBUF, receive_buffer)
    own.setblocking(False)
    url = urlsplit(api.url)
    await asyncio.get_running_loop().sock_connect(own, (url.hostname, url.port))
    return own


def address(api: Api) -> str:
    return api.url.replace("http", "ws", 1) + "/ws"


# What is told.


async def test_each_change_is_told(api: Api) -> None:
    async with connected(api) as socket:
        mission = await api.submit()
        assert await socket.mission() == mission
        await (await api.client("anna")).post(f"/missions/{mission['mission_id']}/cancel")
        told = await socket.mission()
    assert (told["state"], told["mission_id"]) == ("CANCELLED", mission["mission_id"])


async def test_one_hears_of_ones_own_missions_only(api: Api) -> None:
    async with connected(api, "anna") as annas, connected(api, "ada") as adas:
        theirs = await api.submit("ben")
        mine = await api.submit("anna")
        assert await annas.mission() == mine
        assert await adas.mission() == theirs
        assert await adas.mission() == mine


@pytest.mark.parametrize(
    ("filters", "expected"),
    [({"type": "resize"}, "resize"), ({"pool": "gpu"}, "gpu"), ({"namespace": "elsewhere"}, "elsewhere")],
)
async def test_filters(api: Api, filters: dict[str, Any], expected: str) -> None:
    async with connected(api, **filters) as socket:
        made = {
            "plain": await api.submit(),
            "resize": await api.submit(type="resize"),
            "gpu": await api.submit(pool="gpu"),
            "elsewhere": await api.submit(namespace="elsewhere"),
        }
        assert await socket.mission() == made[expected]


async def test_another_subscription_takes_the_place_of_the_first(api: Api) -> None:
    first = await api.submit()
    async with connected(api, mission_id="none-of-this-id") as socket:
        await api.submit()
        await socket.subscribe(mission_id=first["mission_id"])
        await api.submit()
        await (await api.client("anna")).post(f"/missions/{first['mission_id']}/cancel")
        assert (await socket.mission())["state"] == "CANCELLED"


async def test_a_ping_is_answered_before_anything_is_subscribed(api: Api) -> None:
    authorization = (await api.client("anna")).headers["Authorization"]
    async with connect(address(api), additional_headers={"Authorization": authorization}, proxy=None) as connection:
        await connection.send('{"kind":"ping"}')
        assert await asyncio.wait_for(connection.recv(), 10) == '{"kind":"pong"}'
        assert connection.response is not None
        assert connection.response.headers["Request-Id"]


# Coming back.


async def test_a_watcher_resumes_without_gap_or_double(api: Api) -> None:
    async with connected(api) as socket:
        first = await api.submit()
        assert await socket.mission() == first
        last = socket.last_id
    missed = [await api.submit() for _ in range(3)]
    async with connected(api, after=last) as socket:
        assert [await socket.mission() for _ in range(3)] == missed
        then = await api.submit()
        assert await socket.mission() == then


async def test_a_watcher_resumes_at_another_commander(api: Api) -> None:
    async with connected(api) as socket:
        await api.submit()
        await socket.mission()
        last = socket.last_id
    missed = [await api.submit() for _ in range(3)]
    async with (
        serving(api.ledger.store, MemoryBroker(api.broker.server)) as other,
        connected(other, after=last) as socket,
    ):
        assert [await socket.mission() for _ in range(3)] == missed


async def test_an_id_too_old_gets_a_reset_and_then_what_follows(api: Api) -> None:
    async with connected(api, after="1-1") as socket:
        assert await socket.next() == {"kind": "reset"}
        mission = await api.submit()
        assert await socket.mission() == mission


async def test_a_wipe_is_told_by_a_reset(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "WAIT_SECONDS", 0.05)
    async with connected(api) as socket:
        mission = await api.submit()
        assert await socket.mission() == mission
        api.ledger.wipe()
        api.ledger.store.wake_readers()
        while (said := await socket.next())["kind"] != "reset":
            assert said["kind"] == "mission"
        assert await socket.mission() == mission, "restored as it was"


# Who may.


async def test_nobody_comes_in_without_a_token(api: Api) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(address(api), proxy=None):
            pass
    answer = refused.value.response
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    said = msgspec.json.decode(answer.body or b"")
    assert (said["code"], said["request_id"]) == ("NoToken", answer.headers["request-id"])


async def test_soldiers_have_no_business_here(api: Api) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connected(api, "soldiers"):
            pass
    assert refused.value.response.status_code == 403


async def test_a_browser_brings_its_token_as_a_protocol(api: Api) -> None:
    token = (await api.client("anna")).headers["Authorization"].removeprefix("Bearer ")
    asked = [PROTOCOL, TOKEN_PROTOCOL + token]
    async with connect(address(api), subprotocols=asked, proxy=None) as connection:  # type: ignore[arg-type]
        assert connection.subprotocol == PROTOCOL, "and the token is not repeated"
        await Socket(connection).subscribe()


@asynccontextmanager
async def without_grace(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Api, Socket]]:
    """A connection whose token lives for two seconds."""
    monkeypatch.setattr(sockets, "TOKEN_SECONDS", 0.05)
    async with serving(token_grace_seconds=0) as api:
        headers = {"Authorization": f"Bearer {api.token('anna', Role.USER, 2)}"}
        async with connect(address(api), additional_headers=headers, proxy=None) as connection:
            yield api, Socket(connection)


async def test_a_token_that_ends_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with without_grace(monkeypatch) as (_, socket):
        await socket.subscribe()
        code, sentence = await socket.parting()
    assert code == Parting.TOKEN_ENDED
    assert "expired" in sentence


async def test_a_fresh_token_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with without_grace(monkeypatch) as (api, socket):
        await socket.say("token", token=api.token("anna", Role.USER, 60))
        ended = asyncio.get_running_loop().time() + 3
        while asyncio.get_running_loop().time() < ended:
            await socket.say("ping")
            async with asyncio.timeout(10):
                assert await socket.connection.recv() == '{"kind":"pong"}'
            await asyncio.sleep(0.1)


async def test_a_fresh_token_of_somebody_else_is_none(api: Api) -> None:
    bens = (await api.client("ben")).headers["Authorization"].removeprefix("Bearer ")
    async with connected(api) as socket:
        await socket.say("token", token=bens)
        code, sentence = await socket.parting()
    assert (code, "somebody else" in sentence) == (Parting.TOKEN_ENDED, True)


# How it ends.


@pytest.mark.parametrize(
    "text",
    [
        "",
        "?",
        "[]",
        "{}",
        '{"kind":"unsubscribe"}',
        '{"kind":"subscribe","color":"red"}',
        '{"kind":"subscribe","after":"yesterday"}',
        '{"kind":"subscribe","namespace":"No Label"}',
        '{"kind":"subscribe","door":"window"}',
        '{"kind":"token"}',
        "[" * 5_000,
    ],
)
async def test_what_cannot_be_read_ends_it_with_a_sentence(api: Api, text: str) -> None:
    async with connected(api) as socket:
        await socket.connection.send(text)
        code, sentence = await socket.parting()
    assert code == Parting.BAD_MESSAGE
    assert sentence


async def test_a_reader_that_reads_nothing_is_closed_and_can_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "SLOW_SECONDS", 0.2)
    partings: list[Parting] = []
    part = sockets._Session._part

    async def noting(session: sockets._Session, parting: sockets._PartingError) -> None:
        partings.append(parting.code)
        await part(session, parting)

    monkeypatch.setattr(sockets._Session, "_part", noting)
    async with serving(send_buffer=8_192) as api, connected(api, receive_buffer=8_192) as socket:
        await api.submit()
        await socket.mission()
        last = socket.last_id
        socket.connection.transport.pause_reading()
        made: list[str] = []
        while not partings:
            made += await submitted(api, 100)
        socket.connection.transport.resume_reading()
        seen, code = await read_to_the_end(socket)
        assert (partings, code) == ([Parting.TOO_SLOW], Parting.TOO_SLOW)
        async with connected(api, after=last if not seen else socket.last_id) as again:
            assert seen + [(await again.mission())["mission_id"] for _ in made[len(seen) :]] == made


async def read_to_the_end(socket: Socket) -> tuple[list[str], int]:
    """What was on its way, and with which code the server closed."""
    seen: list[str] = []
    try:
        while True:
            seen.append((await socket.mission())["mission_id"])
    except ConnectionClosed as closed:
        return seen, closed.rcvd.code if closed.rcvd else 0


async def submitted(api: Api, count: int) -> list[str]:
    body = {"missions": [{"type": "noop", "payload": {}, "suspend": True}] * count}
    answer = await (await api.client("anna")).post("/missions/batch", json=body)
    return [one["mission"]["mission_id"] for one in answer.json()["results"]]


async def test_a_watcher_that_leaves_is_forgotten(api: Api) -> None:
    before = len(asyncio.all_tasks())
    for _ in range(5):
        async with connected(api):
            await api.submit()
    await eventually(lambda: len(asyncio.all_tasks()) <= before, "nothing is left of those who went")
