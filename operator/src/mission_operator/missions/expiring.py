"""Deleting finished Missions when their time is over (`ttlSecondsAfterFinished`)."""

import asyncio
import heapq
from datetime import datetime
from typing import Final, Protocol

import msgspec
import structlog

from mission_contracts.clock import Clock
from mission_contracts.mission import MissionId
from mission_operator.kube import Answer, KubeAwayError

_log: Final = structlog.get_logger()
_AGAIN_SECONDS: Final = 5.0


class Deleting(Protocol):
    """The API server, as far as deletions go."""

    async def delete(self, namespace: str, name: str, mission_id: MissionId) -> Answer: ...


class _Due(msgspec.Struct, frozen=True, order=True):
    at: float
    namespace: str
    name: str
    mission_id: MissionId


class Expiry:
    """Objects to delete, by moment. A restart plans anew from what the objects show."""

    def __init__(self, api: Deleting, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._due: list[_Due] = []
        self._planned: dict[MissionId, float] = {}
        self._changed = asyncio.Event()

    def plan(self, mission_id: MissionId, namespace: str, name: str, at: datetime) -> None:
        """Delete it at this moment, whatever was planned before."""
        moment = at.timestamp()
        if self._planned.get(mission_id) == moment:
            return
        self._planned[mission_id] = moment
        heapq.heappush(self._due, _Due(moment, namespace, name, mission_id))
        self._changed.set()

    def drop(self, mission_id: MissionId) -> None:
        """Leave it: it is gone, or it may stay."""
        self._planned.pop(mission_id, None)

    async def run(self) -> None:
        """Delete until cancelled."""
        while True:
            self._changed.clear()
            while self._due and self._due[0].at <= self._clock.now():
                due = heapq.heappop(self._due)
                if self._planned.get(due.mission_id) == due.at:
                    await self._delete(due)
            await self._sleep()

    async def _sleep(self) -> None:
        # The wall clock may be set: look again each minute at the latest.
        wait = min(self._due[0].at - self._clock.now(), 60.0) if self._due else None
        try:
            async with asyncio.timeout(wait):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _delete(self, due: _Due) -> None:
        try:
            answer = await self._api.delete(due.namespace, due.name, due.mission_id)
        except KubeAwayError as error:
            self._again(due, str(error))
            return
        if answer.status >= 500 or answer.status in {401, 403, 429}:
            self._again(due, answer.message)
        else:
            self._planned.pop(due.mission_id, None)

    def _again(self, due: _Due, why: str) -> None:
        _log.warning("a finished mission could not be deleted yet", name=due.name, why=why)
        again = msgspec.structs.replace(due, at=self._clock.now() + _AGAIN_SECONDS)
        self._planned[due.mission_id] = again.at
        heapq.heappush(self._due, again)
