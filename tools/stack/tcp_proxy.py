"""A network one can break: a TCP proxy on the loopback address that cuts, stalls and delays what passes through it."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from tools.stack.ports import LOOPBACK

CHUNK_BYTES = 64 * 1024

Address = tuple[str, int]


@dataclass(kw_only=True, eq=False)
class Strike:
    """A cut at a chosen moment: when certain bytes pass, their connection is broken."""

    pattern: bytes
    in_answers: bool
    """Whether the server says them, or the client."""
    after: bool
    """Whether they still arrive."""
    left: int
    """How many connections it will break."""
    struck: asyncio.Event
    """Set once it has broken one."""

    def strikes(self, data: bytes) -> bool:
        """Tell whether these bytes are the moment, and count it."""
        if not self.left or self.pattern not in data:
            return False
        self.left -= 1
        self.struck.set()
        return True


class TcpProxy:
    """Stands between clients and one server. While it is stalled, connections stay open and nothing passes.

    With several servers it is what a Service is: each connection goes to the next one that accepts it.
    """

    def __init__(self, host: str, port: int, *, others: Sequence[Address] = ()) -> None:
        self._targets = ((host, port), *others)
        self._turn = itertools.count()
        self._server: asyncio.Server | None = None
        self._accepting: set[asyncio.Task[None]] = set()
        self._connections: set[_Connection] = set()
        self._strikes: list[Strike] = []
        self._flows = _open_gate()
        self._answers_flow = _open_gate()
        self.delay_seconds = 0.0
        self.accepted = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        await self.restore()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()
        self.flow()  # what waits for a stall to end finds its connection broken
        await asyncio.gather(*self._accepting, return_exceptions=True)

    def cut(self) -> None:
        """Break every connection with a reset; new ones are welcome."""
        for connection in tuple(self._connections):
            connection.abort()

    def cut_when(self, pattern: bytes, *, in_answers: bool, after: bool, struck: asyncio.Event, times: int = 1) -> None:
        """Break the connection on which these bytes pass next, before or after they arrive; set `struck` then."""
        self._strikes.append(Strike(pattern=pattern, in_answers=in_answers, after=after, left=times, struck=struck))

    async def refuse(self) -> None:
        """Break every connection, and refuse new ones until `restore`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    async def restore(self) -> None:
        """Accept connections, on the same port as before."""
        if self._server is not None:
            return
        self._server = await asyncio.start_server(self._accept, LOOPBACK, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def stall(self) -> None:
        """Hold everything in both directions: half-open connections, as when a cable is pulled."""
        self._flows.clear()

    def stall_answers(self) -> None:
        """Let the server hear its clients, and the clients nothing."""
        self._answers_flow.clear()

    def strand(self, *, quiet_seconds: float = 0.0) -> int:
        """Have connections stay open and carry nothing from now on, as after a silent loss of their route.

        Only those whose client has said nothing for so long: watches and other streams. New ones are well. Gives how
        many there were.
        """
        now = time.monotonic()
        found = [one for one in self._connections if now - one.last_request_at >= quiet_seconds]
        for connection in found:
            connection.flows.clear()
        return len(found)

    def flow(self) -> None:
        """End every stall, delay and strike; what was held passes."""
        self._flows.set()
        self._answers_flow.set()
        self._strikes.clear()
        self.delay_seconds = 0.0
        for connection in self._connections:
            connection.flows.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve in a task of our own: asyncio complains of one of its own that is cancelled at an interrupt."""
        self.accepted += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await self._reach()
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(writer, far_writer)
        self._connections.add(connection)
        try:
            await self._carry(connection, reader, far_reader)
        finally:
            connection.abort()
            self._connections.discard(connection)

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the server whose turn it is, or to the next one that accepts."""
        first = next(self._turn)
        for offset in range(len(self._targets) - 1):
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(*self._targets[(first + offset) % len(self._targets)])
        return await asyncio.open_connection(*self._targets[(first - 1) % len(self._targets)])

    async def _carry(
        self, connection: "_Connection", reader: asyncio.StreamReader, far_reader: asyncio.StreamReader
    ) -> None:
        pipes = {
            asyncio.create_task(self._requests(connection, reader)),
            asyncio.create_task(self._answers(connection, far_reader)),
        }
        try:
            await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pipe in pipes:
                pipe.cancel()
            await asyncio.gather(*pipes, return_exceptions=True)

    async def _requests(self, connection: "_Connection", reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                connection.last_request_at = time.monotonic()
                await self._flows.wait()
                await connection.flows.wait()
                if await self._pass(connection.server, data, in_answers=False):
                    return

    async def _answers(self, connection: "_Connection", reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._flows.wait()
                await self._answers_flow.wait()
                await connection.flows.wait()
                if await self._pass(connection.client, data, in_answers=True):
                    return

    async def _pass(self, writer: asyncio.StreamWriter, data: bytes, *, in_answers: bool) -> bool:
        """Hand the bytes on; True when they were the moment to break the connection."""
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        strike = next((one for one in self._strikes if one.in_answers is in_answers and one.strikes(data)), None)
        if strike is None or strike.after:
            writer.write(data)
            await writer.drain()
        return strike is not None


class _Connection:
    """Both ends of one connection that passes through."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.flows = _open_gate()
        self.last_request_at = time.monotonic()

    def abort(self) -> None:
        for writer in (self.client, self.server):
            writer.transport.abort()


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate
