"""Orders that vanished (a queue was deleted or purged) are published again, under the same epoch.

The broker is asked by passive declares alone, a few for each pool that has orders out; a mission costs nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec
import structlog

from mission_broker.port import Broker, BrokerAwayError
from mission_commander.domain import vanishing
from mission_commander.domain.memory import MissionMemory, PoolKey
from mission_commander.domain.record import Phase
from mission_commander.domain.vanishing import Hand, Sight
from mission_commander.ports import EraChangedError, Ledger, LedgerAwayError, OutboxEntry
from mission_commander.services.counts import Counts
from mission_commander.services.garrison import Garrison
from mission_commander.services.outbox import Outbox
from mission_contracts import metrics, telemetry, topology
from mission_contracts import mission as m
from mission_contracts.clock import Clock
from mission_contracts.mission import Priority

BEATS_BETWEEN: Final = 2
SLACK_SECONDS: Final = 0.5
"""Beats that other Commanders were told are heard of so much later."""
MOST_SCANNED: Final = 20_000
"""Orders of one pool that one look goes through while something waits in its queues, the oldest first."""
MOST_OF_EMPTY_QUEUES: Final = 100_000
"""As many where nothing waits: those that are published again come out of the way by and by."""
MOST_OF_A_QUEUE: Final = 2_000
"""Of these, how many are followed of a queue that is not empty: what vanished comes to the front in time."""
ASKED_AT_ONCE: Final = 1_000
READ_AT_ONCE: Final = 1_000

QueueKey = tuple[PoolKey, Priority]


class _Again(msgspec.Struct, frozen=True):
    """How often an order was published again, and until when it is left alone."""

    times: int
    until: float


class Vanished:
    """Looks at all queues that should hold something, every two beats."""

    def __init__(
        self,
        ledger: Ledger,
        broker: Broker,
        memory: MissionMemory,
        garrison: Garrison,
        outbox: Outbox,
        clock: Clock,
        *,
        heartbeat_seconds: float,
        lease_seconds: float,
        era: Callable[[], m.Era],
        counts: Counts,
    ) -> None:
        self._ledger = ledger
        self._broker = broker
        self._memory = memory
        self._garrison = garrison
        self._outbox = outbox
        self._clock = clock
        self._between_seconds = BEATS_BETWEEN * heartbeat_seconds + SLACK_SECONDS
        self._lease_seconds = lease_seconds
        self._era = era
        self._counts = counts
        self._sights: dict[QueueKey, Sight] = {}
        self._looked_at = clock.monotonic()
        self._again: dict[Hand, _Again] = {}
        self._log = structlog.get_logger("vanished")

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._between_seconds)
            try:
                await self.look()
            except (LedgerAwayError, EraChangedError, BrokerAwayError):
                self._sights.clear()  # what was seen before a fault proves nothing after it

    async def look(self) -> None:
        """Take one look at every queue; publish again what both looks say has vanished."""
        if self._outbox.is_stopped or self._broker.away is not None:
            self._sights.clear()
            return
        last, self._looked_at = self._looked_at, self._clock.monotonic()
        in_hand = self._garrison.in_hand()
        sights: dict[QueueKey, Sight] = {}
        lost: list[Hand] = []
        for pool in self._memory.pools():
            if not self._memory.count(pool, Phase.OUT):
                continue
            found = await self._look_at(pool, in_hand.get(pool, set()))
            sights |= found
            if self._all_have_spoken(pool, since=last):
                lost += [hand for key, sight in found.items() for hand in self._vanished(key, sight)]
        self._sights = sights
        await self._publish_again(lost)

    def _all_have_spoken(self, pool: PoolKey, *, since: float) -> bool:
        """Each soldier of the pool said what it has since the last look; who is silent for a lease says nothing."""
        now = self._clock.monotonic()
        moved = [seen.moved_at for seen in self._garrison.soldiers().values() if seen.pool == pool]
        return all(at > since or now - at > self._lease_seconds for at in moved)

    async def _look_at(self, pool: PoolKey, in_hand: set[Hand]) -> dict[QueueKey, Sight]:
        empty = {priority: await self._is_empty(pool, priority) for priority in Priority}
        now = self._clock.now()
        found: dict[QueueKey, Sight] = {}
        for priority, out in (await self._out(pool, empty)).items():
            before = self._sights.get((pool, priority))
            hands = [hand for hand in out if hand not in in_hand]
            nowhere = await self._confirmed(hands, before)
            found[pool, priority] = vanishing.seen(before, is_empty=empty[priority], nowhere=nowhere, now=now)
        return found

    async def _is_empty(self, pool: PoolKey, priority: Priority) -> bool:
        """Also a queue that does not exist is empty."""
        return not await self._broker.ready_count(topology.orders_of(*pool, priority))

    async def _out(self, pool: PoolKey, empty: Mapping[Priority, bool]) -> Mapping[Priority, Sequence[Hand]]:
        limit = MOST_OF_EMPTY_QUEUES if all(empty.values()) else MOST_SCANNED
        by_priority: defaultdict[Priority, list[Hand]] = defaultdict(list)
        missions = iter(self._memory.in_phase(pool, Phase.OUT, limit=limit))
        while some := [(one.envelope.priority, (one.id, one.epoch)) for one in islice(missions, READ_AT_ONCE)]:
            for priority, hand in some:
                by_priority[priority].append(hand)
            await asyncio.sleep(0)
        return {key: all_ if empty[key] else all_[:MOST_OF_A_QUEUE] for key, all_ in by_priority.items()}

    async def _confirmed(self, hands: Sequence[Hand], before: Sight | None) -> list[Hand]:
        """Those that have left the outbox. What has left it once is not asked about again."""
        known = before.nowhere if before else {}
        waiting = await self._unconfirmed([hand for hand in hands if hand not in known])
        return [hand for hand in hands if hand not in waiting]

    async def _unconfirmed(self, hands: Sequence[Hand]) -> set[Hand]:
        waiting: set[Hand] = set()
        for start in range(0, len(hands), ASKED_AT_ONCE):
            some = hands[start : start + ASKED_AT_ONCE]
            told = await self._ledger.unconfirmed([OutboxEntry(*hand) for hand in some])
            waiting |= {hand for hand, is_waiting in zip(some, told, strict=True) if is_waiting}
        return waiting

    def _vanished(self, key: QueueKey, sight: Sight) -> Iterable[Hand]:
        now = self._clock.monotonic()
        lost = vanishing.vanished(self._sights.get(key), sight, self._memory.newest_claimed(*key))
        return (hand for hand in lost if hand not in self._again or now >= self._again[hand].until)

    async def _publish_again(self, lost: Sequence[Hand]) -> None:
        self._again = {hand: one for hand, one in self._again.items() if self._is_out(hand)}
        for start in range(0, len(lost), ASKED_AT_ONCE):
            await self._put_back(lost[start : start + ASKED_AT_ONCE])

    async def _put_back(self, some: Sequence[Hand]) -> None:
        taken = await self._unconfirmed(some)  # by another Commander, which looks as this one does
        lost = [hand for hand in some if hand not in taken and self._is_out(hand)]
        if not lost:
            return
        entries = [OutboxEntry(*hand) for hand in lost]
        await self._ledger.put_back(self._era(), entries)
        self._outbox.add_entries(entries)
        self._sights = {key: vanishing.without(sight, set(lost)) for key, sight in self._sights.items()}
        for hand in lost:
            self._note(hand)

    def _is_out(self, hand: Hand) -> bool:
        mission = self._memory.get(hand[0])
        return mission is not None and mission.phase is Phase.OUT and mission.epoch == hand[1]

    def _note(self, hand: Hand) -> None:
        times = self._again[hand].times + 1 if hand in self._again else 0
        self._again[hand] = _Again(times, self._clock.monotonic() + vanishing.pause_seconds(times))
        self._counts.add(metrics.REPUBLISHED)
        fields = {telemetry.MISSION_ID: hand[0], telemetry.EPOCH: hand[1]}
        self._log.warning("an order vanished from its queue; published again under the same epoch", **fields)
