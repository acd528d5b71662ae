"""Answers a kubelet's /livez and /readyz without a web framework."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

READ_SECONDS: Final = 2.0
Finding = Callable[[], str | None]
"""Gives None when all is well, else what is not."""


@asynccontextmanager
async def serve(port: int, findings: Mapping[str, Finding]) -> AsyncIterator[int]:
    """Answer GET for each path while the context is open; gives the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(TimeoutError, ConnectionError, ValueError):
            async with asyncio.timeout(READ_SECONDS):
                line = await reader.readline()
                writer.write(_response(line, findings))
                await writer.drain()
        writer.close()

    listener = _listener(port)
    async with await asyncio.start_server(answer, sock=listener):
        yield listener.getsockname()[1]


def _listener(port: int) -> socket.socket:
    """One socket for IPv4 and IPv6: a kubelet may come by either."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _response(request_line: bytes, findings: Mapping[str, Finding]) -> bytes:
    words = request_line.decode("latin-1").split()
    finding = findings.get(words[1].partition("?")[0]) if len(words) > 1 and words[0] in ("GET", "HEAD") else None
    if finding is None:
        return _written("404 Not Found", "ask for GET " + " or ".join(findings))
    trouble = finding()
    return _written("200 OK", "ok") if trouble is None else _written("503 Service Unavailable", trouble)


def _written(status: str, text: str) -> bytes:
    body = text.encode() + b"\n"
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode() + body
