"""The web server, bounded: in connections, in the head of a request, and in how long a client may take.

uvicorn bounds none of these by itself: a connection that never sends a request, or a byte of one each second, would
stay for ever. Time is looked at once a second for all connections together, so a request pays nothing for it.
"""

import asyncio
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from mission_commander.api.answers import problem
from mission_commander.services.counts import Counts
from mission_commander.settings import CommanderSettings
from mission_contracts.errors import PROBLEM_CONTENT_TYPE
from mission_contracts.metrics import CONNECTIONS_ENDED, Ended

LOOK_SECONDS: Final = 1.0
LINGER_SECONDS: Final = 2.0
"""How long the rest of a body is thrown away after its answer: closed at once, the client might never read it."""
FILES_BESIDE: Final = 200
"""File descriptors that are no connections of clients."""
LONGEST_FRAME: Final = 64 * 1024
"""Of what a client says on a WebSocket: nothing longer than a token."""

_WEBSOCKETS: Final[dict[str, Any]] = {
    "ws_max_size": LONGEST_FRAME,
    "ws_per_message_deflate": False,  # it would cost more than all the rest of an event
}


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a client may take."""

    connections: int
    head_bytes: int
    head_seconds: float
    body_bytes_per_second: float
    unread_seconds: float


def config(app: FastAPI, settings: CommanderSettings, **own: Any) -> uvicorn.Config:
    """Give the web server's configuration; `own` is what differs between a process, `missionctl dev` and tests."""
    bounds = Bounds(
        connections=min(settings.http_connections, _files() - FILES_BESIDE),
        head_bytes=settings.http_head_bytes,
        head_seconds=settings.http_head_seconds,
        body_bytes_per_second=settings.http_body_bytes_per_second,
        unread_seconds=settings.http_unread_seconds,
    )
    said: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False} | _WEBSOCKETS
    connections = Connections(bounds, app.state.commander.counts)
    protocols = {"http": connections, "ws": connections.socket}
    return uvicorn.Config(app, **(said | protocols | {"forwarded_allow_ips": settings.trusted_proxies} | own))


