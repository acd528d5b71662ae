"""How many bytes new work may still take: the ledger's own count at the last look, and what was admitted here since.

The count of each owner (`owner_of`) and of all together is the ledger's, written in the step that writes a record. So
it survives restarts, wipes and rollbacks, and every Commander reads the same. Between two looks each Commander adds
what it admits itself: it never passes a bound by itself, and several pass it by what they admit between two looks.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
import structlog

from mission_commander.domain.owners import Owner, Usage
from mission_commander.domain.unrecorded import Unrecorded
from mission_commander.ports import Ledger, LedgerAwayError, StoreMemory
from mission_contracts.clock import Clock

LOOK_INTERVAL_SECONDS: Final = 0.5
MAX_UNSEEN_SHARE: Final = 0.05
"""Of the watermark: what one Commander admits before it looks again, however soon that is."""
UNSEEN_LEDGER_BYTES: Final = 64 * 1024 * 1024
"""What may be admitted in all before the ledger could be looked at for the first time."""
IDLE_SECONDS: Final = 10.0
"""How long an owner who admits nothing stays among those that are looked at."""
OWNERS_AT_ONCE: Final = 1_000
"""Whose counts are read with one answer."""

_EVERYBODY: Final = ""


class Room(msgspec.Struct, frozen=True):
    """The ledger's memory as it stands. `watermark` is where admission ends; None where it has no bound."""

    used: int
    limit: int | None
    watermark: int | None

    @property
    def is_full(self) -> bool:
        return self.watermark is not None and self.used >= self.watermark

    @property
    def free(self) -> int | None:
        return None if self.watermark is None else max(0, self.watermark - self.used)


class _Account:
    """What one owner has: counted by the ledger, or admitted here and perhaps not in that count yet."""

    __slots__ = ("counted", "is_known", "looked_at", "seen_at", "under_way", "written")

    def __init__(self, now: float) -> None:
        self.counted = Usage()
        self.is_known = False
        self.under_way = 0
        self.written = 0
        self.seen_at = now
        self.looked_at = now

    @property
    def unseen(self) -> int:
        return self.under_way + self.written


class Headroom:
    """Looks at the ledger's memory and counts, and keeps its account of what is admitted meanwhile."""

    def __init__(
        self, ledger: Ledger, unrecorded: Unrecorded, clock: Clock, *, watermark: float, ledger_bytes: int
    ) -> None:
        """`ledger_bytes` bounds a ledger that names no bound itself; 0: nothing does."""
        self._ledger = ledger
        self._unrecorded = unrecorded
        self._clock = clock
        self._watermark = watermark
        self._ledger_bytes = ledger_bytes
        self._memory: StoreMemory | None = None
        self._accounts: dict[Owner, _Account] = {_EVERYBODY: _Account(clock.monotonic())}
        self._looking: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("headroom")

    # Looking.

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except LedgerAwayError:
                self._log.debug("cannot look at the ledger's memory: it is away")
            await asyncio.sleep(LOOK_INTERVAL_SECONDS)

    async def look(self) -> None:
        """Read the ledger's memory and the counts of those who submit. Raises LedgerAwayError."""
        was_full = self.room().is_full
        self._forget_idle()
        await self._ledger.trim_events()
        self._memory = await self._ledger.memory()
        owners = list(self._accounts)
        for start in range(0, len(owners), OWNERS_AT_ONCE):
            await self._count(owners[start : start + OWNERS_AT_ONCE])
        if (room := self.room()).is_full != was_full:
            self._log.warning(
                "the ledger is full: new missions are refused" if room.is_full else "the ledger has room again",
                used=room.used,
                watermark=room.watermark,
            )

    async def freshen(self, owners: Iterable[Owner]) -> None:
        """Make sure that these can be decided on: look again where too much was admitted without a look."""
        try:
            if self._is_stale():
                await self._look_together()
            unknown = [owner for owner in dict.fromkeys(owners) if not self._account(owner).is_known]
            if unknown:
                await self._count(unknown)
        except LedgerAwayError:
            return  # what was counted last stands; all that is admitted without the ledger adds to it

    def _is_stale(self) -> bool:
        most = self.room().watermark
        unseen = self._accounts[_EVERYBODY].unseen
        return most is not None and self._memory is not None and unseen > MAX_UNSEEN_SHARE * most

    async def _look_together(self) -> None:
        """Those who find at once that it is time share one look."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self.look())
        await asyncio.shield(self._looking)

    async def _count(self, owners: list[Owner]) -> None:
        # What was written before the ledger is asked is in its answer; what is under way may be, and counts twice then.
        written = {owner: self._account(owner).written for owner in owners}
        everybody, each = await self._ledger.usage([owner for owner in owners if owner])
        found: Mapping[Owner, Usage] = dict(zip((one for one in owners if one), each, strict=True))
        now = self._clock.monotonic()
        for owner in owners:
            account = self._account(owner)
            account.counted = found.get(owner, everybody)
            account.is_known, account.looked_at = True, now
            account.written -= written[owner]

    def _forget_idle(self) -> None:
        before = self._clock.monotonic() - IDLE_SECONDS
        self._accounts = {
            owner: account
            for owner, account in self._accounts.items()
            if owner == _EVERYBODY or account.unseen or account.seen_at > before
        }

    # Admitting.

    def take(self, owner: Owner, size: int) -> None:
        """Count bytes that are about to be written."""
        for account in (self._account(owner), self._accounts[_EVERYBODY]):
            account.under_way += size
            account.seen_at = self._clock.monotonic()

    def release(self, owner: Owner, size: int, *, is_written: bool) -> None:
        """They are written, or came to nothing, or wait outside of the ledger and count there."""
        for account in (self._account(owner), self._accounts[_EVERYBODY]):
            account.under_way -= size
            account.written += size if is_written else 0

    @property
    def owners(self) -> int:
        """How many are looked at."""
        return len(self._accounts) - 1

    def of(self, owner: Owner) -> Usage:
        """What one owner has by now, at most."""
        return self._usage(self._account(owner), self._unrecorded.bytes_of(owner))

    def of_everybody(self) -> Usage:
        return self._usage(self._accounts[_EVERYBODY], self._unrecorded.bytes)

    def room(self) -> Room:
        """What the ledger has in use by now, at most, and where admission ends."""
        account = self._accounts[_EVERYBODY]
        unseen = account.unseen + self._unrecorded.bytes
        if self._memory is None:
            return Room(unseen, None, UNSEEN_LEDGER_BYTES)
        if self._memory.limit is not None:
            return self._room(self._memory.used + unseen, self._memory.limit)
        return self._room(account.counted.held + unseen, self._ledger_bytes or None)

    def _room(self, used: int, limit: int | None) -> Room:
        return Room(used, limit, None if limit is None else int(self._watermark * limit))

    def _usage(self, account: _Account, unrecorded: int) -> Usage:
        more = account.unseen + unrecorded
        return Usage(held=account.counted.held + more, payload=account.counted.payload + more)

    def _account(self, owner: Owner) -> _Account:
        account = self._accounts.get(owner)
        if account is None:
            account = self._accounts[owner] = _Account(self._clock.monotonic())
        return account
