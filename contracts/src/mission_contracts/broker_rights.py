"""What each RabbitMQ user may do: the permissions that the Commander and a pool's soldiers use, and no other.

RabbitMQ asks for `configure` to declare or delete, `write` to publish to an exchange or to bind a queue, and `read` to
consume a queue or to bind to an exchange. A passive declaration, which counts what waits, needs none.
"""

import hashlib
import hmac
import re
from typing import Final

import msgspec

from mission_contracts import topology
from mission_contracts.install_key import InstallKey

_SHOWN_OF_DIGEST: Final = 12


class UserLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of RabbitMQ one user may have open."""

    connections: int
    channels: int


POOL_LIMITS: Final = UserLimits(connections=2_500, channels=20_000)
"""A pool has at most 1,000 soldiers with two connections each, and some ten channels on each."""


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """Permissions in a virtual host: regular expressions over names of exchanges and queues."""

    configure: str
    write: str
    read: str


class Grants(msgspec.Struct, frozen=True, kw_only=True):
    """The same, name by name, each a pattern."""

    configure: tuple[str, ...]
    write: tuple[str, ...]
    read: tuple[str, ...]

    def rights(self) -> Rights:
        return Rights(configure=_any_of(self.configure), write=_any_of(self.write), read=_any_of(self.read))


_EXCHANGES: Final = tuple(re.escape(one.name) for one in topology.EXCHANGES)
_MISSIONS, _REPORTS, _CONTROL, _ACCEPTED = _EXCHANGES
_PEERS: Final = _ACCEPTED + r"\.[0-9a-f]+"
_DEAD, _REJECTED, _STATUS = (re.escape(one.name) for one in (topology.DEAD, topology.REJECTED, topology.STATUS))
_ORDERS: Final = r"missions\.orders\..+"

COMMANDER: Final = Grants(
    configure=(*_EXCHANGES, _DEAD, _REJECTED, _STATUS, _ORDERS, _PEERS),
    write=(*_EXCHANGES, _DEAD, _REJECTED, _STATUS, _ORDERS, _PEERS),
    read=(_MISSIONS, _REPORTS, _ACCEPTED, _DEAD, _REJECTED, _STATUS, _ORDERS, _PEERS),
)
"""It declares everything and binds it, publishes orders and hints, consumes reports and dead letters, shows what was
rejected, and hears of what other Commanders accepted.

To declare a queue whose dead letters go elsewhere it has to be allowed to read that queue.
"""


def of_pool(namespace: str, pool: str) -> Grants:
    """What a pool's soldiers use: they read their orders, write reports, and have a control queue each."""
    control = re.escape(topology.control_prefix(namespace, pool)) + ".+"
    orders = [re.escape(queue.name) for queue in topology.queues_of(namespace, pool)]
    return Grants(configure=(control,), write=(_REPORTS, control), read=(_CONTROL, control, *orders))


def _any_of(patterns: tuple[str, ...]) -> str:
    return f"^({'|'.join(patterns)})$"


class PoolUsers:
    """Names and passwords of the pools' RabbitMQ users: derived, so every Commander knows them and none stores any."""

    def __init__(self, key: InstallKey) -> None:
        self._key = key.derive("rabbitmq-users")
        self._ending = "." + self._digest("installation")[:_SHOWN_OF_DIGEST]

    def name_of(self, namespace: str, pool: str) -> str:
        """Name a pool's user; it ends in the installation's mark, as installations may share a RabbitMQ."""
        return f"soldiers.{namespace}.{pool}{self._ending}"

    def password_of(self, namespace: str, pool: str) -> str:
        return self._digest(f"password {namespace} {pool}")

    def is_ours(self, name: str) -> bool:
        """Tell whether a user of RabbitMQ is one that this installation made."""
        return name.startswith("soldiers.") and name.endswith(self._ending)

    def _digest(self, text: str) -> str:
        return hmac.digest(self._key, text.encode(), hashlib.sha256).hex()
