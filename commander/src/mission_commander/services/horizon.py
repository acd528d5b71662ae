"""What this Commander knows of the ledger's lifetime: the era it works in, and the newest event it saw there."""

import asyncio

from mission_commander.ports import NO_EVENT, EventId, order_of
from mission_commander.services.patience import happens
from mission_contracts import mission as m


class Horizon:
    """A commit carries both: a ledger that was wiped or rolled back refuses it."""

    def __init__(self, era: m.Era) -> None:
        self.era = era
        self.seen: EventId = NO_EVENT
        self.floor = 0
        """The highest number of a purged record, as far as this Commander knows."""
        self._entered = asyncio.Event()

    def enter(self, era: m.Era) -> None:
        """Work in another era: what was seen in the last one may be lost."""
        self.era = era
        self.seen = NO_EVENT
        self._entered.set()
        self._entered = asyncio.Event()

    async def leaves(self, era: m.Era, *, within_seconds: float) -> bool:
        """Wait until this Commander works in another era than the one given; False when the time is over."""
        return self.era != era or await happens(self._entered, within_seconds=within_seconds)

    def rise_to(self, floor: int) -> None:
        """Note the ledger's purge floor: the next mission that is new begins above it."""
        self.floor = max(self.floor, floor)

    def saw(self, event: EventId, era: m.Era) -> None:
        """Note an event, by the era that was in force here when it was asked for."""
        if era == self.era and order_of(event) > order_of(self.seen):
            self.seen = event
