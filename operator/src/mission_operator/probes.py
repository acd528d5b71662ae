"""/livez and /readyz, answered from what the watches show and not from the fact that a port is open."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog

_log: Final = structlog.get_logger()
_REQUEST_SECONDS: Final = 2.0

Finding = Callable[[], str]
"""Says what is wrong; an empty text when nothing is."""


class Probes:
    """A server of two pages."""

    def __init__(self, *, live: Finding, ready: Finding) -> None:
        self._pages = {"/livez": live, "/readyz": ready}

    @asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[int]:
        """Answer while the context is open; gives the port."""
        server = await asyncio.start_server(self._answer, host, port, limit=4096)
        bound: int = server.sockets[0].getsockname()[1]
        _log.info("probes answer", port=bound)
        async with server:
            yield bound

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                request = await reader.readuntil(b"\r\n")
                writer.write(self._page(request.split()[1].decode()))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError, ValueError):
            pass  # whoever asked so has gone, or was no probe
        finally:
            writer.close()

    def _page(self, path: str) -> bytes:
        finding = self._pages.get(path)
        if finding is None:
            return _response("404 Not Found", "there are /livez and /readyz")
        wrong = finding()
        return _response("503 Service Unavailable", wrong) if wrong else _response("200 OK", "ok")


def _response(status: str, text: str) -> bytes:
    body = f"{text}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
