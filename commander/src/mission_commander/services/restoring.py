"""Writing back what this Commander remembers, after the ledger was wiped or rolled back: by maximum, final wins."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

import structlog

from mission_commander.domain import life
from mission_commander.domain.life import EraFullError, Moment
from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.record import Mission, Phase
from mission_commander.ports import Change, Conflict, EraChangedError, Ledger, LedgerAwayError
from mission_commander.services.differences import purged_of, reconciled
from mission_commander.services.eras import Eras
from mission_commander.services.recorder import Recorder
from mission_contracts import mission as m
from mission_contracts.clock import Clock

MAX_BATCH: Final = 500
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
"""Of payloads that one batch writes, unless a single one has more."""
RETRY_SECONDS: Final = 0.2
LOOK_SECONDS: Final = 1.0
"""How often the ledger is looked at, since one that was wiped in a quiet hour refuses nothing."""

RestoreMore = Callable[[], Awaitable[None]]
"""Writes back what else a Commander remembers beside missions: pools, soldiers, the marks of lanes."""


class Restorer:
    """Notices a loss, has a new era agreed on, and restores while the Commander works on.

    A decision on a mission that is not restored yet restores that mission by itself.
    """

    def __init__(
        self,
        ledger: Ledger,
        recorder: Recorder,
        memory: MissionMemory,
        eras: Eras,
        clock: Clock,
        more: Sequence[RestoreMore] = (),
    ) -> None:
        self._ledger = ledger
        self._recorder = recorder
        self._memory = memory
        self._eras = eras
        self._clock = clock
        self._more = more
        self._is_whole = True
        self._log = structlog.get_logger("restorer")

    async def run(self) -> None:
        """Restore whenever the ledger has lost something, until cancelled."""
        while True:
            await self._eras.wanted(within_seconds=LOOK_SECONDS)
            try:
                await self.look()
            except (LedgerAwayError, EraChangedError, EraFullError):
                await asyncio.sleep(RETRY_SECONDS)

    async def look(self) -> None:
        """Compare, and restore what is missing. Raises LedgerAwayError, EraChangedError."""
        is_known = await self._recorder.check()
        if (not is_known or self._eras.is_in_doubt) and await self._eras.agree():
            self._is_whole = False
        if not self._is_whole:
            await self.restore()
            self._is_whole = True

    async def restore(self) -> None:
        """Bring the ledger to know all that this Commander knows."""
        await self._recorder.quiet()  # what was committed just before the loss is in memory then
        era = self._recorder.era
        for restore in self._more:
            await restore()
        self._memory.forget_ended(self._clock.now())
        ids = [*self._memory.live_ids(), *(mission.id for mission in self._memory.finals())]
        self._log.warning("the ledger has lost records; restoring it from memory", era=era, missions=len(ids))
        for batch in self._batches(ids):
            await self._restore(era, batch)
        self._log.info("the ledger knows again what this Commander knows", era=era)

    def _batches(self, ids: Sequence[m.MissionId]) -> Iterator[list[m.MissionId]]:
        batch: list[m.MissionId] = []
        room = MAX_BATCH_BYTES
        for mission_id in ids:
            size = len(self._memory.payload(mission_id) or b"")
            if batch and (len(batch) == MAX_BATCH or size > room):
                yield batch
                batch, room = [], MAX_BATCH_BYTES
            batch.append(mission_id)
            room -= size
        if batch:
            yield batch

    async def _restore(self, era: m.Era, ids: Sequence[m.MissionId]) -> None:
        """Write what the ledger lacks; what another Commander writes at the same time is compared anew."""
        while ids:
            stored = dict(zip(ids, await self._ledger.records(ids), strict=True))
            moment = Moment(self._clock.now(), era)
            lacking = [one for one, found in stored.items() if found is None]
            for mission_id in await purged_of(self._ledger, self._memory, lacking, moment.now):
                self._memory.forget(mission_id)
            changes = [change for i in ids if (change := self._change(i, stored[i], moment)) is not None]
            outcomes = await self._ledger.commit(era, changes) if changes else ()
            for change, outcome in zip(changes, outcomes, strict=True):
                if not isinstance(outcome, Conflict):
                    self._memory.apply(change.mission, change.payload)
            ids = [c.mission.id for c, o in zip(changes, outcomes, strict=True) if isinstance(o, Conflict)]

    def _change(self, mission_id: m.MissionId, current: Mission | None, moment: Moment) -> Change | None:
        known, retention = self._memory.get(mission_id), self._memory.retention
        if known is None or retention.is_over(known, moment.now):
            return None  # purged, or about to be, or an old final one, which made room for a newer one
        payload = self._memory.payload(mission_id)
        wanted = reconciled(known, current, moment, retention, payload=payload)
        if wanted is not None and wanted.payload_lost and payload:
            wanted = life.find_payload(wanted, moment)
        if wanted is None or wanted is current:
            return None
        return Change(
            mission=wanted,
            expected=current.sequence if current else m.Sequence(0),
            payload=payload,
            hands_out=wanted.phase is Phase.OUT,
            replaces=current is not None and retention.is_earlier_life(current, wanted),
        )
