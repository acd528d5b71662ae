"""A network one can break does break, at the moment it was told to, and carries everything otherwise."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tools.stack.ports import LOOPBACK
from tools.stack.tcp_proxy import TcpProxy

PATIENCE_SECONDS = 5.0
SILENCE_SECONDS = 0.1


@asynccontextmanager
async def a_server(name: bytes) -> AsyncIterator[tuple[asyncio.Server, int]]:
    """Answers each line with its name and the line."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(name + b" " + line)
        writer.close()

    server = await asyncio.start_server(answer, LOOPBACK, 0)
    async with server:
        yield server, server.sockets[0].getsockname()[1]


@pytest.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    async with a_server(b"first") as (_, port), TcpProxy(LOOPBACK, port) as proxy:
        yield proxy


class Caller:
    """One connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def says(self, line: bytes) -> bytes:
        """Give the answer; empty when the connection is broken instead."""
        self._writer.write(line + b"\n")
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return (await self._reader.readline()).strip()
        except ConnectionError:
            return b""

    async def hears_nothing(self, line: bytes) -> bool:
        self._writer.write(line + b"\n")
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                await self._reader.readline()
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def calling(proxy: TcpProxy) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    try:
        yield Caller(reader, writer)
    finally:
        writer.transport.abort()


async def test_what_passes_before_the_moment_arrives(proxy: TcpProxy) -> None:
    struck = asyncio.Event()
    proxy.cut_when(b"now", in_answers=False, after=False, struck=struck)
    async with calling(proxy) as caller:
        assert await caller.says(b"early") == b"first early"
        assert not struck.is_set()
        assert await caller.says(b"now") == b""
        assert struck.is_set()


async def test_a_cut_after_the_moment_lets_it_arrive(proxy: TcpProxy) -> None:
    proxy.cut_when(b"first now", in_answers=True, after=True, struck=asyncio.Event())
    async with calling(proxy) as caller:
        assert await caller.says(b"now") == b"first now"
        assert await caller.says(b"later") == b""


async def test_a_cut_before_an_answer_swallows_it(proxy: TcpProxy) -> None:
    proxy.cut_when(b"first now", in_answers=True, after=False, struck=asyncio.Event())
    async with calling(proxy) as caller:
        assert await caller.says(b"now") == b""


async def test_it_strikes_as_often_as_it_was_told_to(proxy: TcpProxy) -> None:
    proxy.cut_when(b"now", in_answers=False, after=False, struck=asyncio.Event(), times=2)
    said = []
    for _ in range(3):
        async with calling(proxy) as caller:
            said.append(await caller.says(b"now"))
    assert said == [b"", b"", b"first now"]


async def test_stranded_connections_stay_open_and_new_ones_are_well(proxy: TcpProxy) -> None:
    async with calling(proxy) as stranded:
        await stranded.says(b"hello")
        assert proxy.strand() == 1
        assert await stranded.hears_nothing(b"hello?")
        async with calling(proxy) as other:
            assert await other.says(b"hello") == b"first hello"


async def test_only_connections_that_were_quiet_are_stranded(proxy: TcpProxy) -> None:
    async with calling(proxy) as caller:
        await caller.says(b"hello")
        assert proxy.strand(quiet_seconds=60) == 0
        assert await caller.says(b"again") == b"first again"


async def test_several_servers_take_turns_and_one_that_refuses_is_passed_over() -> None:
    async with (
        a_server(b"first") as (_, first),
        a_server(b"second") as (second_server, second),
        TcpProxy(LOOPBACK, first, others=[(LOOPBACK, second)]) as proxy,
    ):
        assert {await _answer(proxy), await _answer(proxy)} == {b"first", b"second"}
        second_server.close()
        await second_server.wait_closed()
        assert [await _answer(proxy) for _ in range(4)] == [b"first"] * 4


async def _answer(proxy: TcpProxy) -> bytes:
    async with calling(proxy) as caller:
        return (await caller.says(b"")).strip()
