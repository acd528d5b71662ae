"""The ledger's lifetimes: beginning one, and restoring what this Commander remembers after a wipe or a rollback."""

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Final

import structlog

from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.record import Mission, Phase
from mission_commander.ports import Change, Conflict, EraChangedError, Ledger, LedgerAwayError, Stored
from mission_commander.services.garrison import Garrison
from mission_commander.services.patience import happens
from mission_commander.services.recorder import Recorder
from mission_contracts import mission as m
from mission_contracts.clock import Clock

BATCH: Final = 500
RETRY_SECONDS: Final = 0.2
LOOK_SECONDS: Final = 1.0
"""How often the era is looked at, since a ledger that was wiped in a quiet hour refuses nothing."""


async def open_era(ledger: Ledger, clock: Clock, *, above: m.Era = m.Era(0)) -> m.Era:  # noqa: B008  # frozen int
    """Give the era in force, beginning one, in Unix minutes, where there is none."""
    era = await ledger.era()
    return era if era is not None else await ledger.begin_era(m.Era(max(int(clock.now() // 60), above + 1)))


class Restorer:
    """Notices a loss, begins a new era after a wipe, and writes back what memory holds."""

    def __init__(
        self, ledger: Ledger, recorder: Recorder, memory: MissionMemory, garrison: Garrison, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._recorder = recorder
        self._memory = memory
        self._garrison = garrison
        self._clock = clock
        self._wanted = asyncio.Event()
        self._log = structlog.get_logger("restorer")
        recorder.on_loss(self._wanted.set)

    async def run(self) -> None:
        """Restore whenever the ledger has lost something, until cancelled."""
        while True:
            await happens(self._wanted, within_seconds=LOOK_SECONDS)
            if not await self._is_wanted():
                continue
            self._wanted.clear()
            try:
                await self.restore()
            except (LedgerAwayError, EraChangedError):
                self._wanted.set()
                await asyncio.sleep(RETRY_SECONDS)

    def want(self) -> None:
        """Restore soon: the ledger knows less than it did."""
        self._wanted.set()

    async def _is_wanted(self) -> bool:
        if self._wanted.is_set():
            return True
        try:
            return await self._ledger.era() != self._recorder.era
        except LedgerAwayError:
            return False

    async def restore(self) -> None:
        """Bring the ledger to know all that this Commander knows: by maximum, final wins."""
        pools = tuple(self._garrison.pools())
        era = await open_era(self._ledger, self._clock, above=self._recorder.era)
        ids = [mission.id for mission in (*self._memory.live(), *self._memory.finals())]
        self._log.warning("the ledger has lost records; restoring it from memory", era=era, missions=len(ids))
        for pool in pools:
            await self._ledger.save_pool(pool)
        source = iter(ids)
        while batch := list(islice(source, BATCH)):
            await self._restore(era, batch)
        self._recorder.era = era

    async def _restore(self, era: m.Era, ids: Sequence[m.MissionId]) -> None:
        """Write what the ledger lacks; what another Commander writes at the same time is compared anew."""
        while ids:
            stored = await self._ledger.fetch(ids)
            changes = [change for i, s in zip(ids, stored, strict=True) if (change := self._change(i, s))]
            outcomes = await self._ledger.commit(era, changes) if changes else ()
            ids = [c.mission.id for c, o in zip(changes, outcomes, strict=True) if isinstance(o, Conflict)]

    def _change(self, mission_id: m.MissionId, stored: Stored | None) -> Change | None:
        mission = self._memory.get(mission_id)
        if mission is None:
            return None  # an old final one, which made room for a newer one
        if stored is not None and _is_ahead(stored.mission, mission):
            if stored.mission.sequence < mission.sequence:
                self._memory.forget(mission_id)
            self._memory.apply(stored.mission)
            return None
        return Change(
            mission=mission,
            expected=stored.mission.sequence if stored else m.Sequence(0),
            payload=None if stored else (self._memory.payload(mission_id) or b"{}"),
            hands_out=mission.phase is Phase.OUT,
        )


def _is_ahead(stored: Mission, known: Mission) -> bool:
    if stored.is_final is not known.is_final:
        return stored.is_final
    return stored.sequence >= known.sequence
