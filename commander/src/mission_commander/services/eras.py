"""The ledger's lifetimes: beginning one, and restoring what this Commander remembers after a wipe."""

import asyncio
from itertools import islice
from typing import Final

import structlog

from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.record import Phase
from mission_commander.ports import Change, EraChangedError, Ledger, LedgerAwayError
from mission_commander.services.garrison import Garrison
from mission_commander.services.recorder import Recorder
from mission_contracts import mission as m
from mission_contracts.clock import Clock

BATCH: Final = 500
RETRY_SECONDS: Final = 0.2


async def open_era(ledger: Ledger, clock: Clock, *, above: m.Era = m.Era(0)) -> m.Era:  # noqa: B008  # frozen int
    """Give the era in force, beginning one, in Unix minutes, where there is none."""
    era = await ledger.era()
    return era if era is not None else await ledger.begin_era(m.Era(max(int(clock.now() // 60), above + 1)))


class Restorer:
    """Notices a wipe, begins a new era, and writes back what memory holds."""

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
        recorder.on_era_change(self._wanted.set)

    async def run(self) -> None:
        """Restore whenever the era has changed, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.restore()
            except (LedgerAwayError, EraChangedError):
                self._wanted.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def restore(self) -> None:
        """Bring the ledger's new era to know all that this Commander knows."""
        pools = tuple(self._garrison.pools())
        era = await open_era(self._ledger, self._clock, above=self._recorder.era)
        missions = [*self._memory.live(), *self._memory.finals()]
        self._log.warning("the ledger was wiped; restoring it from memory", era=era, missions=len(missions))
        for pool in pools:
            await self._ledger.save_pool(pool)
        source = iter(missions)
        while batch := list(islice(source, BATCH)):
            await self._ledger.commit(era, [self._change(mission.id) for mission in batch])
        self._recorder.era = era

    def _change(self, mission_id: m.MissionId) -> Change:
        mission = self._memory.get(mission_id)
        if mission is None:
            raise LedgerAwayError("memory changed while it was restored; it is restored again")
        return Change(
            mission=mission,
            expected=m.Sequence(0),
            payload=self._memory.payload(mission_id) or b"{}",
            hands_out=mission.phase is Phase.OUT,
        )
