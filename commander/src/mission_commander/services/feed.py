"""The ledger's event stream as this Commander follows it: into its memory, and out to everybody who watches."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import msgspec
import structlog

from mission_commander.domain.lane_memory import KEPT_UNUSED
from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.record import Mission
from mission_commander.domain.records import size_of
from mission_commander.domain.view import view
from mission_commander.ports import Event, EventId, Ledger, LedgerAwayError, order_of
from mission_commander.services.horizon import Horizon
from mission_commander.services.patience import happens
from mission_contracts.mission import MissionId

KEPT_EVENTS: Final = 20_000
KEPT_EVENT_BYTES: Final = 48 * 1024 * 1024
"""Of these, with the texts that watchers are sent."""
TEXTS: Final = 4
"""How often what a handler said is held: in the record, and in the forms for watchers of either kind."""
WAIT_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 0.2
PAGE: Final = 1_000

_encoder: Final = msgspec.json.Encoder()


class Announced(msgspec.Struct):
    """An event, and its text once somebody wanted it."""

    event: Event
    _data: bytes = b""
    _text: bytes = b""
    _frame: str = ""

    @property
    def id(self) -> EventId:
        return self.event.id

    @property
    def mission(self) -> Mission:
        return self.event.mission

    @property
    def size_bytes(self) -> int:
        return TEXTS * size_of(self.event.mission)

    def text(self) -> bytes:
        """As server-sent event; made once, however many watch."""
        if not self._text:
            self._text = b"id: %b\nevent: mission\ndata: %b\n\n" % (self.event.id.encode(), self._shown())
        return self._text

    def frame(self) -> str:
        """As message on a WebSocket; made once, too."""
        if not self._frame:
            changed = {"kind": "mission", "id": self.event.id, "mission": msgspec.Raw(self._shown())}
            self._frame = _encoder.encode(changed).decode()
        return self._frame

    def _shown(self) -> bytes:
        if not self._data:
            self._data = _encoder.encode(view(self.event.mission))
        return self._data


class Feed:
    """Follows the stream; `watch` gives every event once and in order, from any id that is still held."""

    def __init__(self, ledger: Ledger, memory: MissionMemory, horizon: Horizon) -> None:
        self._ledger = ledger
        self._memory = memory
        self._horizon = horizon
        self._recent: deque[Announced] = deque()
        self._recent_bytes = 0
        self._before_recent: EventId = "0-0"
        self._last: EventId = "0-0"
        self._count = 0
        self._news = asyncio.Event()
        self._gap_listeners: list[Callable[[], None]] = []
        self._log = structlog.get_logger("feed")

    @property
    def last(self) -> EventId:
        """The newest event that is in memory."""
        return self._last

    def on_gap(self, listener: Callable[[], None]) -> None:
        """Call when the stream does not go on where this Commander stopped: it went past it, or was lost."""
        self._gap_listeners.append(listener)

    async def load(self) -> None:
        """Take in all live missions, and what happens from here on. Watchers are told that they missed something."""
        last, era = await self._ledger.last_event(), self._horizon.era
        await self._load_lanes()
        unheard = dict.fromkeys(self._memory.live_ids())
        async for batch in self._ledger.live():
            self._apply(batch)
            for mission in batch:
                unheard.pop(mission.id, None)
        await self._hear_of_ends(list(unheard))
        self._horizon.saw(last, era)
        self._last = self._before_recent = last
        self._recent.clear()
        self._recent_bytes = 0
        self._count += 1  # what nobody can be given, so that whoever watches notices the gap
        self._wake_watchers()

    async def _load_lanes(self) -> None:
        """As many as memory keeps; what it knows better, since the ledger was rolled back, stays."""
        lanes = self._memory.lanes
        async for batch in self._ledger.all_lanes():
            for lane in batch:
                lanes.hear_of(lane)
            if len(lanes) >= KEPT_UNUSED:
                return

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow()
            except LedgerAwayError:
                await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        era = self._horizon.era
        events = await self._ledger.events(self._last, wait_seconds=WAIT_SECONDS, limit=PAGE)
        if events is None:
            await self._catch_up()
        elif events:
            self._take(events)
            self._horizon.saw(self._last, era)

    async def _catch_up(self) -> None:
        self._log.warning("the event stream went past this Commander, or back; reading all live missions again")
        for listener in self._gap_listeners:
            listener()
        await self.load()

    def _apply(self, batch: Sequence[Mission | None]) -> None:
        for mission in batch:
            if mission is not None:
                self._memory.apply(mission)

    async def _hear_of_ends(self, ids: Sequence[MissionId]) -> None:
        """What memory takes for live ended while nobody listened; what the ledger lacks is the restorer's to judge."""
        for start in range(0, len(ids), PAGE):
            self._apply(await self._ledger.records(ids[start : start + PAGE]))

    def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            self._memory.apply(event.mission)
            if event.lane is not None:
                self._memory.lanes.apply(event.lane)
            self._keep(Announced(event))
        self._last = events[-1].id
        self._count += len(events)
        self._wake_watchers()

    def _keep(self, announced: Announced) -> None:
        """What gives way is read from the ledger by whoever still wants it."""
        self._recent.append(announced)
        self._recent_bytes += announced.size_bytes
        while len(self._recent) > KEPT_EVENTS or self._recent_bytes > KEPT_EVENT_BYTES:
            oldest = self._recent.popleft()
            self._recent_bytes -= oldest.size_bytes
            self._before_recent = oldest.id

    def _wake_watchers(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def watch(
        self, after: EventId | None, wanted: Callable[[Mission], bool], *, quiet_seconds: float
    ) -> AsyncIterator[Sequence[Announced] | None]:
        """Give batches of events after an id (None: from now on); an empty batch after a quiet while.

        Gives None, once, where events after `after` are lost: the watcher has to read everything anew.
        """
        # Decided here and not at the first step: whoever is answered by now must not miss what follows.
        return self._watch(order_of(self._last if after is None else after), wanted, quiet_seconds)

    async def _watch(
        self, position: "Position", wanted: Callable[[Mission], bool], quiet_seconds: float
    ) -> AsyncIterator[Sequence[Announced] | None]:
        while position < (end := order_of(self._before_recent)):
            # Memory goes on forgetting while the ledger is read, so this may take several rounds.
            async for batch in self._older(position, end, wanted):
                yield batch
            position = end
        seen = self._count_up_to(position)
        if seen is None:
            yield None
            seen = self._count
        now = asyncio.get_running_loop().time
        told_at = now()
        while True:
            news = self._news
            fresh, seen = self._since(seen), self._count
            if fresh is None:
                yield None
                continue
            batch = [announced for announced in fresh if wanted(announced.mission)]
            # Traffic that this watcher does not want must not keep it from its sign of life either.
            if batch or now() >= told_at + quiet_seconds:
                yield batch
                told_at = now()
            if news is self._news:
                await happens(news, within_seconds=told_at + quiet_seconds - now())

    async def _older(
        self, position: "Position", end: "Position", wanted: Callable[[Mission], bool]
    ) -> AsyncIterator[Sequence[Announced] | None]:
        """What memory no longer holds, from the ledger, however long that takes; None where it has forgotten too."""
        while position < end:
            try:
                events = await self._ledger.events(f"{position[0]}-{position[1]}", wait_seconds=0, limit=PAGE)
            except LedgerAwayError:
                await asyncio.sleep(RETRY_SECONDS)
                yield ()
                continue
            if not events:
                yield None
                return
            yield [Announced(e) for e in events if order_of(e.id) <= end and wanted(e.mission)]
            position = order_of(events[-1].id)

    def _count_up_to(self, position: "Position") -> int | None:
        """How many events there were up to a place; None where the stream never was: nobody knows what came since.

        Such an id is from before a wipe, or from another Commander that has heard more.
        """
        newer = 0
        for announced in reversed(self._recent):
            here = order_of(announced.id)
            if here <= position:
                return self._count - newer if here == position else None
            newer += 1
        return self._count - newer if position == order_of(self._before_recent) else None

    def _since(self, seen: int) -> Sequence[Announced] | None:
        fresh = self._count - seen
        if fresh > len(self._recent):
            return None
        return [self._recent[i] for i in range(len(self._recent) - fresh, len(self._recent))]


Position = tuple[int, int]
