"""The auditor: compares what the ledger, the outbox, the broker and memory say of each mission, a page at a time.

Nothing here is needed while everything works. It is the net under defects, hands in the database and half-done
restores: what does not agree twice in a row is counted in `missions_unaccounted`, logged by id, and repaired by the
ways that exist. Every Commander looks; what changes the ledger's indexes is done by the one on duty.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

import structlog

from mission_commander.domain.accounts import Account, Fault, Suspicion, suspicion_of
from mission_commander.domain.memory import MissionMemory, PoolKey, pool_of
from mission_commander.domain.record import Mission
from mission_commander.ports import EraChangedError, Kept, Ledger, LedgerAwayError, Listing, OutboxEntry
from mission_commander.services.eras import Eras
from mission_commander.services.garrison import Garrison
from mission_commander.services.outbox import Outbox
from mission_commander.services.recorder import Recorder
from mission_contracts import mission as m
from mission_contracts import telemetry
from mission_contracts.clock import Clock

LOOK_SECONDS: Final = 5.0
"""More than two heartbeats: what was on its way at one look has arrived by the next."""
PAGE: Final = 500
"""Missions of each source that one look goes through; the next look goes on from there."""


class Auditor:
    """Looks at some missions every five seconds, at all of them in turn, and at doubtful ones each time."""

    def __init__(
        self,
        ledger: Ledger,
        memory: MissionMemory,
        recorder: Recorder,
        eras: Eras,
        garrison: Garrison,
        outbox: Outbox,
        clock: Clock,
        *,
        namespace: str,
        ready: Callable[[PoolKey], int | None],
        is_on_duty: Callable[[], bool],
    ) -> None:
        self._ledger = ledger
        self._memory = memory
        self._recorder = recorder
        self._eras = eras
        self._garrison = garrison
        self._outbox = outbox
        self._clock = clock
        self._namespace = namespace
        self._ready = ready
        self._is_on_duty = is_on_duty
        self._suspected: Mapping[m.MissionId, Suspicion] = {}
        self._certain: Mapping[m.MissionId, Suspicion] = {}
        self._after: m.MissionId | None = None
        self._before: tuple[float, m.MissionId] | None = None
        self._known: Iterator[Mission] = iter(())
        self._log = structlog.get_logger("auditor")

    @property
    def unaccounted(self) -> int:
        """How many missions did not add up at the last two looks."""
        return len(self._certain)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except (LedgerAwayError, EraChangedError):
                self._suspected = {}  # what was seen before a fault proves nothing after it

    async def look(self) -> None:
        """Take one look, and repair what was wrong in the same way at the last one."""
        if not await self._recorder.check():
            return  # the ledger lost something: it is restored first
        entries = await self._ledger.outbox(PAGE)
        accounts = await self._accounts(await self._next_ids(entries), {entry.mission_id for entry in entries})
        found = {one.id: suspicion for one in accounts if (suspicion := suspicion_of(one)) is not None}
        self._certain = {one: what for one, what in found.items() if self._suspected.get(one) == what}
        self._suspected = found
        await self._repair({one.id: one for one in accounts if one.id in self._certain}, entries)

    # Looking.

    async def _next_ids(self, entries: Sequence[OutboxEntry]) -> list[m.MissionId]:
        ids = dict.fromkeys(self._suspected)
        ids |= dict.fromkeys(await self._next_live())
        ids |= dict.fromkeys(await self._next_listed())
        ids |= dict.fromkeys(mission.id for mission in self._next_known())
        ids |= dict.fromkeys(entry.mission_id for entry in entries)
        return list(ids)

    async def _next_live(self) -> Sequence[m.MissionId]:
        ids = await self._ledger.live_ids(self._after, PAGE)
        self._after = ids[-1] if len(ids) == PAGE else None
        return ids

    async def _next_listed(self) -> Sequence[m.MissionId]:
        """All missions of the namespace, final ones too: a live one that no index names is found here alone."""
        ids = await self._ledger.list_ids(self._namespace, before=self._before, limit=PAGE)
        last = (await self._ledger.kept(ids[-1:]))[0].mission if len(ids) == PAGE else None
        self._before = (last.envelope.accepted_at, last.id) if last is not None else None
        return ids

    def _next_known(self) -> Sequence[Mission]:
        some = list(islice(self._known, PAGE))
        if len(some) < PAGE:
            self._known = self._memory.live()
        return some

    async def _accounts(self, ids: Sequence[m.MissionId], in_outbox: set[m.MissionId]) -> list[Account]:
        in_hand = self._garrison.in_hand()
        kept = await self._ledger.kept(ids)
        return [
            self._account(mission_id, one, mission_id in in_outbox, in_hand)
            for mission_id, one in zip(ids, kept, strict=True)
        ]

    def _account(
        self,
        mission_id: m.MissionId,
        kept: Kept,
        has_outbox_entry: bool,
        in_hand: Mapping[PoolKey, set[tuple[m.MissionId, m.Epoch]]],
    ) -> Account:
        mission = kept.mission
        return Account(
            id=mission_id,
            kept=mission,
            known=self._memory.get(mission_id),
            is_listed=kept.is_listed,
            is_unconfirmed=kept.is_unconfirmed,
            has_outbox_entry=has_outbox_entry,
            has_moment=self._memory.has_moment(mission_id),
            is_in_hand=mission is not None and (mission.id, mission.epoch) in in_hand.get(pool_of(mission), ()),
            is_queue_empty=mission is not None and self._is_queue_empty(pool_of(mission)),
            retention=self._memory.retention,
        )

    def _is_queue_empty(self, pool: PoolKey) -> bool:
        return not self._outbox.is_stopped and self._ready(pool) == 0

    # Repairing.

    async def _repair(self, accounts: Mapping[m.MissionId, Account], entries: Sequence[OutboxEntry]) -> None:
        wrong = [(self._certain[one].fault, account) for one, account in accounts.items()]
        for fault, account in wrong:
            fields = {telemetry.MISSION_ID: account.id, "fault": fault.value}
            self._log.warning("a mission is not accounted for; it is repaired", **fields)
        if any(fault is Fault.LOST for fault, _ in wrong):
            self._eras.suspect(
                self._recorder.era, by="the auditor"
            )  # a new era begins, and everybody restores what they hold
            return
        self._hear(account for fault, account in wrong if fault is Fault.UNHEARD)
        self._set_moments(account for fault, account in wrong if fault is Fault.NO_MOMENT)
        strays = {account.id for fault, account in wrong if fault is Fault.STRAY_ORDER}
        self._outbox.add_entries(entry for entry in entries if entry.mission_id in strays)
        await self._list_anew([account for fault, account in wrong if fault in {Fault.DANGLING, Fault.UNLISTED}])
        # An order that is nowhere is published again by `Vanished`, which asks the broker itself.

    def _hear(self, accounts: Iterable[Account]) -> None:
        for account in accounts:
            if account.kept is not None:
                self._memory.apply(account.kept)

    def _set_moments(self, accounts: Iterable[Account]) -> None:
        for account in accounts:
            self._memory.look_again_unless_armed(account.id, self._clock.now())

    async def _list_anew(self, accounts: Sequence[Account]) -> None:
        if accounts and self._is_on_duty():
            await self._ledger.relist(self._recorder.era, [_listing(account) for account in accounts])


def _listing(account: Account) -> Listing:
    kept = account.kept
    sequence = kept.sequence if kept is not None else m.Sequence(0)
    return Listing(account.id, sequence, is_live=kept is not None and not kept.is_final)
