"""How to reach RabbitMQ, and how soon silence counts as loss."""

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from mission_broker.trust import tls_context
from mission_contracts.topology import Exchange


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Which nodes, and as whom."""

    urls: tuple[str, ...]
    """Nodes of one cluster, `amqp://user:password@host:port/vhost` or amqps. Tried in turn, for ever."""

    is_guest: bool = False
    """Its user may declare no more than queues of its own: what is shared is there, or comes without its doing."""

    def __post_init__(self) -> None:
        if not self.urls:
            raise ValueError("no broker is named: give at least one amqp:// or amqps:// address")
        if wrong := [url for url in self.urls if not url.startswith(("amqp://", "amqps://"))]:
            raise ValueError(f"{len(wrong)} of the broker's addresses do not begin with amqp:// or amqps://")


class RabbitMQSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `connect` needs to know."""

    urls: tuple[str, ...] = ()
    """Nodes of one cluster, `amqp://user:password@host:port/vhost` or amqps. Tried in turn, for ever."""

    access: Callable[[], Awaitable[Access]] | None = None
    """Instead of `urls`: asked before each round of tries, which waits until somebody knows."""

    authority_file: Path | None = None
    """Authorities in PEM that the certificates of amqps:// nodes may come from, besides the system's."""

    exchanges: tuple[Exchange, ...] = ()
    """Declared at each connect, for guests who may not declare them and bind to them."""

    name: str
    """What the broker's own tools show, such as `commander-0`; the two connections add their purpose."""

    heartbeat_seconds: int = 4
    """How often either side speaks when there is nothing to say (at half of it).

    The broker drops a client that it did not hear for two to three of these, and gives its messages to others: so soon
    is somebody else the single active consumer when one is frozen or its cable pulled. Two to three of these is also
    how long a process may be stopped, or its event loop blocked, without its messages being delivered again.
    """

    least_silence_seconds: float = 5
    """A connection on which nothing at all came for this long, and for 1.25 heartbeats, is dropped from this side.

    Shorter finds a half-open connection sooner; a broker that is paused for longer than this loses its clients.
    """

    connect_timeout_seconds: float = 5
    """How long one node may take to answer before the next is tried."""

    rpc_timeout_seconds: float = 10
    """How long the broker may take to declare a queue, open a channel or start a consumer."""

    backoff_min_seconds: float = 0.05
    backoff_max_seconds: float = 2
    """Waits between rounds over all nodes, drawn at random between half a bound and the bound, which doubles."""

    absence_max_seconds: float = 0.4
    """The last bound while no node listens at all: so soon after its return RabbitMQ has everybody back.

    Whoever waits longer than others keeps what only it can do waiting: a soldier its report, a Commander its orders.
    """

    def __post_init__(self) -> None:
        if self.access is None:
            Access(urls=self.urls)  # which refuses what could never be used

    async def current_access(self) -> Access:
        return Access(urls=self.urls) if self.access is None else await self.access()

    def tls_of(self, url: str) -> ssl.SSLContext | None:
        """Return what to check a node's certificate with. Read at each connect: the authority may have changed."""
        return tls_context(self.authority_file) if url.startswith("amqps://") else None

    @property
    def silence_seconds(self) -> float:
        # The broker speaks up after a whole heartbeat in the worst case: it looks at every half, and stays quiet
        # when something was sent since its last look.
        return max(self.least_silence_seconds, 1.25 * self.heartbeat_seconds)
