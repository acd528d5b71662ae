"""The Commander's stream of pools that work comes to, so that a pool at zero wakes at once and not at the next look."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import msgspec
import structlog

from mission_contracts.rest import PoolView
from mission_operator.backoff import Backoff
from mission_operator.commander.client import CommanderAwayError, CommanderRefusedError
from mission_operator.commander.events import SILENCE_SECONDS, Event, parse

_log: Final = structlog.get_logger()


class StreamingPools(Protocol):
    """The Commander, as far as this stream goes."""

    def pool_events(self, *, silence_seconds: float) -> AbstractAsyncContextManager[AsyncIterator[str]]: ...


class PoolFollower:
    """Calls back with each pool that work came to, and once whenever it may have missed some.

    The stream only hastens things: the numbers are asked for every few seconds anyway.
    """

    def __init__(
        self,
        commander: StreamingPools,
        *,
        on_view: Callable[[PoolView], None],
        on_gap: Callable[[], None],
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._commander = commander
        self._on_view = on_view
        self._on_gap = on_gap
        self._silence_seconds = silence_seconds
        self._views = msgspec.json.Decoder(PoolView)
        self._backoff = Backoff(first=0.05, last=2.0)

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow_once()
            except (CommanderAwayError, CommanderRefusedError) as error:
                _log.warning("the stream of pools broke, following again", why=str(error))
            await asyncio.sleep(self._backoff.next())

    async def _follow_once(self) -> None:
        async with self._commander.pool_events(silence_seconds=self._silence_seconds) as lines:
            is_fresh = True
            async for event in parse(lines):
                if is_fresh:
                    is_fresh = False
                    self._backoff.reset()
                    self._on_gap()
                if event is not None and event.kind == "pool":
                    self._take(event)

    def _take(self, event: Event) -> None:
        try:
            view = self._views.decode(event.data)
        except msgspec.MsgspecError as error:
            _log.error("news of a pool is unreadable and was skipped", why=str(error))
            return
        self._on_view(view)
