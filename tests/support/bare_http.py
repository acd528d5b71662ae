"""HTTP by hand, for what no client would send: bytes go out as they are, and what comes back is read as it is."""

import asyncio
import re
from types import TracebackType
from typing import Final, NamedTuple, Self

PATIENCE_SECONDS: Final = 10.0

_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


class BareAnswer(NamedTuple):
    """What came back on one connection."""

    statuses: list[int]
    """Of each answer, in order."""
    text: bytes
    is_closed: bool
    """The server ended the connection."""


class Connection:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send; what the server has closed meanwhile takes nothing."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            return

    async def read(self, *, seconds: float = PATIENCE_SECONDS) -> BareAnswer:
        """Read until the server closes, or says nothing for so long."""
        text = b""
        while True:
            try:
                some = await asyncio.wait_for(self._reader.read(65_536), seconds)
            except TimeoutError:
                return BareAnswer(statuses_of(text), text, is_closed=False)
            except ConnectionError:
                some = b""
            if not some:
                return BareAnswer(statuses_of(text), text, is_closed=True)
            text += some

    async def some(self) -> bytes:
        """The next piece of what the server says."""
        return await asyncio.wait_for(self._reader.read(65_536), PATIENCE_SECONDS)

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return


class BareHttp:
    """Opens connections to one server, and closes them all at the end."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._connections: list[Connection] = []

    async def connect(self) -> Connection:
        connection = Connection(*await asyncio.open_connection(self._host, self._port))
        self._connections.append(connection)
        return connection

    async def exchange(self, data: bytes, *, seconds: float = 1.0) -> BareAnswer:
        """Send on a connection of its own; give what comes back until it is closed, or quiet for so long."""
        connection = await self.connect()
        await connection.send(data)
        return await connection.read(seconds=seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._connections:
            await connection.close()


def statuses_of(text: bytes) -> list[int]:
    """Give the status of each answer: our bodies hold nothing that looks like a status line."""
    return [int(status) for status in _STATUS.findall(text)]
