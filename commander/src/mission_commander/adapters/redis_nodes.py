"""Which Redis node to connect to, and when to try again: at once, then more and more patiently up to a bound."""

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, parse_url

from mission_commander.ports import LedgerAwayError

FIRST_REST_SECONDS = 0.05
LONGEST_REST_SECONDS = 1.0


class Nodes:
    """One or more nodes, tried in turn. A *generation* is the time between two failures.

    Connections of an earlier generation are not used again, so one READONLY empties every pool at once.
    """

    def __init__(
        self, urls: Sequence[str], *, client_name: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        if not urls:
            raise ValueError("the ledger has no Redis URL: give at least one, such as redis://localhost:6379/0")
        self._nodes = [_arguments(url, client_name) for url in urls]
        self._monotonic = monotonic
        self._failures = 0
        self._rest_until = 0.0
        self.generation = 0

    @property
    def count(self) -> int:
        return len(self._nodes)

    def connection(self) -> AbstractConnection:
        """Make a connection, not yet connected; LedgerAwayError at once while the nodes are left alone."""
        left = self._rest_until - self._monotonic()
        if left > 0:
            raise LedgerAwayError(f"Redis could not be reached: it is tried again in {left:.2f} s")
        arguments = dict(self._nodes[self.generation % len(self._nodes)])
        kind: type[AbstractConnection] = arguments.pop("connection_class", Connection)
        return kind(**arguments)

    def failed(self, generation: int) -> None:
        """Go on to the next node; rest once each of them has failed. Late news of a generation counts once."""
        if generation != self.generation:
            return
        self.generation += 1
        self._failures += 1
        rounds, place = divmod(self._failures, len(self._nodes))
        if place == 0:
            longest = min(LONGEST_REST_SECONDS, FIRST_REST_SECONDS * 2 ** min(rounds - 1, 10))
            self._rest_until = self._monotonic() + longest * random.uniform(0.5, 1)  # noqa: S311 (jitter is no secret)

    def works(self) -> None:
        self._failures = 0


def _arguments(url: str, client_name: str) -> dict[str, Any]:
    # Deadlines are the wire's own: redis-py's would start a task for each write. RESP2 spares a HELLO.
    return {
        **parse_url(url),
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "retry_on_timeout": False,
        "protocol": 2,
        "client_name": client_name,
        "driver_info": None,
    }
