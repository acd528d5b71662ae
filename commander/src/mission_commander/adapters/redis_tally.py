"""What all replicas draw, counted in Redis by way of `limits`' asynchronous storage."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from limits.aio.storage import RedisStorage
from limits.errors import StorageError
from redis.asyncio import BlockingConnectionPool

from mission_commander.services.limiting import TallyAwayError

CONNECTIONS: Final = 4
ANSWER_SECONDS: Final = 1.0


@asynccontextmanager
async def connect(url: str, prefix: str) -> AsyncIterator["RedisTally"]:
    """Give a tally; Redis need not be there yet."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=ANSWER_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        client_name="mission-commander-limits",
    )
    options: dict[str, Any] = {"connection_pool": pool}  # typed as if it took plain settings only
    storage = RedisStorage(url, implementation="redispy", key_prefix=f"{prefix}limits", wrap_exceptions=True, **options)
    try:
        yield RedisTally(storage)
    finally:
        await pool.aclose()


class RedisTally:
    """One key for each count."""

    def __init__(self, storage: RedisStorage) -> None:
        self._storage = storage

    async def add(self, drawn: Mapping[str, int], *, keep_seconds: int) -> Mapping[str, int]:
        adding = (self._storage.incr(name, keep_seconds, amount) for name, amount in drawn.items())
        try:
            totals = await asyncio.gather(*adding)
        except (StorageError, OSError) as error:
            raise TallyAwayError(f"Redis does not count what is drawn: {error}") from error
        return dict(zip(drawn, totals, strict=True))
