"""WS /ws: every change of a mission over a WebSocket, as GET /events tells it; what is told can change on the way."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any, Final

import msgspec
from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from mission_commander.api import watching
from mission_commander.api.answers import ProblemError, problem_answer
from mission_commander.api.doors import Doors
from mission_contracts.names import is_dns_label
from mission_contracts.tokens import Claims
from mission_contracts.watching import (
    PROTOCOL,
    TOKEN_PROTOCOL,
    ClientSays,
    FreshToken,
    Parting,
    Ping,
    Pong,
    Reset,
    Subscribe,
    Subscribed,
)

QUIET_SECONDS: Final = watching.QUIET_SECONDS
TOKEN_SECONDS: Final = 1.0
"""How often the token is looked at again: one that has ended, or was revoked, ends the connection."""

SLOW_SECONDS: Final = 10.0
"""A reader that takes nothing for so long is too slow. What waits for it is bounded by the connection's own buffer."""

CLOSE_SECONDS: Final = 10.0

_said: Final["msgspec.json.Decoder[ClientSays]"] = msgspec.json.Decoder(ClientSays)
_encoder: Final = msgspec.json.Encoder()
_SUBSCRIBED: Final = _encoder.encode(Subscribed()).decode()
_RESET: Final = _encoder.encode(Reset()).decode()
_PONG: Final = _encoder.encode(Pong()).decode()


def routes(doors: Doors) -> list[WebSocketRoute]:
    async def serve(socket: WebSocket) -> None:
        try:
            session = _Session(doors, socket)
        except ProblemError as error:
            await socket.send_denial_response(problem_answer(error.problem, socket.state.request_id))
            return
        with suppress(WebSocketDisconnect):  # whoever left needs no goodbye
            await session.run()

    return [WebSocketRoute("/ws", serve)]


class _PartingError(Exception):
    """Ends the connection, with a code and a sentence."""

    def __init__(self, code: Parting, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class _Session:
    """One connection. It hears nothing before it subscribes."""

    def __init__(self, doors: Doors, socket: WebSocket) -> None:
        """Raises ProblemError for whoever may not come in. No cookie is ever read, so any page's origin is as good."""
        self._doors = doors
        self._commander = doors.loaded()
        self._socket = socket
        self._identity = _identity(socket)
        self._claims = watching.admit(doors.gate, self._identity)
        self._telling: asyncio.Task[None] | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Serve until one side leaves."""
        offered = self._socket.scope["subprotocols"]
        await self._socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
        tasks = [self._start(self._listen()), self._start(self._check_token())]
        try:
            await self._over
        except _PartingError as parting:
            await self._part(parting)
        finally:
            await _end([*tasks, *([self._telling] if self._telling else [])])

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """The first task that ends by itself ends the connection, for the same reason."""
        if task.cancelled() or self._over.done():
            return
        error = task.exception()
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)

    # What the client says.

    async def _listen(self) -> None:
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            await self._hear(message.get("text") or message.get("bytes") or b"")

    async def _hear(self, text: str | bytes) -> None:
        match _read(text):
            case Subscribe() as asked:
                await self._subscribe(asked)
            case FreshToken(token=token):
                self._renew(token)
            case Ping():
                await self._send(_PONG)

    async def _subscribe(self, asked: Subscribe) -> None:
        if self._telling is not None:
            await _end([self._telling])
        watch = watching.watch(self._commander, self._claims, asked, QUIET_SECONDS)
        self._telling = self._start(self._tell(watch))

    def _renew(self, token: str) -> None:
        identity = watching.with_token(token)
        if self._admitted(identity).subject != self._claims.subject:
            raise _PartingError(Parting.TOKEN_ENDED, "the fresh token is somebody else's: open a connection of its own")
        self._identity = identity

    # What the server says.

    async def _tell(self, watch: watching.Watch) -> None:
        await self._send(_SUBSCRIBED)
        async for frame in _frames(watch):
            await self._send(frame)

    async def _check_token(self) -> None:
        while True:
            await asyncio.sleep(TOKEN_SECONDS)
            self._admitted(self._identity)

    def _admitted(self, identity: HTTPConnection) -> Claims:
        try:
            return watching.recognise(self._doors.gate, identity)
        except ProblemError as error:
            if error.problem.status not in watching.ENDS_WATCHING:
                return self._claims
            raise _PartingError(Parting.TOKEN_ENDED, str(error)) from error

    async def _send(self, text: str) -> None:
        try:
            async with asyncio.timeout(SLOW_SECONDS):
                await self._socket.send_text(text)
        except TimeoutError as error:
            sentence = "nothing was read for a while: come back, with the last event's id in `after`"
            raise _PartingError(Parting.TOO_SLOW, sentence) from error

    async def _part(self, parting: _PartingError) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close(parting.code, str(parting)[:_LONGEST_REASON])


_LONGEST_REASON: Final = 120
"""Of the 123 bytes that a close frame has room for; our sentences are ASCII."""


def _identity(socket: WebSocket) -> HTTPConnection:
    """The token from the header, or from the protocols that a browser asks for."""
    offered = [one for one in socket.scope["subprotocols"] if one.startswith(TOKEN_PROTOCOL)]
    if offered and "authorization" not in socket.headers:
        return watching.with_token(offered[0].removeprefix(TOKEN_PROTOCOL))
    return socket


def _read(text: str | bytes) -> ClientSays:
    try:
        said = _said.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _PartingError(Parting.BAD_MESSAGE, f"this cannot be read: {error}") from error
    if isinstance(said, Subscribe):
        for name in (said.namespace, said.pool):
            if name is not None and not is_dns_label(name):
                raise _PartingError(Parting.BAD_MESSAGE, "namespace and pool are DNS labels: check their spelling")
    return said


async def _frames(watch: watching.Watch) -> AsyncIterator[str]:
    async for batch in watch:
        if batch is None:
            yield _RESET
        elif not batch:
            yield _PONG
        else:
            for announced in batch:
                yield announced.frame()


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel, and wait until all are over; why they ended was told elsewhere."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
