"""What waits in the pools' queues by the broker's own count, so that nobody has to trust the ledger's numbers alone."""

import asyncio
from typing import Final

from mission_broker.port import Broker, BrokerAwayError
from mission_commander.domain.memory import PoolKey
from mission_commander.services.garrison import Garrison
from mission_contracts import topology
from mission_contracts.clock import Clock

LOOK_SECONDS: Final = 2.0
BELIEVED_SECONDS: Final = 3 * LOOK_SECONDS


class QueueCounts:
    """Counts every pool's two queues, a little at a time, and forgets what it could not count again."""

    def __init__(self, garrison: Garrison, broker: Broker, clock: Clock) -> None:
        self._garrison = garrison
        self._broker = broker
        self._clock = clock
        self._counts: dict[PoolKey, tuple[int, float]] = {}

    async def run(self) -> None:
        """Count until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Count once."""
        pools = [(pool.namespace, pool.name) for pool in self._garrison.pools()]
        try:
            counts = {key: await self._count(key) for key in pools}
        except BrokerAwayError:
            self._counts.clear()
            return
        self._counts = {key: (count, self._clock.monotonic()) for key, count in counts.items() if count is not None}

    async def look_at(self, key: PoolKey) -> None:
        """Count one pool's now: it is new, and somebody waits for its first numbers."""
        try:
            count = await self._count(key)
        except BrokerAwayError:
            return
        if count is not None:
            self._counts[key] = (count, self._clock.monotonic())

    def of(self, key: PoolKey) -> int | None:
        """How many orders wait for a pool's soldiers; None when that is not known for certain."""
        count, at = self._counts.get(key, (0, None))
        return None if at is None or self._clock.monotonic() - at > BELIEVED_SECONDS else count

    async def _count(self, key: PoolKey) -> int | None:
        counts = [await self._broker.ready_count(queue) for queue in topology.queues_of(*key)]
        return None if None in counts else sum(count or 0 for count in counts)
