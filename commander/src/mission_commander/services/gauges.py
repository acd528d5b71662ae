"""What is the case now, for `GET /metrics`: read when it is asked for, so that missions pay nothing for it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final

from mission_broker.port import Broker
from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.record import Phase
from mission_commander.services.counts import Labels
from mission_commander.services.duty import Duty
from mission_commander.services.headroom import Room
from mission_commander.services.overview import Overview
from mission_commander.services.vitals import Vitals
from mission_contracts import metrics
from mission_contracts import mission as m
from mission_contracts.clock import Clock
from mission_contracts.metrics import Metric

MISSIONS_AT_ONCE: Final = 5_000
"""Looked at before everybody else has their turn."""

Values = Mapping[Labels, float]


class Gauges:
    """Asks everybody. A number that cannot be had now is left out: an absent series is honest, a zero is not."""

    def __init__(
        self,
        overview: Overview,
        memory: MissionMemory,
        vitals: Vitals,
        broker: Broker,
        duty: Duty,
        clock: Clock,
        *,
        era: Callable[[], m.Era],
        unaccounted: Callable[[], int],
        room: Callable[[], Room],
    ) -> None:
        self._overview = overview
        self._memory = memory
        self._vitals = vitals
        self._broker = broker
        self._duty = duty
        self._clock = clock
        self._era = era
        self._unaccounted = unaccounted
        self._room = room

    async def read(self) -> Mapping[Metric, Values]:
        """Give every gauge that is known."""
        live = await self._live()
        known: dict[Metric, float | None] = {**await self._of_the_ledger(), **self._of_this_process()}
        known[metrics.REJECTED_DEPTH] = await self._overview.rejected()
        single: dict[Metric, Values] = {metric: {(): value} for metric, value in known.items() if value is not None}
        return {metrics.LIVE: live, **single}

    async def _live(self) -> Values:
        """By state and reason; both are bounded words, also where a newer Commander wrote them."""
        found: Counter[Labels] = Counter()
        missions = self._memory.live()
        while some := [(one.state.value, one.reason.value) for one in islice(missions, MISSIONS_AT_ONCE)]:
            found.update(some)
            await asyncio.sleep(0)
        return dict(found)

    async def _of_the_ledger(self) -> dict[Metric, float | None]:
        totals = await self._overview.totals()
        if totals is None:
            return {}
        oldest = self._overview.oldest_seconds(totals) if totals.oldest else 0.0
        return {
            metrics.OUTBOX_DEPTH: totals.outbox,
            metrics.OUTBOX_OLDEST: oldest,
            metrics.DEAD_LETTERS: totals.dead_letters,
        }

    def _of_this_process(self) -> dict[Metric, float | None]:
        room = self._room()
        return {
            metrics.LEDGER_BYTES: room.used,
            metrics.LEDGER_BYTES_LIMIT: room.limit,
            metrics.LEDGER_BYTES_WATERMARK: room.watermark,
            metrics.DUE: self._memory.due_count(self._clock.now()),
            metrics.OLDEST_ORDER: max(self._ages_of_orders(), default=0.0),
            metrics.LEDGER_UP: not self._vitals.ledger_is_away,
            metrics.BROKER_UP: self._broker.away is None,
            metrics.DURABILITY_WEAK: self._vitals.health().durability == "weak",
            metrics.ON_DUTY: self._duty.is_on_duty,
            metrics.ERA: self._era(),
            metrics.UNACCOUNTED: self._unaccounted(),
        }

    def _ages_of_orders(self) -> Iterator[float]:
        now = self._clock.now()
        for pool in self._memory.pools():
            oldest = self._memory.oldest(pool, Phase.OUT)
            if oldest is not None and oldest.handed_out_at is not None:
                yield max(0.0, now - oldest.handed_out_at)
