"""Who is there: pools and their soldiers, as the ledger knows them and as this Commander sees their hearts beat."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from mission_commander.domain.memory import PoolKey
from mission_commander.domain.roster import Roster, Seen, size_of
from mission_commander.ports import Ledger, LedgerAwayError, PoolRecord
from mission_contracts import mission as m
from mission_contracts.clock import Clock
from mission_contracts.errors import Problem
from mission_contracts.messages import Heard
from mission_contracts.soldiering import Beat, Registration

BEATS_UNTIL_UNHEARD: Final = 3


class Garrison:
    """Pools and soldiers in memory, refreshed from the ledger so that every replica sees the same."""

    def __init__(
        self, ledger: Ledger, clock: Clock, *, heartbeat_seconds: float, is_whole: Callable[[], Awaitable[bool]]
    ) -> None:
        """`is_whole` tells whether the ledger still is the one that this Commander knows."""
        self._ledger = ledger
        self._is_whole = is_whole
        self._clock = clock
        self._silence_seconds = heartbeat_seconds * BEATS_UNTIL_UNHEARD
        self._pools: dict[PoolKey, PoolRecord] = {}
        self._pool_changes = 0
        self._roster = Roster()
        self._soldiers = self._roster.instances

    # Pools.

    def knows(self, pool: PoolKey) -> bool:
        return pool in self._pools

    def pools(self) -> Iterable[PoolRecord]:
        return tuple(self._pools.values())

    def pool(self, key: PoolKey) -> PoolRecord | None:
        return self._pools.get(key)

    def is_paused(self, key: PoolKey) -> bool:
        pool = self._pools.get(key)
        return pool is not None and pool.paused

    async def declare(self, pool: PoolRecord) -> bool:
        """Save a pool; True when it is new here."""
        key = (pool.namespace, pool.name)
        is_new = key not in self._pools
        if self._pools.get(key) != pool:
            await self._ledger.save_pool(pool)
        self._pool_changes += 1
        self._pools[key] = pool
        return is_new

    async def remove(self, key: PoolKey) -> PoolRecord | None:
        await self._ledger.delete_pool(*key)
        self._pool_changes += 1
        return self._pools.pop(key, None)

    # Soldiers.

    def soldier(self, instance: m.Instance) -> Seen | None:
        return self._soldiers.get(instance)

    async def find(self, instance: m.Instance) -> Seen | None:
        """Return a soldier that any Commander registered. Raises LedgerAwayError where only the ledger can know."""
        if instance not in self._soldiers and (found := await self._ledger.soldier(instance)) is not None:
            self._see(*found)
        return self._soldiers.get(instance)

    def soldiers(self) -> Mapping[m.Instance, Seen]:
        return self._soldiers

    def in_hand(self) -> Mapping[PoolKey, set[tuple[m.MissionId, m.Epoch]]]:
        """What the soldiers of each pool say that they hold, claimed or not. A soldier speaks for its own pool only."""
        in_hand: defaultdict[PoolKey, set[tuple[m.MissionId, m.Epoch]]] = defaultdict(set)
        for seen in self._soldiers.values():
            if seen.beat is not None:
                in_hand[seen.pool].update(seen.beat.held, seen.beat.unclaimed)
        return in_hand

    def soldiers_of(self, pool: PoolKey) -> list[Seen]:
        """The soldiers of a pool whose hearts beat."""
        return [seen for seen in self._soldiers.values() if seen.pool == pool and self.is_heard(seen)]

    def is_heard(self, seen: Seen) -> bool:
        return not seen.has_left and self._clock.monotonic() - seen.moved_at < self._silence_seconds

    def handles(self, pool: PoolKey, mission_type: str) -> bool:
        """False only when living soldiers are there and none of them handles the type."""
        soldiers = self.soldiers_of(pool)
        return not soldiers or any(_handles(seen, mission_type) for seen in soldiers)

    def types_of(self, pool: PoolKey) -> list[str]:
        return sorted({info.name for seen in self.soldiers_of(pool) for info in seen.registration.types})

    def may_hold(self, instance: m.Instance, held: int) -> bool:
        """Whether a heartbeat of an instance may list so many missions."""
        return self._roster.may_hold(instance, held)

    async def register(self, registration: Registration) -> Problem | None:
        """Register an instance, or return why it may not be. Raises LedgerAwayError."""
        objection = self._roster.objection(registration)
        if objection is not None:
            return objection
        is_new = registration.instance not in self._soldiers
        self._see(registration, None)  # before the ledger has it: those that register meanwhile count it
        try:
            await self._ledger.save_soldier(registration)
        except LedgerAwayError:
            if is_new:
                self._roster.remove(registration.instance)
            raise
        self._see(registration, None)
        return None

    async def beat(self, instance: m.Instance, beat: Beat) -> bool:
        """Take a heartbeat; False when nobody of this name is registered."""
        if not await self._ledger.save_beat(instance, beat):
            self._roster.remove(instance)
            return False
        seen = self._soldiers.get(instance)
        if seen is None:
            await self.refresh()
        else:
            self._see(seen.registration, beat)
        return True

    def beat_without_ledger(self, instance: m.Instance, beat: Beat) -> bool:
        """Take a heartbeat that the ledger cannot be told of now; False when nobody of this name is known here."""
        seen = self._soldiers.get(instance)
        if seen is not None:
            self._see(seen.registration, beat)
        return seen is not None

    async def dismiss(self, instance: m.Instance) -> None:
        """Forget an instance that is gone."""
        await self._ledger.remove_soldier(instance)
        self._roster.remove(instance)

    def beat_elsewhere(self, heard: Sequence[Heard]) -> None:
        """Take heartbeats that another Commander took and could not tell the ledger; of who is known here."""
        for one in heard:
            self.beat_without_ledger(one.instance, one.beat)

    async def listen(self) -> None:
        """Hear what other Commanders were told, and make sure that they could tell.

        A ledger that is read and takes no change makes everybody look silent. Raises LedgerAwayError.
        """
        await self._ledger.touch()
        await self.refresh()

    async def refresh(self) -> None:
        """Hear what other Commanders were told.

        A ledger that was wiped or rolled back knows too little: what is known here is kept then, to be restored.
        """
        changes = self._pool_changes
        pools, soldiers = await self._ledger.pools(), await self._ledger.soldiers()
        if not await self._is_whole():
            return
        if changes == self._pool_changes:  # else the list is older than what this Commander was told
            self._pools = {(pool.namespace, pool.name): pool for pool in pools}
        for gone in self._soldiers.keys() - soldiers.keys():
            self._roster.remove(gone)
        for registration, beat in soldiers.values():
            self._see(registration, beat)

    async def restore(self) -> None:
        """Tell a ledger that was wiped or rolled back what is known here."""
        for pool in self.pools():
            await self._ledger.save_pool(pool)
        for instance, seen in tuple(self._soldiers.items()):
            await self._ledger.save_soldier(seen.registration)
            if seen.beat is not None:
                await self._ledger.save_beat(instance, seen.beat)

    def start_anew(self) -> None:
        """Give everybody a whole lease again: this Commander could not hear for a while."""
        now = self._clock.monotonic()
        for seen in tuple(self._soldiers.values()):
            self._roster.put(msgspec.structs.replace(seen, moved_at=now))

    def _see(self, registration: Registration, beat: Beat | None) -> None:
        seen = self._soldiers.get(registration.instance)
        if seen is not None and _number(beat) <= _number(seen.beat):
            if seen.registration != registration:
                size = size_of(registration)
                self._roster.put(msgspec.structs.replace(seen, registration=registration, size_bytes=size))
            return
        is_same = seen is not None and seen.registration == registration
        size = seen.size_bytes if seen is not None and is_same else size_of(registration)
        now = self._clock.monotonic()
        self._roster.put(Seen(registration=registration, beat=beat, moved_at=now, size_bytes=size))


def _number(beat: Beat | None) -> int:
    return beat.beat if beat else -1


def _handles(seen: Seen, mission_type: str) -> bool:
    return any(info.name == mission_type for info in seen.registration.types)
