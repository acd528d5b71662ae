"""One AMQP connection: aiormq's handshake and heartbeats, our channels."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

import aiormq
from yarl import URL

from mission_broker.rabbitmq.channel import Channel
from mission_broker.rabbitmq.settings import RabbitMQSettings
from mission_broker.rabbitmq.tap import ConnectionLostError, Tap, TapFactory

CLOSE_SECONDS: Final = 3
CLEANUP_SECONDS: Final = 0.5
_C = TypeVar("_C", bound=Channel)


class Connection:
    """An open connection, until `lost` is done."""

    def __init__(
        self, connection: aiormq.Connection, tap: Tap, settings: RabbitMQSettings, *, is_guest: bool = False
    ) -> None:
        self.is_guest = is_guest
        self._connection = connection
        self._tap = tap
        self._settings = settings
        tap.frame_max = int(connection.connection_tune.frame_max) or tap.frame_max
        tap.watch(settings.silence_seconds)

    @property
    def lost(self) -> asyncio.Future[Exception]:
        return self._tap.lost

    @property
    def is_open(self) -> bool:
        return not self._tap.lost.done()

    @property
    def is_blocked(self) -> bool:
        return self._tap.is_blocked

    def when_blocked_changes(self, callback: Callable[[], None]) -> None:
        self._tap.on_blocked = callback

    async def channel(self, kind: Callable[..., _C]) -> _C:
        """Open a channel of one kind on the lowest free number. Raises ChannelLostError, ConnectionLostError."""
        if not self.is_open:
            raise ConnectionLostError("the connection is gone, no channel can be opened on it")
        channel = kind(self._tap, self._free_number(), rpc_timeout_seconds=self._settings.rpc_timeout_seconds)
        try:
            await channel.open()
        except BaseException as error:
            channel.end(ConnectionLostError(f"not opened: {error!r}"))
            raise
        return channel

    async def close(self) -> None:
        """Say goodbye if the broker still listens, and free the socket either way."""
        farewell = asyncio.ensure_future(self._connection.close())
        farewell.add_done_callback(_ignore)
        try:
            await asyncio.wait([farewell], timeout=CLOSE_SECONDS if self.is_open else CLEANUP_SECONDS)
        finally:
            self._tap.abort(ConnectionLostError("closed by its user"))
            farewell.cancel()

    def _free_number(self) -> int:
        highest = self._connection.connection_tune.channel_max or 65_535
        used = self._tap.endpoints
        number = next((number for number in range(1, highest + 1) if number not in used), None)
        if number is None:
            raise ConnectionLostError(f"all {highest} channels of the connection are in use")
        return number


def _ignore(farewell: "asyncio.Future[None]") -> None:
    if not farewell.cancelled():
        farewell.exception()


async def open_connection(url: str, purpose: str, settings: RabbitMQSettings, *, is_guest: bool = False) -> Connection:
    """Connect to one node. Raises OSError, TimeoutError or an aiormq error."""
    factory = TapFactory()
    connection = aiormq.Connection(
        URL(url).update_query(heartbeat=str(settings.heartbeat_seconds)),
        transport_factory=factory,
        client_properties={"connection_name": f"{settings.name} {purpose}"},
    )
    async with asyncio.timeout(settings.connect_timeout_seconds):
        context = settings.tls_of(url)
        tap = await factory.open(connection, context, dead_after_seconds=settings.silence_seconds)
        await _shake_hands(connection, tap, settings.connect_timeout_seconds)
    return Connection(connection, tap, settings, is_guest=is_guest)


async def _shake_hands(connection: aiormq.Connection, tap: Tap, timeout_seconds: float) -> None:
    too_late = ConnectionLostError("no answer to the handshake")
    # aiormq waits for the socket to close before it gives up, and a half-open one closes only when it is dropped.
    deadline = asyncio.get_running_loop().call_later(timeout_seconds, tap.abort, too_late)
    try:
        await connection.connect()
    except StopAsyncIteration as error:  # so aiormq calls the end of what it reads, in the middle of a handshake
        tap.abort(too_late)
        raise ConnectionResetError("the other side closed it in the middle of the handshake") from error
    except BaseException:
        tap.abort(too_late)
        raise
    finally:
        deadline.cancel()
