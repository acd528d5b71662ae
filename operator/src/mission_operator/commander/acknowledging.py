"""Telling the Commander which objects show their end: in batches, and again until it heard."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from mission_contracts.mission import MissionId
from mission_contracts.rest import MAX_BATCH
from mission_operator.backoff import Backoff
from mission_operator.commander.client import CommanderAwayError, CommanderRefusedError
from mission_operator.commander.reachability import Reachability

_log: Final = structlog.get_logger()


class Acknowledging(Protocol):
    """The Commander, as far as acknowledgements go."""

    async def acknowledge(self, ids: Sequence[MissionId]) -> None: ...


_GATHER_SECONDS: Final = 0.2
"""An acknowledgement only frees memory at the Commander, so a busy operator sends few large ones."""


class Acknowledger:
    """Gathers ids and tells them."""

    def __init__(
        self, commander: Acknowledging, reachability: Reachability, on_told: Callable[[MissionId], None]
    ) -> None:
        self._commander = commander
        self._reachability = reachability
        self._on_told = on_told
        self._waiting: dict[MissionId, None] = {}
        self._arrived = asyncio.Event()

    def offer(self, mission_id: MissionId) -> None:
        self._waiting[mission_id] = None
        self._arrived.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        backoff = Backoff()
        while True:
            await self._arrived.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            ids = tuple(self._waiting)[:MAX_BATCH]
            try:
                await self._commander.acknowledge(ids)
            except CommanderAwayError as error:
                self._reachability.failed()
                await asyncio.sleep(backoff.next(error.retry_after_seconds))
            except CommanderRefusedError as error:
                _log.warning("the Commander refused acknowledgements; they are sent again", why=str(error))
                await asyncio.sleep(backoff.next())
            else:
                backoff.reset()
                self._reachability.answered()
                self._done(ids)

    def _done(self, ids: Sequence[MissionId]) -> None:
        for mission_id in ids:
            del self._waiting[mission_id]
            self._on_told(mission_id)
        if not self._waiting:
            self._arrived.clear()
