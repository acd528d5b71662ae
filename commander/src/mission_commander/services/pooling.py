"""Pools as the operator declares them: their queues exist before anything looks, and waiting missions go on."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice

import structlog

from mission_broker.port import Broker, BrokerAwayError
from mission_commander.domain.memory import MissionMemory, PoolKey, pool_of
from mission_commander.domain.record import Phase
from mission_commander.domain.roster import Seen
from mission_commander.ports import LedgerAwayError, PoolRecord
from mission_commander.services.counting import QueueCounts
from mission_commander.services.garrison import Garrison
from mission_commander.services.recorder import Recorder
from mission_commander.services.timing import Timer
from mission_contracts import topology
from mission_contracts.clock import Clock
from mission_contracts.rest import PoolDeclaration, PoolView, SoldierView

MINUTE_SECONDS = 60.0
REFRESH_SECONDS = 5.0
WOKEN_AT_ONCE = 500


class Pools:
    """Declares pools and shows their numbers."""

    def __init__(
        self,
        garrison: Garrison,
        broker: Broker,
        memory: MissionMemory,
        recorder: Recorder,
        timer: Timer,
        clock: Clock,
        *,
        counts: QueueCounts,
        is_current: Callable[[], bool],
    ) -> None:
        self._garrison = garrison
        self._broker = broker
        self._memory = memory
        self._recorder = recorder
        self._timer = timer
        self._clock = clock
        self._counts = counts
        self._is_current = is_current
        self._log = structlog.get_logger("pools")

    async def declare(self, namespace: str, name: str, declared: PoolDeclaration) -> PoolView:
        """Make a pool known, with its queues; missions that waited for it are handed out.

        Raises LedgerAwayError. With the broker away the queues follow at its return.
        """
        key = (namespace, name)
        pool = PoolRecord(
            namespace=namespace,
            name=name,
            paused=declared.paused,
            replicas=declared.replicas,
            max_replicas=declared.max_replicas,
            retire=declared.retire,
        )
        is_new = await self._garrison.declare(pool)
        await self._declare_queues(key)
        if is_new:
            await self._counts.look_at(key)
            await self._wake(key)
        return self.view(pool)

    async def remove(self, namespace: str, name: str) -> None:
        """Forget a pool; what waits in it waits for a pool of this name again."""
        await self._garrison.remove((namespace, name))
        await self._broker.forget(topology.queues_of(namespace, name))

    async def run(self) -> None:
        """Keep all declared pools' queues in existence, also those that other Commanders were told of."""
        declared: set[PoolKey] = set()
        while True:
            known = {(pool.namespace, pool.name) for pool in self._garrison.pools()}
            for key in known - declared:
                await self._declare_queues(key)
            for key in known:
                # Not only for new ones: a mission may have been looked at just before its pool became known.
                await self._try_to_wake(key)
            declared = known
            await asyncio.sleep(REFRESH_SECONDS)

    async def _declare_queues(self, key: PoolKey) -> None:
        try:
            await self._broker.declare(topology.queues_of(*key))
        except BrokerAwayError:
            self._log.warning("the broker is away; the queues of a pool follow at its return", pool=key[1])

    async def _try_to_wake(self, key: PoolKey) -> None:
        try:
            await self._wake(key)
        except LedgerAwayError:
            self._log.warning("could not hand out what waited for a pool; it is looked at again", pool=key[1])

    async def _wake(self, key: PoolKey) -> None:
        waiting = iter(self._memory.without_pool(key))
        while some := list(islice(waiting, WOKEN_AT_ONCE)):
            await self._recorder.decide_each([self._timer.look(mission.id) for mission in some])

    # Showing.

    def views(self) -> list[PoolView]:
        due = self._due()
        return [self._view(pool, due) for pool in self._garrison.pools()]

    def view(self, pool: PoolRecord) -> PoolView:
        """A pool's numbers, from memory."""
        return self._view(pool, self._due())

    def view_of(self, key: PoolKey) -> PoolView | None:
        """The numbers of a pool, if it is declared."""
        pool = self._garrison.pool(key)
        return None if pool is None else self.view(pool)

    def _due(self) -> Mapping[PoolKey, int]:
        """How many missions of each pool wait for a moment that is near: one walk, whatever else waits for later."""
        soon = self._memory.due_until(self._clock.now() + MINUTE_SECONDS)
        return Counter(
            pool_of(mission)
            for mission in soon
            if mission.phase is Phase.WAITING and mission.due_at is not None and not mission.suspended
        )

    def _view(self, pool: PoolRecord, due: Mapping[PoolKey, int]) -> PoolView:
        key, now = (pool.namespace, pool.name), self._clock.now()
        oldest = self._memory.oldest(key, Phase.OUT)
        return PoolView(
            namespace=pool.namespace,
            name=pool.name,
            paused=pool.paused,
            queued=self._memory.count(key, Phase.OUT),
            waiting=self._memory.count(key, Phase.WAITING),
            in_flight=self._memory.count(key, Phase.CLAIMED),
            soldiers=tuple(_view(seen, self._busy(seen)) for seen in self._garrison.soldiers_of(key)),
            types=tuple(self._garrison.types_of(key)),
            oldest_queued_seconds=max(0.0, now - oldest.handed_out_at) if oldest and oldest.handed_out_at else None,
            due_within_minute=due.get(key, 0),
            in_broker=self._counts.of(key),
            is_current=self._is_current(),
        )

    def _busy(self, seen: Seen) -> int:
        return max(seen.busy, self._memory.held_count(seen.registration.instance))


def _view(seen: Seen, busy: int) -> SoldierView:
    asked = seen.registration
    return SoldierView(
        instance=asked.instance,
        pod=asked.pod,
        slots=asked.concurrency,
        busy=busy,
        taking=seen.is_taking,
        unclaimed=seen.unclaimed,
        beat=seen.beats,
    )
