"""The bounded event stream of the in-memory ledger, with the ids and the forgetfulness of a Redis stream."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from mission_commander.domain.lane import LaneChange
from mission_commander.domain.record import Mission
from mission_commander.ports import NO_EVENT, Event, EventId, order_of


class EventStream:
    """Keeps the newest events; a reader who is further behind than that is told so."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._events: list[Event] = []
        self._forgotten = NO_EVENT
        """The newest event that the stream no longer holds."""

    @property
    def last(self) -> EventId:
        return self._events[-1].id if self._events else self._forgotten

    def add(self, mission: Mission, now: float, lane: LaneChange | None = None) -> EventId:
        event = self._next_id(int(now * 1_000_000))
        self._events.append(Event(event, mission, lane))
        # Forgetting in large steps keeps an addition cheap.
        if len(self._events) >= 2 * self._keep:
            self._forget(len(self._events) - self._keep)
        return event

    def _next_id(self, now_us: int) -> EventId:
        now_ms, microseconds = divmod(now_us, 1000)
        if self.last == NO_EVENT:
            # So that ids grow also past a wipe within a millisecond.
            return f"{now_ms}-{microseconds * 1000}"
        last_ms, last_number = order_of(self.last)
        # A clock that steps back must not make an id that readers have passed.
        return f"{now_ms}-0" if now_ms > last_ms else f"{last_ms}-{last_number + 1}"

    def after(self, event: EventId, limit: int) -> Sequence[Event] | None:
        """What follows an event; None when the stream does not hold what came right after it, or never had it."""
        start = bisect_right(self._events, order_of(event), key=lambda held: order_of(held.id))
        before = self._events[start - 1].id if start else self._forgotten
        return self._events[start : start + limit] if before == event else None

    def before(self, event: EventId, limit: int) -> Sequence[Event]:
        """What precedes an event, newest first."""
        end = bisect_left(self._events, order_of(event), key=lambda held: order_of(held.id))
        return self._events[max(0, end - limit) : end][::-1]

    def knows(self, event: EventId) -> bool:
        """Tell whether an event is here, or was and has been dropped by its age."""
        place = order_of(event)
        at = bisect_left(self._events, place, key=lambda held: order_of(held.id))
        return place <= order_of(self._forgotten) or (at < len(self._events) and self._events[at].id == event)

    def _forget(self, count: int) -> None:
        self._forgotten = self._events[count - 1].id
        del self._events[:count]
