"""A network one can break: a TCP proxy on the loopback address that cuts, stalls and delays what passes through it."""

import asyncio
import contextlib
from typing import Self

CHUNK_BYTES = 64 * 1024


class TcpProxy:
    """Stands between clients and one server. While it is stalled, connections stay open and nothing passes."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._answers_flow = asyncio.Event()
        self._answers_flow.set()
        self.delay_seconds = 0.0
        self.accepted = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        await self.restore()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()
        self.flow()
        for pipe in tuple(self._pipes):
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    @property
    def open_connections(self) -> int:
        return len(self._writers) // 2

    def cut(self) -> None:
        """Break every connection with a reset; new ones are welcome."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def refuse(self) -> None:
        """Break every connection, and refuse new ones until `restore`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    async def restore(self) -> None:
        """Accept connections, on the same port as before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def stall(self) -> None:
        """Hold everything in both directions: half-open connections, as when a cable is pulled."""
        self._flows.clear()

    def stall_answers(self) -> None:
        """Let the server hear its clients, and the clients nothing."""
        self._answers_flow.clear()

    def flow(self) -> None:
        """End a stall; what was held passes."""
        self._flows.set()
        self._answers_flow.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self._writers |= pair
        always = asyncio.Event()
        always.set()
        pipes = {
            asyncio.create_task(self._pipe(reader, far_writer, always)),
            asyncio.create_task(self._pipe(far_reader, writer, self._answers_flow)),
        }
        self._pipes |= pipes
        try:
            await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pipe in pipes:
                pipe.cancel()
            for side in pair:
                side.transport.abort()
            self._pipes -= pipes
            self._writers -= pair

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._flows.wait()
                await flows.wait()
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                writer.write(data)
                await writer.drain()
