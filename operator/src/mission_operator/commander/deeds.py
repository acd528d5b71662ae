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
_Key = tuple[MissionId, str]


class Deeds:
    """Runs deeds a few at a time, the newest of each kind per mission, again and again while the Commander is away."""

    def __init__(self, reachability: Reachability, *, at_once: int = 16) -> None:
        self._reachability = reachability
        self._at_once = at_once
        self._deeds: dict[_Key, Deed] = {}
        self._ready: asyncio.Queue[_Key] = asyncio.Queue()

    def __len__(self) -> int:
        return len(self._deeds)

    def do(self, mission_id: MissionId, kind: str, deed: Deed) -> None:
        """Do it soon; it takes the place of one of the same kind that did not succeed yet."""
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
            await self._persist(await self._ready.get())

    async def _persist(self, key: _Key) -> None:
        """Try the newest deed of this key until one was heard that is still the newest: none is overtaken."""
        backoff = Backoff(last=2.0)
        while deed := self._deeds.get(key):
            try:
                await deed()
            except CommanderAwayError as error:
                self._reachability.failed()
                await asyncio.sleep(backoff.next(error.retry_after_seconds))
                continue
            except CommanderRefusedError as error:
                _log.warning("the Commander refused", deed=key[1], mission_id=key[0], why=str(error))
            except Exception as error:  # noqa: BLE001 - what is told of one mission must not end the telling of others
                _log.error("a mission's news could not be told", deed=key[1], mission_id=key[0], why=repr(error))
            else:
                self._reachability.answered()
            if self._deeds[key] is deed:
                del self._deeds[key]
