"""Whose tokens are refused before their time: heard from the store within a fraction of a second, asked in no time."""

import asyncio
from typing import Final

import structlog

from mission_commander.domain.users import Revocation
from mission_commander.ports import LedgerAwayError
from mission_commander.services.user_store import UserStore
from mission_contracts.clock import Clock
from mission_contracts.tokens import Holder

WAIT_SECONDS: Final = 0.3
"""How long one question waits for news. Each answer, also an empty one, says that nothing was missed until now."""
AT_ONCE_SECONDS: Final = 0.001
CURRENT_SECONDS: Final = 1.0
"""Silence of the store for longer means that somebody may be out, and we do not know."""
RETRY_SECONDS: Final = 0.1
FORGET_SECONDS: Final = 60.0
"""How often what is over is looked for: there may be many, and nobody is waiting for it."""


class Revocations:
    """What this Commander has heard."""

    def __init__(self, store: UserStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._until: dict[str, float] = {}
        self._place = ""
        self._heard_at: float | None = None
        self._forget_at = clock.monotonic()
        self._log = structlog.get_logger("revocations")

    @property
    def are_known(self) -> bool:
        """True once everything that was revoked before our start has been heard."""
        return self._heard_at is not None

    @property
    def are_current(self) -> bool:
        return self._heard_at is not None and self._clock.monotonic() - self._heard_at <= CURRENT_SECONDS

    def covers(self, holder: Holder) -> bool:
        return holder.family in self._until or holder.account in self._until

    def add(self, revocation: Revocation) -> None:
        """Know at once what was revoked here."""
        self._until[revocation.revoked] = max(revocation.until, self._until.get(revocation.revoked, 0))

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self.listen()
            except LedgerAwayError as error:
                if self._heard_at is not None and self.are_current:
                    self._log.warning("revocations cannot be heard now: admins wait", why=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def listen(self) -> None:
        """Ask once, and wait a moment for news; not the first time: until then nobody is let in."""
        wait_seconds = WAIT_SECONDS if self.are_known else AT_ONCE_SECONDS
        self._place, heard = await self._store.revocations(self._place, wait_seconds=wait_seconds)
        for revocation in heard:
            self.add(revocation)
        self._heard_at = self._clock.monotonic()
        if self._heard_at >= self._forget_at:
            self._forget_at = self._heard_at + FORGET_SECONDS
            self._forget()

    def _forget(self) -> None:
        now = self._clock.now()
        for revoked in [revoked for revoked, until in self._until.items() if until <= now]:
            del self._until[revoked]
