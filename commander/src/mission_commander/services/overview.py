"""What `GET /status` tells: how much there is of everything, and what state this Commander is in."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from mission_broker.port import Broker, BrokerAwayError
from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.record import Phase
from mission_commander.ports import Ledger, LedgerAwayError, OutboxEntry, Totals
from mission_commander.services.counts import Counts
from mission_commander.services.duty import Duty
from mission_commander.services.outbox import Outbox
from mission_commander.services.vitals import Vitals
from mission_contracts import metrics, topology
from mission_contracts import mission as m
from mission_contracts.clock import Clock
from mission_contracts.mission import MissionState
from mission_contracts.rest import OutboxView, StatusView

_WORDS: Final[Mapping[str, metrics.Metric]] = {
    "claims": metrics.CLAIMS,
    "reports": metrics.REPORTS,
    "reports dropped": metrics.REPORTS_DROPPED,
    "reports asked again": metrics.REPORTS_ASKED_AGAIN,
    "orders republished": metrics.REPUBLISHED,
    "messages rejected": metrics.REJECTED,
}
"""What `counts` tells, in a person's words; `GET /metrics` has everything."""


class Overview:
    """Asks everybody. What cannot be asked now is null, and never keeps the rest from being told."""

    def __init__(
        self,
        ledger: Ledger,
        broker: Broker,
        memory: MissionMemory,
        outbox: Outbox,
        vitals: Vitals,
        duty: Duty,
        clock: Clock,
        *,
        era: Callable[[], m.Era],
        counts: Counts,
    ) -> None:
        self._ledger = ledger
        self._broker = broker
        self._memory = memory
        self._outbox = outbox
        self._vitals = vitals
        self._duty = duty
        self._clock = clock
        self._era = era
        self._counts = counts

    async def view(self) -> StatusView:
        totals, health, phases = await self.totals(), self._vitals.health(), self._memory.phases()
        return StatusView(
            era=self._era(),
            live=self._memory.live_count(),
            states={
                MissionState.QUEUED: phases[Phase.WAITING] + phases[Phase.OUT],
                MissionState.IN_PROGRESS: phases[Phase.CLAIMED],
            },
            waiting=phases[Phase.WAITING],
            due=self._memory.due_count(self._clock.now()),
            outbox=self._outbox_view(totals),
            dead_letters=totals.dead_letters if totals else None,
            rejected=await self.rejected(),
            reaper=self._duty.is_on_duty,
            ledger=health.parts["ledger"],
            broker=health.parts["broker"],
            durability=health.durability,
            counts=dict(sorted(_worded(self._counts))),
        )

    async def totals(self) -> Totals | None:
        try:
            return await self._ledger.totals()
        except LedgerAwayError:
            return None

    async def rejected(self) -> int | None:
        """How many messages nobody could read."""
        try:
            return await self._broker.ready_count(topology.REJECTED)
        except BrokerAwayError:
            return None

    def oldest_seconds(self, totals: Totals | None) -> float | None:
        """How long the hand-out that has been in the outbox longest is there."""
        oldest = totals.oldest if totals else None
        handed_out_at = self._handed_out_at(oldest) if oldest else None
        return None if handed_out_at is None else max(0.0, self._clock.now() - handed_out_at)

    def _outbox_view(self, totals: Totals | None) -> OutboxView:
        return OutboxView(
            depth=totals.outbox if totals else self._outbox.depth,
            oldest_seconds=self.oldest_seconds(totals),
            stopped=self._outbox.is_stopped,
        )

    def _handed_out_at(self, entry: OutboxEntry) -> float | None:
        mission = self._memory.get(entry.mission_id)
        return mission.handed_out_at if mission is not None and mission.epoch == entry.epoch else None


def _worded(counts: Counts) -> Iterator[tuple[str, int]]:
    for word, metric in _WORDS.items():
        for labels, number in counts.of(metric).items():
            yield ": ".join((word, *labels)), number
