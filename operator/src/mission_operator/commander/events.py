"""The Commander's event stream: followed for ever, resumed where it broke, and never trusted when it is silent."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import msgspec
import structlog

from mission_contracts.rest import MissionView
from mission_operator.backoff import Backoff
from mission_operator.commander.client import CommanderAwayError, CommanderRefusedError
from mission_operator.commander.reachability import Reachability

_log: Final = structlog.get_logger()

SILENCE_SECONDS: Final = 3.5
"""The Commander says something every second, if only a comment. One that is frozen says nothing; another may serve."""


class Streaming(Protocol):
    """The Commander, as far as its event stream goes."""

    def events(
        self, namespace: str, last_event_id: str, *, silence_seconds: float
    ) -> AbstractAsyncContextManager[AsyncIterator[str]]: ...


class Event(msgspec.Struct, frozen=True):
    """One server-sent event."""

    kind: str
    data: str
    id: str


async def parse(lines: AsyncIterator[str]) -> AsyncIterator[Event | None]:
    """Read server-sent events; None stands for a comment, which says that the stream lives."""
    data: list[str] = []
    kind, event_id = "message", ""
    async for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Event(kind, "\n".join(data), event_id)
            kind, data = "message", []
        elif not field:
            yield None
        elif field == "event":
            kind = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            event_id = value


class EventFollower:
    """Calls back with every view that the stream brings, and after each gap in it."""

    def __init__(
        self,
        commander: Streaming,
        reachability: Reachability,
        namespace: str,
        *,
        on_view: Callable[[MissionView], None],
        on_gap: Callable[[str], None],
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._commander = commander
        self._reachability = reachability
        self._namespace = namespace
        self._on_view = on_view
        self._on_gap = on_gap
        self._silence_seconds = silence_seconds
        self._last_event_id = ""
        self._views = msgspec.json.Decoder(MissionView)
        self._backoff = Backoff(first=0.05, last=2.0)

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow_once()
            except CommanderRefusedError as error:
                self._last_event_id = ""
                _log.warning("the event stream was refused, following from now on", why=str(error))
            except CommanderAwayError as error:
                self._reachability.failed()
                _log.warning("the event stream broke, following again", why=str(error))
            await asyncio.sleep(self._backoff.next())

    async def _follow_once(self) -> None:
        opened = self._commander.events(self._namespace, self._last_event_id, silence_seconds=self._silence_seconds)
        async with opened as lines:
            self._on_gap("connecting")
            is_fresh = True
            async for event in parse(lines):
                if is_fresh:
                    # Only now is it sure that the Commander listens for us; what happened before is looked up.
                    is_fresh = False
                    self._backoff.reset()
                    self._reachability.answered()
                    self._on_gap("connected")
                if event is not None:
                    self._take(event)

    def _take(self, event: Event) -> None:
        if event.id:
            self._last_event_id = event.id
        if event.kind == "reset":
            self._last_event_id = ""  # it is too old to resume from, and would be again
            self._on_gap("reset")
        elif event.kind == "mission":
            self._take_view(event)

    def _take_view(self, event: Event) -> None:
        try:
            view = self._views.decode(event.data)
        except msgspec.MsgspecError as error:
            _log.error("an event of the Commander is unreadable and was skipped", id=event.id, why=str(error))
            return
        if view.namespace == self._namespace:
            self._on_view(view)
