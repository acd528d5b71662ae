"""One connection that is always being had: lost, it is tried again, node after node, for ever."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Never

import aiormq
from yarl import URL

from mission_broker.rabbitmq.backoff import Backoff
from mission_broker.rabbitmq.connection import Connection, open_connection
from mission_broker.rabbitmq.settings import Access, RabbitMQSettings

log = logging.getLogger(__name__)

CANNOT_CONNECT = (OSError, TimeoutError, EOFError, aiormq.AMQPError)
SAYS_NO: Final = (
    aiormq.exceptions.AuthenticationError,
    aiormq.exceptions.ProbableAuthenticationError,
    aiormq.exceptions.IncompatibleProtocolError,
    aiormq.exceptions.ConnectionClosed,
)
"""A node said something: to try again soon would cost it time, and help nobody."""


class Link:
    """A place where the current connection is found while there is one."""

    def __init__(self, settings: RabbitMQSettings, purpose: str, changed: Callable[[], None]) -> None:
        self._settings = settings
        self._purpose = purpose
        self._changed = changed
        self._up = asyncio.Event()
        self._connection: Connection | None = None
        self._failures = 0
        self._nobody_listens = True
        self._why_not = ""

    @property
    def why_not(self) -> str:
        """Why there is no connection, as the last try found; empty while there is one, and before the first try."""
        return "" if self.connection is not None else self._why_not

    @property
    def connection(self) -> Connection | None:
        """The connection, unless it is lost; also when the loss was not yet acted upon."""
        connection = self._connection
        return connection if connection is not None and connection.is_open else None

    async def connected(self) -> Connection:
        """Wait for a connection."""
        while (connection := self.connection) is None:
            self._up.clear()
            await self._up.wait()
        return connection

    async def keep(self) -> Never:
        """Connect, and connect again, until cancelled."""
        settings = self._settings
        backoff = Backoff(settings.backoff_min_seconds, settings.backoff_max_seconds)
        # Who asks an address where nobody listens burdens nobody, and everything waits for the first answer there.
        absence = Backoff(settings.backoff_min_seconds, settings.absence_max_seconds)
        while True:
            access = await settings.current_access()
            self._nobody_listens = True
            for url in access.urls:
                # One round over all nodes goes without a pause: a dead first node costs nothing but its refusal.
                await asyncio.sleep(0)
                seconds = await self._try(url, access)
                backoff.lasted(seconds)
                absence.lasted(seconds)
            await asyncio.sleep(absence.next() if self._nobody_listens else backoff.next())

    async def _try(self, url: str, access: Access) -> float:
        """Connect to one node and stay; says how many seconds that held."""
        try:
            connection = await open_connection(url, self._purpose, self._settings, is_guest=access.is_guest)
        except CANNOT_CONNECT as error:
            self._nobody_listens = self._nobody_listens and nobody_listens(error)
            self._complain(url, error)
            return 0
        self._nobody_listens = False
        self._failures = 0
        log.info("connected to RabbitMQ at %s to %s", _place(url), self._purpose)
        since = asyncio.get_running_loop().time()
        await self._stay(connection, url)
        return asyncio.get_running_loop().time() - since

    async def _stay(self, connection: Connection, url: str) -> None:
        connection.when_blocked_changes(self._changed)
        self._connection = connection
        self._up.set()
        self._changed()
        try:
            reason = await asyncio.shield(connection.lost)
            self._why_not = f"the connection to RabbitMQ is lost: {reason}"
            log.warning("the connection to RabbitMQ at %s to %s is lost: %s", _place(url), self._purpose, reason)
        finally:
            self._connection = None
            self._changed()
            await connection.close()

    def _complain(self, url: str, error: Exception) -> None:
        self._failures += 1
        what = str(error) or type(error).__name__
        self._why_not = f"cannot connect to RabbitMQ: {what}"
        if self._failures.bit_count() == 1:  # the 1st, 2nd, 4th, 8th …: an outage of hours fills no disk
            log.warning("cannot connect to RabbitMQ at %s (%s), try %d", _place(url), what, self._failures)


def nobody_listens(error: Exception) -> bool:
    """Tell whether a try was refused at once, or hung up on without a word, as a proxy does that has no node."""
    return isinstance(error, ConnectionError | EOFError) and not isinstance(error, SAYS_NO)


def _place(url: str) -> str:
    parsed = URL(url)
    return f"{parsed.host}:{parsed.port or 5672}"
