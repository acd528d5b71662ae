"""The switch of the outbox relay. It is kept in the ledger, so it holds for every Commander and outlives them all."""

import asyncio
from typing import Final

import structlog

from mission_commander.ports import Ledger, LedgerAwayError
from mission_commander.services.outbox import Outbox

LOOK_SECONDS: Final = 0.5
"""How soon the other Commanders follow."""


class Scheduler:
    """Stops and starts the relay, here at once and everywhere soon."""

    def __init__(self, ledger: Ledger, outbox: Outbox) -> None:
        self._ledger = ledger
        self._outbox = outbox
        self._times_told = 0
        self._log = structlog.get_logger("scheduler")

    @property
    def is_stopped(self) -> bool:
        return self._outbox.is_stopped

    async def stop(self) -> None:
        """Publish no order until it is started. Raises LedgerAwayError: what is not durable would not hold."""
        await self._tell(stopped=True)

    async def start(self) -> None:
        await self._tell(stopped=False)

    async def run(self) -> None:
        """Follow what other Commanders were told, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except LedgerAwayError:
                continue  # the last word holds

    async def look(self) -> None:
        """Do as the ledger says. One that was wiped says nothing: a stop is told to it again."""
        told = self._times_told
        stopped = await self._ledger.scheduler_stopped()
        if told != self._times_told:
            return  # that answer is older than what this Commander was told meanwhile
        if stopped is None and self.is_stopped:
            await self._ledger.save_scheduler(stopped=True)
        elif stopped is not None:
            self._set(stopped=stopped)

    async def _tell(self, *, stopped: bool) -> None:
        self._times_told += 1
        await self._ledger.save_scheduler(stopped=stopped)
        self._times_told += 1
        self._set(stopped=stopped)

    def _set(self, *, stopped: bool) -> None:
        if stopped == self.is_stopped:
            return
        self._log.warning("the outbox relay stops: orders wait" if stopped else "the outbox relay starts")
        if stopped:
            self._outbox.stop()
        else:
            self._outbox.start()
