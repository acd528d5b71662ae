"""One supervised aio-pika connection: when it is lost, the nodes are tried in turn, for ever.

`aio_pika.connect_robust` is not used: it waits a fixed time between tries, knows one node, and holds a publish back
until it is connected again, where the port promises an outcome at once (docs/decisions/0003).
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Never

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPError
from yarl import URL

from mission_broker.rabbitmq.backoff import Backoff
from mission_broker.rabbitmq.settings import RabbitMQSettings

log = logging.getLogger(__name__)

CANNOT_CONNECT: Final = (OSError, TimeoutError, EOFError, AMQPError, RuntimeError)
CLOSE_TIMEOUT_SECONDS: Final = 3.0
BLOCKED_INTERVAL_SECONDS: Final = 0.2
"""aio-pika has no event for a connection that the broker blocks; it can only be asked."""


class Link:
    """Holds the current connection while there is one."""

    def __init__(self, settings: RabbitMQSettings, purpose: str, on_change: Callable[[], None]) -> None:
        self._settings = settings
        self._purpose = purpose
        self._on_change = on_change
        self._is_up = asyncio.Event()
        self._connection: AbstractConnection | None = None
        self.is_blocked = False
        self.is_restricted = False
        """The broker's user may declare only queues of its own."""
        self.why_down = ""
        """Why there is no connection, as the last try found; empty while there is one."""

    @property
    def connection(self) -> AbstractConnection | None:
        connection = self._connection
        return connection if connection is not None and not connection.is_closed else None

    async def connected(self) -> AbstractConnection:
        """Wait for a connection."""
        while (connection := self.connection) is None:
            self._is_up.clear()
            await self._is_up.wait()
        return connection

    async def keep(self) -> Never:
        """Connect, and connect again, until cancelled."""
        backoff = Backoff(self._settings.backoff_min_seconds, self._settings.absence_max_seconds)
        while True:
            access = await self._settings.current_access()
            self.is_restricted = access.is_guest
            for url in access.urls:
                backoff.lasted(await self._try(url))
            await asyncio.sleep(backoff.next())

    async def _try(self, url: str) -> float:
        """Connect to one node and stay; return how many seconds that lasted."""
        loop = asyncio.get_running_loop()
        try:
            connection = await aio_pika.connect(
                URL(url).update_query(heartbeat=str(self._settings.heartbeat_seconds)),
                ssl_context=self._settings.tls_of(url),
                timeout=self._settings.connect_timeout_seconds,
                client_properties={"connection_name": f"{self._settings.name} {self._purpose}"},
            )
        except CANNOT_CONNECT as error:
            self.why_down = f"cannot connect to RabbitMQ: {str(error) or type(error).__name__}"
            log.warning("cannot connect to RabbitMQ host=%s error=%r", URL(url).host, error)
            return 0
        since = loop.time()
        await self._stay(connection)
        return loop.time() - since

    async def _stay(self, connection: AbstractConnection) -> None:
        lost = asyncio.Event()
        connection.close_callbacks.add(lambda *_: lost.set())
        self._connection, self.why_down = connection, ""
        self._is_up.set()
        self._on_change()
        watching = asyncio.create_task(self._watch_for_blocking(connection))
        try:
            await lost.wait()
            self.why_down = "the connection to RabbitMQ is lost"
            log.warning("lost the connection to RabbitMQ purpose=%s", self._purpose)
        finally:
            watching.cancel()
            self._connection, self.is_blocked = None, False
            self._on_change()
            await _close(connection)

    async def _watch_for_blocking(self, connection: AbstractConnection) -> Never:
        while True:
            transport = connection.transport
            if transport is not None:
                unblocked = asyncio.ensure_future(transport.ready())
                await asyncio.wait([unblocked], timeout=BLOCKED_INTERVAL_SECONDS)
                self._note_blocking(is_blocked=not unblocked.done())
                await unblocked
                self._note_blocking(is_blocked=False)
            await asyncio.sleep(BLOCKED_INTERVAL_SECONDS)

    def _note_blocking(self, *, is_blocked: bool) -> None:
        if self.is_blocked != is_blocked:
            self.is_blocked = is_blocked
            self._on_change()


async def _close(connection: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
            await connection.close()
    except CANNOT_CONNECT as error:
        log.debug("the connection ended while it was closed error=%r", error)
