"""kopf's connection to the API server: its own client parses what arrives as it is, and one object can end it.

A session of one's own is kopf's way to change how it connects (`kopf.AiohttpSession`). The responses of this one pass
on only what was found readable.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Self, TypeVar, cast

import aiohttp
import kopf
import msgspec
import structlog
from aiohttp.connector import Connection

from mission_operator import screening

_T = TypeVar("_T")

_log: Final = structlog.get_logger()
_LARGE_BYTES: Final = 64 * 1024
"""Larger documents are read in a thread, so that a deep one does not hold up everything else."""
_AGAIN_SECONDS: Final = 1.0
_GONE: Final = 410


class _ScreenedStream:
    """A body's stream, whose lines are events of a watch."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in self._content.iter_chunked(size):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if readable := await _screened(line):
                    yield readable + b"\n"


class ScreenedResponse(aiohttp.ClientResponse):
    """A response of which an unreadable object is no fault."""

    async def start(self, connection: Connection) -> Self:
        await super().start(connection)
        if self.status == _GONE and "continue" in self.url.query:
            # The list took longer than the API server keeps what it began with. kopf would end the process; of a broken
            # answer it knows that it has to list again.
            raise aiohttp.ClientPayloadError("the API server has forgotten the beginning of this list")
        self.content = cast("aiohttp.StreamReader", _ScreenedStream(self.content))
        return self

    async def json(self, **options: Any) -> Any:
        body = await self.read()
        try:
            return await _read(screening.read_list, body)
        except msgspec.MsgspecError:
            return await super().json(**options)  # no list of objects: it explains what else it may be


def session(info: kopf.ConnectionInfo) -> kopf.AiohttpSession:
    """Connect as this says. kopf closes the session."""
    connector = aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context())
    return kopf.AiohttpSession(
        server=info.server,
        aiohttp_session=aiohttp.ClientSession(
            connector=connector, headers=info.as_http_headers(), response_class=ScreenedResponse
        ),
    )


async def _screened(line: bytes) -> bytes | None:
    if not line:
        return None
    readable = await _read(screening.read_event, line)
    if readable is None or not screening.ends_the_watch(readable):
        return readable
    # kopf would end the process; the next list says whether anything is still wrong.
    _log.warning("the API server ended a watch with an error", why=readable[:1024].decode(errors="replace"))
    await asyncio.sleep(_AGAIN_SECONDS)
    return screening.BEGIN_AGAIN


async def _read(read: Callable[[bytes], _T], document: bytes) -> _T:
    return read(document) if len(document) <= _LARGE_BYTES else await asyncio.to_thread(read, document)
