"""Objects that left the watch of what lives: they ended, or they were deleted, and the watch does not say which.

It shows them as they were before. Mostly it was our own write that ended them, and its answer comes a moment later
than the watch; only of the others the API server is asked.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import structlog

from mission_contracts.mission import MissionId
from mission_operator.backoff import Backoff
from mission_operator.kube import Answer, KubeAwayError
from mission_operator.missions.observing import Observed

_log: Final = structlog.get_logger()
_GRACE_SECONDS: Final = 0.05
_AT_ONCE: Final = 8


class ReadingMissions(Protocol):
    """The API server, as far as this question goes."""

    async def read(self, namespace: str, name: str) -> Answer: ...


class Leavers:
    """Finds out what became of each."""

    def __init__(
        self,
        objects: ReadingMissions,
        *,
        has_ended: Callable[[MissionId], bool],
        on_ended: Callable[[Observed, Mapping[str, Any] | None], None],
        on_gone: Callable[[Observed], None],
    ) -> None:
        self._objects = objects
        self._has_ended = has_ended
        self._on_ended = on_ended
        self._on_gone = on_gone
        self._ready: asyncio.Queue[Observed] = asyncio.Queue()

    def take(self, observed: Observed) -> None:
        """Find out about this one, as it was last seen."""
        asyncio.get_running_loop().call_later(_GRACE_SECONDS, self._ready.put_nowait, observed)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            observed = await self._ready.get()
            try:
                await self._settle(observed)
            except Exception as error:  # noqa: BLE001 - one object must not end the service of all others
                _log.error("what became of an object is not known", name=observed.name, why=repr(error))

    async def _settle(self, observed: Observed) -> None:
        backoff = Backoff(last=2.0)
        while not self._has_ended(observed.mission_id):
            answer = await self._ask(observed)
            if answer is not None:
                self._tell(observed, answer)
                return
            await asyncio.sleep(backoff.next())
        self._on_ended(observed, None)

    async def _ask(self, observed: Observed) -> Answer | None:
        try:
            answer = await self._objects.read(observed.namespace, observed.name)
        except KubeAwayError:
            return None
        return answer if answer.names_no_object or answer.is_ok else None

    def _tell(self, observed: Observed, answer: Answer) -> None:
        body = answer.object() if answer.is_ok else None
        if body is None or body["metadata"]["uid"] != observed.mission_id:
            self._on_gone(observed)
        else:
            self._on_ended(observed, body)
