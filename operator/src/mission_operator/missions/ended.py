"""Ended Missions that have a time to live, by a list and a watch of their own beside kopf's, which leaves them out.

Nobody waits for them: the list goes slowly, so that a start among many costs the API server little at a time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, Protocol

import structlog

from mission_operator.backoff import Backoff
from mission_operator.kube import KubeAwayError, WatchExpiredError

_log: Final = structlog.get_logger()
_PAUSE_SECONDS: Final = 0.5
"""Between two pages."""
_STEADY_SECONDS: Final = 60.0
"""What was followed for so long is listed again at once when it breaks."""


class EndedMissions(Protocol):
    """The API server, as far as these objects go."""

    async def ended_version(self) -> str: ...
    def ended_pages(self) -> AsyncIterator[tuple[dict[str, Any], ...]]: ...
    def ended_events(self, version: str) -> AsyncIterator[dict[str, Any]]: ...


Look = Callable[[Mapping[str, Any], bool], None]
"""Takes an object's body, and whether it needs no deletion any more."""


class EndedFollower:
    """Calls back with each, first and whenever it changes."""

    def __init__(self, objects: EndedMissions, look: Look, *, pause_seconds: float = _PAUSE_SECONDS) -> None:
        self._objects = objects
        self._look = look
        self._pause_seconds = pause_seconds

    async def run(self) -> None:
        """Follow until cancelled."""
        backoff = Backoff(first=0.5, last=30)
        loop = asyncio.get_running_loop()
        while True:
            began_at = loop.time()
            try:
                await self._follow()
            except* (KubeAwayError, WatchExpiredError) as errors:
                _log.info("ended missions are listed again", why=str(errors.exceptions[0]))
            if loop.time() - began_at > _STEADY_SECONDS:
                backoff.reset()
            await asyncio.sleep(backoff.next())

    async def _follow(self) -> None:
        # The watch begins before the list: what changes meanwhile is in the one, if not in the other.
        async with asyncio.TaskGroup() as group:
            version = await self._objects.ended_version()
            listing = group.create_task(self._list())
            await self._watch(version)
            listing.cancel()

    async def _list(self) -> None:
        async for page in self._objects.ended_pages():
            for body in page:
                self._look(body, False)
            await asyncio.sleep(self._pause_seconds)

    async def _watch(self, version: str) -> None:
        while True:
            async for event in self._objects.ended_events(version):
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self._look(event["object"], event["type"] == "DELETED")