def _files() -> int:
    """Allow this process as many open files as it may have; give how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1_000_000


class Connections:
    """All connections of one server; uvicorn calls it for each new one."""

    def __init__(self, bounds: Bounds, counts: Counts) -> None:
        self.bounds = bounds
        self._counts = counts
        self._open: dict[Connection, None] = {}
        self._idle: dict[Connection, None] = {}
        """Those that nothing is done for; who has been so longest comes first."""
        self._sockets: set[asyncio.BaseTransport] = set()
        """Connections that another protocol has taken over. They have deadlines of their own, and count as at work."""
        self._next_look: asyncio.TimerHandle | None = None

    def __call__(self, **given: Any) -> "Connection":
        return Connection(self, **given)

    def socket(self, **given: Any) -> "Socket":
        """As for a new connection, for one that becomes a WebSocket."""
        return Socket(self, **given)

    def enter(self, connection: "Connection") -> bool:
        """Take one in, in the place of the one that was idle longest if need be; False where all are at work."""
        while len(self._open) + len(self._sockets) >= self.bounds.connections:
            oldest = next(iter(self._idle), None)
            if oldest is None:
                return False
            self.leave(oldest)
            oldest.end(Ended.CROWDED)
        self._open[connection] = self._idle[connection] = None
        if self._next_look is None:
            self._next_look = connection.loop.call_later(LOOK_SECONDS, self._look)
        return True

    def leave(self, connection: "Connection") -> None:
        self._open.pop(connection, None)
        self._idle.pop(connection, None)

    def taken_over(self, transport: asyncio.BaseTransport) -> None:
        self._sockets.add(transport)

    def lost(self, transport: asyncio.BaseTransport) -> None:
        self._sockets.discard(transport)

    def at_work(self, connection: "Connection") -> None:
        self._idle.pop(connection, None)

    def idle(self, connection: "Connection") -> None:
        if connection in self._open:
            self._idle[connection] = None

    def count(self, ended: Ended) -> None:
        self._counts.add(CONNECTIONS_ENDED, ended.value)

    def _look(self) -> None:
        self._next_look = None
        for connection in tuple(self._open):
            connection.look()
        for connection in self._open:  # any: it knows the loop
            self._next_look = connection.loop.call_later(LOOK_SECONDS, self._look)
            break


class Connection(HttpToolsProtocol):
    """One connection, and what it waits for from its client."""

    def __init__(self, among: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._among = among
        self._bounds = among.bounds
        self._waits_since: float | None = None
        """Since when a request is expected, or a part of it is missing."""
        self._arrived = 0
        self._is_in_request = False
        self._is_in_head = False
        self._chunk = 0
        self._leaves_at: float | None = None
        self._unread_since: float | None = None

    # The transport.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._waits_since = self.loop.time()
        if not self._among.enter(self):
            self.end(Ended.CROWDED, 503, "Crowded", "all connections are at work: try again in a second")

    def connection_lost(self, exc: Exception | None) -> None:
        self._among.leave(self)
        self._among.lost(self.transport)  # where it broke in the middle of becoming a WebSocket
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._chunk = len(data)
        super().data_received(data)
        if not self._is_in_request and not self._is_free:
            self._waits_since = None
            return
        if self._waits_since is None:  # also where only empty lines came: they are no request, and begin none
            self._waits_since = self.loop.time()
        self._arrived += len(data)
        if self._is_in_head and self._arrived > self._bounds.head_bytes:
            self.end(Ended.HEAD_TOO_LARGE, 431, "HeadTooLarge", self._too_large)

    def pause_writing(self) -> None:
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread_since = None
        super().resume_writing()

    # The parser.

    def on_message_begin(self) -> None:
        self._is_in_request = self._is_in_head = True
        self._arrived = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._among.at_work(self)
        # Most heads come in one piece that is smaller than the bound; only else they are measured.
        if self._chunk + self._arrived > self._bounds.head_bytes and self._head() > self._bounds.head_bytes:
            self._among.count(Ended.HEAD_TOO_LARGE)
            self.app = _Refusal(431, "HeadTooLarge", self._too_large)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_request = False
        self._leaves_at = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._is_in_request and not self._is_in_head and not self.pipeline:  # it was answered before it was read
            self._leaves_at = self.loop.time() + LINGER_SECONDS
        if not self.pipeline:
            self._among.idle(self)
        super().on_response_complete()

    def handle_websocket_upgrade(self) -> None:
        self._among.leave(self)  # another protocol goes on, in the same place
        super().handle_websocket_upgrade()

    # Ending.

    def look(self) -> None:
        """End it, where its client has taken too long."""
        now = self.loop.time()
        if self._unread_since is not None and now > self._unread_since + self._bounds.unread_seconds:
            self._among.count(Ended.UNREAD)
            self.transport.abort()
        elif self._leaves_at is not None and now > self._leaves_at:
            self.transport.close()
        elif self.flow.read_paused:
            self._waits_since = now if self._is_in_request else None  # it is we who do not read
        elif self._waits_since is not None and now > self._waits_since + self._patience():
            ended = Ended.SLOW_BODY if self._is_in_request and not self._is_in_head else Ended.SLOW_HEAD
            self.end(ended, 408, "TooSlow", "the request did not come in within its time: send it again, faster")

    def end(self, why: Ended, status: int = 0, code: str = "", detail: str = "") -> None:
        """Close it, with an answer if somebody may still wait for one."""
        self._among.count(why)
        if status and (self._is_free or not self.cycle.response_started):
            self.transport.write(_answer(status, code, detail))
        self.transport.close()

    @property
    def _is_free(self) -> bool:
        """No request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _patience(self) -> float:
        if self._is_in_head or not self._is_in_request:
            return self._bounds.head_seconds
        return self._bounds.head_seconds + self._arrived / self._bounds.body_bytes_per_second

    def _head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    @property
    def _too_large(self) -> str:
        return f"the request's line and headers exceed {self._bounds.head_bytes} bytes: send less of them"


class Socket(WebSocketsSansIOProtocol):
    """A WebSocket, which takes a place as any other connection does."""

    def __init__(self, among: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._among = among

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        self._among.taken_over(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._among.lost(self.transport)
        super().connection_lost(exc)


class _Refusal:
    """Answers a request with a problem, in the place of the app."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        self._status = status
        self._body = _problem(status, code, detail)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # as ASGI asks for it
        headers = [(name.encode(), value.encode()) for name, value in _headers(self._body).items()]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})


def _problem(status: int, code: str, detail: str) -> bytes:
    return msgspec.json.encode(problem(status, code, detail))


def _headers(body: bytes) -> Mapping[str, str]:
    return {"content-type": PROBLEM_CONTENT_TYPE, "content-length": str(len(body)), "connection": "close"}


_PHRASES: Final = {408: "Request Timeout", 431: "Request Header Fields Too Large", 503: "Service Unavailable"}


def _answer(status: int, code: str, detail: str) -> bytes:
    body = _problem(status, code, detail)
    lines = [f"HTTP/1.1 {status} {_PHRASES[status]}", *(f"{name}: {value}" for name, value in _headers(body).items())]
    if status == 503:
        lines.append("retry-after: 1")
    return "\r\n".join([*lines, "", ""]).encode() + body
