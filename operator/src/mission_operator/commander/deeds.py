"""What is told about one mission at a time (cancel, hold, release): kept until the Commander heard it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from mission_contracts.mission import MissionId
from mission_operator.backoff import Backoff
from mission_operator.commander.client import CommanderAwayError, CommanderRefusedError
from mission_operator.commander.reachability import Reachability

_log: Final = structlog.get_logger()

Deed = Callable[[], Awaitable[None]]


class Deeds:
    """Runs deeds a few at a time, the newest of each kind per mission, again and again while the Commander is away."""

    def __init__(self, reachability: Reachability, *, at_once: int = 16) -> None:
        self._reachability = reachability
        self._at_once = at_once
        self._deeds: dict[tuple[MissionId, str], Deed] = {}
        self._ready: asyncio.Queue[tuple[MissionId, str]] = asyncio.Queue()

    def __len__(self) -> int:
        return len(self._deeds)

    def do(self, mission_id: MissionId, kind: str, deed: Deed) -> None:
        """Do it soon; a deed of the same kind that still waits is replaced."""
        key = (mission_id, kind)
        if key not in self._deeds:
            self._ready.put_nowait(key)
        self._deeds[key] = deed

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            mission_id, kind = key = await self._ready.get()
            await self._persist(mission_id, kind, self._deeds.pop(key))

    async def _persist(self, mission_id: MissionId, kind: str, deed: Deed) -> None:
        backoff = Backoff()
        while True:
            try:
                await deed()
            except CommanderAwayError as error:
                self._reachability.failed()
                await asyncio.sleep(backoff.next(error.retry_after_seconds))
            except CommanderRefusedError as error:
                _log.warning("the Commander refused", deed=kind, mission_id=mission_id, why=str(error))
                return
            else:
                self._reachability.answered()
                return
