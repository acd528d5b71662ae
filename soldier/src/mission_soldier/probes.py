"""Answers a kubelet's /livez and /readyz, and a scraper's /metrics, without a web framework.

From a thread with an event loop of its own: the soldier's may be blocked by a handler, and that is worth answering.
"""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final, NamedTuple

READ_SECONDS: Final = 2.0
STOP_SECONDS: Final = 5.0


class Answer(NamedTuple):
    """What a path is answered with."""

    is_well: bool
    text: str
    content_type: str = "text/plain"


Page = Callable[[], Answer]
"""Called in the probes' thread."""


def finding(trouble: str | None) -> Answer:
    """Answer with what is wrong, if anything is."""
    return Answer(trouble is None, (trouble or "ok") + "\n")


@contextmanager
def in_a_thread(port: int, pages: Mapping[str, Page]) -> Iterator[int]:
    """Answer GET for each path while the context is open; gives the port. Raises OSError if it is taken."""
    server = _Server(port, pages)
    server.start()
    try:
        yield server.port.result()
    finally:
        server.stop()


@asynccontextmanager
async def serve(port: int, pages: Mapping[str, Page]) -> AsyncIterator[int]:
    """The same in this event loop."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(TimeoutError, ConnectionError, ValueError):
            async with asyncio.timeout(READ_SECONDS):
                line = await reader.readline()
                writer.write(_response(line, pages))
                await writer.drain()
        writer.close()

    listener = _listener(port)
    async with await asyncio.start_server(answer, sock=listener):
        yield listener.getsockname()[1]


class _Server(threading.Thread):
    def __init__(self, port: int, pages: Mapping[str, Page]) -> None:
        super().__init__(name="probes", daemon=True)
        self._wanted_port = port
        self._pages = pages
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self.port: Future[int] = Future()

    def run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    def stop(self) -> None:
        with suppress(RuntimeError):  # it has ended: its port was taken
            self._loop.call_soon_threadsafe(self._stopped.set)
        self.join(STOP_SECONDS)

    async def _serve(self) -> None:
        try:
            async with serve(self._wanted_port, self._pages) as port:
                self.port.set_result(port)
                await self._stopped.wait()
        except OSError as error:
            self.port.set_exception(error)


def _listener(port: int) -> socket.socket:
    """One socket for IPv4 and IPv6: a kubelet may come by either."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _response(request_line: bytes, pages: Mapping[str, Page]) -> bytes:
    words = request_line.decode("latin-1").split()
    page = pages.get(words[1].partition("?")[0]) if len(words) > 1 and words[0] in ("GET", "HEAD") else None
    if page is None:
        return _written("404 Not Found", Answer(False, "ask for GET " + " or ".join(pages) + "\n"))
    answer = page()
    return _written("200 OK" if answer.is_well else "503 Service Unavailable", answer)


def _written(status: str, answer: Answer) -> bytes:
    body = answer.text.encode()
    head = f"Content-Type: {answer.content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return f"HTTP/1.1 {status}\r\n{head}".encode() + body
