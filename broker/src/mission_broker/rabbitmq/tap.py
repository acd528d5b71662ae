"""The one place that reaches into aiormq: a tap between its connection and the socket.

aiormq does the handshake, TLS, authentication and heartbeats, and it lets its caller open the socket
(`transport_factory`). Ours splits the stream: channel 0 goes on to aiormq, every other channel is ours and never
passes its frame-by-frame reader, which is what limits plain aio-pika. Writes of both go to the same transport, always
whole frames. tests/conformance/broker/test_rabbitmq_tap.py fails when aiormq changes underneath.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

import aiormq
from pamqp import commands

from mission_broker.rabbitmq import frames

log = logging.getLogger(__name__)

_WRITE_HIGH: Final = 1 << 20
_WRITE_LOW: Final = 1 << 18
_LOOKS_PER_SILENCE: Final = 10
AMQP_PORT: Final = 5672
_CLOSE_OK: Final = frames.method(commands.Connection.CloseOk(), 0)


class Endpoint(Protocol):
    """A channel, as the tap sees it."""

    def method(self, index: int, data: bytes, start: int, stop: int) -> None: ...
    def header(self, data: bytes, start: int, stop: int) -> None: ...
    def body(self, data: bytes, start: int, stop: int) -> None: ...
    def lost(self, reason: Exception) -> None: ...


class ConnectionLostError(Exception):
    """The connection is gone, and with it every channel, confirm and delivery on it."""


class Tap(asyncio.StreamReaderProtocol):
    """The socket's protocol: aiormq's for channel 0, the endpoints' for all others."""

    def __init__(self, reader: asyncio.StreamReader, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(reader, loop=loop)
        self._reader = reader
        self._loop = loop
        self._rest = b""
        self._heard = False
        self._is_established = False
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._writable: asyncio.Future[None] | None = None
        self._reason: Exception | None = None
        self.endpoints: dict[int, Endpoint] = {}
        self.lost: asyncio.Future[Exception] = loop.create_future()
        self.frame_max = 131_072
        self.is_blocked = False
        self.on_blocked: Callable[[], None] = lambda: None

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH, low=_WRITE_LOW)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        try:
            self._split(self._rest + data if self._rest else data)
        except Exception as error:  # one malformed frame, and nothing after it can be trusted
            log.exception("the broker sent what cannot be read: the connection is dropped")
            self.abort(ConnectionLostError(f"unreadable frame: {error!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(ConnectionLostError(str(exc or "the other side closed it")))
        super().connection_lost(None if self._is_established else exc)

    def eof_received(self) -> bool | None:
        self._end(ConnectionLostError("the other side closed it"))
        return super().eof_received()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._let_write()

    # What the connection calls

    def write(self, data: bytes) -> None:
        """Send whole frames; silently nothing once the connection is lost."""
        if self._transport is not None and self._reason is None:
            self._transport.write(data)

    async def writable(self) -> None:
        """Wait until the socket took most of what was written, or the connection is lost."""
        if self._writable is not None:
            await asyncio.shield(self._writable)

    def abort(self, reason: Exception) -> None:
        """Drop the connection at once, without a word."""
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    def watch(self, silence_seconds: float) -> None:
        """Drop the connection when nothing came for this long. Also keeps aiormq from thinking so wrongly."""
        self._is_established = True
        self._look(silence_seconds / _LOOKS_PER_SILENCE, 0)

    # Inside

    def _split(self, data: bytes) -> None:
        position, end = 0, len(data)
        endpoints, start_of = self.endpoints, frames.FRAME_START.unpack_from
        while end - position >= frames.FRAME_OVERHEAD:
            kind, channel, size = start_of(data, position)
            start = position + 7
            stop = start + size
            if kind > frames.HEARTBEAT:  # "AMQP": the broker refuses the protocol's version, which aiormq can tell
                self._reader.feed_data(data[position:])
                self._rest = b""
                return
            if stop >= end:
                self._rest = data[position:]
                return
            if data[stop] != frames.FRAME_END:
                raise ValueError(f"a frame of {size} bytes on channel {channel} has no end")
            if not channel:
                self._for_aiormq(kind, data, position, stop)
            elif (endpoint := endpoints.get(channel)) is not None:
                if kind == frames.METHOD:
                    endpoint.method(frames.INDEX.unpack_from(data, start)[0], data, start, stop)
                elif kind == frames.HEADER:
                    endpoint.header(data, start, stop)
                else:
                    endpoint.body(data, start, stop)
            position = stop + 1
        self._rest = data[position:]

    def _for_aiormq(self, kind: int, data: bytes, position: int, stop: int) -> None:
        if kind == frames.METHOD and self._is_established:
            self._listen_in(data, position + 7, stop)
        if self._reason is None:
            self._reader.feed_data(data[position : stop + 1])

    def _listen_in(self, data: bytes, start: int, stop: int) -> None:
        (index,) = frames.INDEX.unpack_from(data, start)
        if index == frames.CONNECTION_CLOSE:
            self._closed_by_broker(frames.read_method(data, start, stop))
        elif index in (frames.CONNECTION_BLOCKED, frames.CONNECTION_UNBLOCKED):
            self.is_blocked = index == frames.CONNECTION_BLOCKED
            self._let_write()  # whoever waits to write shall see it
            self.on_blocked()

    def _closed_by_broker(self, said: Any) -> None:
        self.write(_CLOSE_OK)
        self._end(ConnectionLostError(f"the broker closed the connection: {said.reply_code} {said.reply_text}"))
        if self._transport is not None:
            self._transport.close()

    def _look(self, pause: float, silent: int) -> None:
        # Looks are counted, not seconds: a process that was itself paused for a while must not blame the broker.
        if self._reason is not None:
            return
        if silent >= _LOOKS_PER_SILENCE:
            self.abort(ConnectionLostError(f"nothing was heard from the broker for {pause * silent:.1f} s"))
            return
        if self._heard:
            # aiormq sees none of our channels' frames; without this it would take a busy connection for a dead one.
            self._reader.feed_data(frames.HEARTBEAT_FRAME)
        silent = 0 if self._heard else silent + 1
        self._heard = False
        self._watch = self._loop.call_later(pause, self._look, pause, silent)

    def _end(self, reason: Exception) -> None:
        if self._reason is not None:
            return
        self._reason = reason
        if self._watch is not None:
            self._watch.cancel()
        self._let_write()
        if self._is_established:
            # Told so, aiormq ends in good order, where it would print tracebacks of what is an everyday event here.
            self._reader.feed_data(_CLOSE_OK)
        endpoints, self.endpoints = tuple(self.endpoints.values()), {}
        for endpoint in endpoints:
            endpoint.lost(reason)
        if not self.lost.done():
            self.lost.set_result(reason)

    def _let_write(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)


class TapFactory(aiormq.TransportFactory):
    """Gives aiormq a socket that was opened before it asks, with the tap on it."""

    def __init__(self) -> None:
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(
        self, connection: aiormq.Connection, context: ssl.SSLContext | None = None, *, dead_after_seconds: float
    ) -> Tap:
        """Open the socket that a connection shall use. Raises OSError."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        host, port = connection.url.host or "localhost", connection.url.port or AMQP_PORT
        transport, tap = await loop.create_connection(lambda: Tap(reader, loop), host, port, ssl=context)
        _let_the_kernel_watch(transport, dead_after_seconds)
        self._streams = reader, asyncio.StreamWriter(transport, tap, reader, loop)
        return tap

    async def create(self, *_: object, **__: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            raise aiormq.AMQPConnectionError("the socket is opened before the connection is made, and was not")
        return self._streams


def _let_the_kernel_watch(transport: asyncio.BaseTransport, dead_after_seconds: float) -> None:
    """Have bytes that nobody acknowledges end the connection: a vanished peer is noticed while we write."""
    sock = transport.get_extra_info("socket")
    if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(dead_after_seconds * 1000))
