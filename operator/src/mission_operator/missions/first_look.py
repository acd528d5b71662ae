"""What lives is looked at before kopf lists: a new operator must not be late for it because of all that has ended.

kopf takes every object in its turn, by name, and half a millisecond for each: seconds, where thousands show their end
and wait for somebody to delete them. Listing alone takes a twentieth of that. Whoever is deleted between this look and
kopf's is found gone by the next status that is written to it, or by the next comparison.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, Protocol

import structlog

from mission_operator.kube import KubeAwayError
from mission_operator.missions.observing import shows_end

_log: Final = structlog.get_logger()

_MOST_SECONDS: Final = 3.0
"""Then kopf begins nevertheless: an API server that is so slow is no quicker the second time."""


class Listing(Protocol):
    """The API server, as far as this look goes."""

    def pages(self) -> AsyncIterator[tuple[dict[str, Any], ...]]: ...


class FirstLook:
    """Shows each object that has not ended, once."""

    def __init__(
        self, objects: Listing, look: Callable[[Mapping[str, Any]], None], *, most_seconds: float = _MOST_SECONDS
    ) -> None:
        self._objects = objects
        self._look = look
        self._most_seconds = most_seconds

    async def run(self) -> None:
        """Look; what cannot be listed now is left to kopf."""
        try:
            async with asyncio.timeout(self._most_seconds):
                async for page in self._objects.pages():
                    self._look_at(page)
        except (KubeAwayError, TimeoutError) as error:
            _log.info("not all that lives was looked at first; it is seen in its turn", why=str(error))

    def _look_at(self, page: tuple[dict[str, Any], ...]) -> None:
        for body in page:
            if not shows_end(body):
                self._look(body)
