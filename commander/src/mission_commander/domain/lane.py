"""Lanes: missions of one ordering key run one at a time, in order. Who has the turn, who waits, who came too late.

A lane knows places, never phases: whoever has the turn keeps it until it is final, also while it waits for a retry, a
time or a person. So a head blocks, and nothing but an end moves a lane; the only exception is a gap that took too long.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from mission_contracts.envelope import Envelope
from mission_contracts.mission import MissionId


class LaneKey(NamedTuple):
    """What makes two missions share a lane."""

    namespace: str
    pool: str
    ordering_key: str

    @property
    def name(self) -> str:
        """One text; namespaces and pools have no slash in them."""
        return "/".join(self)

    @classmethod
    def named(cls, name: str) -> "LaneKey":
        return cls(*name.split("/", 2))


def lane_of(envelope: Envelope) -> LaneKey | None:
    """The lane that a mission belongs to, if to any."""
    if envelope.ordering_key is None:
        return None
    return LaneKey(envelope.namespace, envelope.pool, envelope.ordering_key)


class Place(NamedTuple):
    """Where a mission stands: its number, and for a redrive, which has none, how far behind that number."""

    number: int
    behind: int = 0

    @property
    def needs(self) -> int:
        """The number that the lane must have passed before it is this place's turn."""
        return self.number if self.behind else self.number - 1


SPENT: Final = MissionId("")
"""Stands at a place whose mission ended before its turn: the lane goes past it without a wait."""

FRONT: Final = 3
"""How many missions at the front of a lane one has to know to decide about it: the head, and who waits behind it."""

Entries = Mapping[Place, MissionId | None]
"""What changes in who stands where; None: nobody any more."""


class LaneRules(msgspec.Struct, frozen=True):
    """How patient lanes are, and how long they remember."""

    gap_seconds: float = 300.0
    arrival_seconds: float = 3_600.0
    """How long an unused lane without numbers is kept. Nothing is lost with it but its number of arrivals."""
    mark_seconds: float = 30 * 86_400.0
    """How long an unused lane with numbers remembers how far it came."""


class Gap(msgspec.Struct, frozen=True):
    """A number that has not come yet, how long it is waited for, and who waits at the front."""

    missing: int
    until: float
    waiter: Place


class LaneRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the ledger keeps of a lane beside its places."""

    version: int
    """Rises with every change, along with the clock in milliseconds, so that a lane made anew never repeats one."""
    is_numbered: bool
    mark: int = 0
    """The highest number that the lane has passed."""
    last: Place = Place(0)
    """The highest place that was ever given."""
    head: Place | None = None
    """Who has the turn."""
    gap: Gap | None = None
    expires_at: float | None = None
    """While nobody stands in it: when it may be forgotten."""

    def is_over(self, now: float) -> bool:
        """Whether its time to be forgotten has come, whatever still holds it."""
        return self.expires_at is not None and self.expires_at <= now


class LaneChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A lane's next record. `expected` is the version that it was decided on, 0 where there was no lane.

    `missions` are the changes of the same commit that stand or fall with it; a `whole` change replaces what was there.
    """

    key: LaneKey
    expected: int
    record: LaneRecord
    entries: dict[Place, MissionId | None] = {}
    missions: tuple[MissionId, ...] = ()
    whole: bool = False


class Lane:
    """A lane as one Commander knows it: who stands where, as of one version."""

    def __init__(self, key: LaneKey, record: LaneRecord, entries: Entries) -> None:
        self.key = key
        self.record = record
        self.places: dict[Place, MissionId] = {}
        self.queue: list[Place] = []
        """The places of missions that are not final, in order; the head's own is the first."""
        self._put_all(entries)

    def apply(self, record: LaneRecord, entries: Entries) -> None:
        """Become the next version."""
        self.record = record
        self._put_all(entries)

    @property
    def is_worth_keeping(self) -> bool:
        """Tell whether a ledger that lost it needs it back: somebody stands in it, or it knows how far it came."""
        return bool(self.queue) or self.record.is_numbered

    def front(self) -> list[MissionId]:
        """Who has the turn, and who comes next."""
        return [self.places[place] for place in self.queue[:FRONT]]

    def _put_all(self, entries: Entries) -> None:
        for place, mission_id in entries.items():
            if self.places.pop(place, SPENT) != SPENT:
                del self.queue[bisect_left(self.queue, place)]
            if mission_id is not None:
                self.places[place] = mission_id
            if mission_id:
                insort(self.queue, place)


# What a lane says to a newcomer.


class Refused(msgspec.Struct, frozen=True):
    """It can never stand in this lane as it is."""

    why: str


class Passed(msgspec.Struct, frozen=True):
    """The lane has gone past its number."""

    why: str


class Taken(msgspec.Struct, frozen=True):
    """This mission has its number."""

    by: MissionId


Objection = Refused | Passed | Taken


class Draft:
    """A lane while the decisions of one commit are made on it; what it was stays as it is until they are durable."""

    def __init__(self, key: LaneKey, base: Lane | None, *, expected: int | None = None) -> None:
        self.key = key
        self._base = base
        self._expected = expected
        self._entries: dict[Place, MissionId | None] = {}
        self._fresh: list[Place] = []
        self._front = 0
        self._is_relied_on = False
        known = base.record if base is not None else None
        self._is_numbered = known.is_numbered if known else None
        self._last = known.last if known else Place(0)
        self.mark = known.mark if known else 0
        self.head = known.head if known else None
        self.gap = known.gap if known else None
        self.skipped: tuple[int, int] | None = None
        """The first and the last number that this draft gave up waiting for."""

    # Coming and going.

    def objection(self, envelope: Envelope) -> Objection | None:
        """Why a newcomer may not join; None where it may."""
        number = envelope.sequence_number
        if envelope.retry_of is not None:
            return None  # a redrive stands behind everybody, whatever its number was
        if self._is_numbered is not None and self._is_numbered is not (number is not None):
            return Refused(_MIXES[self._is_numbered].format(key=envelope.ordering_key))
        if number is None:
            return None
        there = self.at(Place(number))
        if there:
            return Taken(there)
        return Passed(self._why_passed(number)) if number <= self.mark or there == SPENT else None

    def join(self, mission_id: MissionId, envelope: Envelope) -> Place:
        """Give a newcomer its place."""
        if self._is_numbered is None:
            self._is_numbered = envelope.sequence_number is not None
        place = self._place_for(envelope)
        self._put(place, mission_id)
        self._last = max(self._last, place)
        return place

    def restore(self, mission_id: MissionId, envelope: Envelope, *, leads: bool) -> Place | None:
        """Give a place to a mission that the ledger had lost; None where the lane went on without it."""
        number = envelope.sequence_number
        numbered = number is not None and envelope.retry_of is None
        if leads and self.head is not None:
            return None
        if numbered and number is not None and (number <= self.mark or self.at(Place(number)) is not None):
            return None
        place = self.join(mission_id, envelope)
        if leads:
            self.head = place
            self.mark = max(self.mark, place.needs) if numbered else self.mark
        return place

    def leave(self, place: Place) -> None:
        """Its mission is final. Before its turn, its number is spent: the lane will not wait for it."""
        if place == self.head:
            self.head = None
            self.mark = max(self.mark, place.number)
        ahead = self._is_numbered and not place.behind and place.number > self.mark
        self._put(place, SPENT if ahead else None)

    def settle(self, now: float, rules: LaneRules) -> None:
        """Give the turn to whoever is next, or wait for the number that is missing."""
        if self.head is not None:
            self.gap = None
            return
        while self._is_numbered and self.at(Place(self.mark + 1)) == SPENT:
            self.mark += 1
            self._put(Place(self.mark), None)
        first = self.first()
        if first is not None and self._is_held_up(first, now, rules):
            return
        self.head, self.gap = first, None

    def _is_held_up(self, first: Place, now: float, rules: LaneRules) -> bool:
        """Tell whether a missing number keeps the first one waiting; one that was waited for long enough does not."""
        if not self._is_numbered or first.needs <= self.mark:
            return False
        missing = self.mark + 1
        is_known = self.gap is not None and self.gap.missing == missing
        until = self.gap.until if self.gap is not None and is_known else now + rules.gap_seconds
        self.gap = Gap(missing, until, first)
        if now < until:
            return True
        self._give_up(missing, first.needs)
        return False

    def _give_up(self, first_missing: int, last_missing: int) -> None:
        self.skipped = (first_missing, last_missing)
        self.mark = last_missing
        for place, mission_id in tuple(self._all()):
            if mission_id == SPENT and place.number <= last_missing:
                self._put(place, None)

    def rely(self) -> None:
        """A mission that waits was told what this lane shows: the ledger must have the same, or nothing is written."""
        self._is_relied_on = True

    # Looking.

    def at(self, place: Place) -> MissionId | None:
        """Who stands at a place."""
        if place in self._entries:
            return self._entries[place]
        return self._base.places.get(place) if self._base is not None else None

    def first(self) -> Place | None:
        """The lowest place of a mission that is not final."""
        queue = self._base.queue if self._base is not None else []
        while self._front < len(queue) and not self.at(queue[self._front]):
            self._front += 1
        firsts = [*queue[self._front : self._front + 1], *self._fresh[:1]]
        return min(firsts, default=None)

    def why_gap(self) -> str:
        """A sentence on the number that is missing."""
        if self.gap is None:
            return ""
        key, missing = self.key.ordering_key, self.gap.missing
        return f'number {missing} of ordering key "{key}" has not come; the lane waits for it, then goes on without it'

    def why_skipped(self) -> str:
        """A sentence on the numbers that the lane went past without."""
        if self.skipped is None:
            return ""
        first, last = self.skipped
        numbers = f"number {first}" if first == last else f"numbers {first} to {last}"
        return f'{numbers} of ordering key "{self.key.ordering_key}" did not come in time; the lane goes on without'

    # The outcome.

    @property
    def base_version(self) -> int:
        return self._base.record.version if self._base is not None else 0

    def change(self, now: float, rules: LaneRules) -> LaneChange | None:
        """What to commit; None where nothing changed, and nobody was told anything that has to be true still."""
        before = self._base.record if self._base is not None else None
        record = LaneRecord(
            version=max(self.base_version + 1, (self._expected or 0) + 1, int(now * 1000)),
            is_numbered=bool(self._is_numbered),
            mark=self.mark,
            last=self._last,
            head=self.head,
            gap=self.gap,
            expires_at=self._expires_at(now, rules),
        )
        if not self._entries and (before is None or (not self._is_relied_on and _is_same(before, record))):
            return None
        expected = self.base_version if self._expected is None else self._expected
        if expected == self.base_version:
            return LaneChange(key=self.key, expected=expected, record=record, entries=self._entries)
        entries = dict(self._base.places if self._base is not None else {}) | self._entries
        kept: dict[Place, MissionId | None] = {one: who for one, who in entries.items() if who is not None}
        return LaneChange(key=self.key, expected=expected, record=record, entries=kept, whole=True)

    def _expires_at(self, now: float, rules: LaneRules) -> float | None:
        if self.head is not None or self.first() is not None:
            return None
        return now + (rules.mark_seconds if self._is_numbered else rules.arrival_seconds)

    # How.

    def _place_for(self, envelope: Envelope) -> Place:
        if not self._is_numbered:
            return Place(self._last.number + 1)
        if envelope.retry_of is None and envelope.sequence_number is not None:
            return Place(envelope.sequence_number)
        tail = max(self._last, Place(self.mark))
        return Place(tail.number, tail.behind + 1)

    def _put(self, place: Place, mission_id: MissionId | None) -> None:
        if self._entries.get(place):
            del self._fresh[bisect_left(self._fresh, place)]
        self._entries[place] = mission_id
        if mission_id:
            insort(self._fresh, place)

    def _all(self) -> Iterator[tuple[Place, MissionId | None]]:
        base = self._base.places if self._base is not None else {}
        yield from self._entries.items()
        yield from ((place, who) for place, who in base.items() if place not in self._entries)

    def _why_passed(self, number: int) -> str:
        return (
            f'number {number} came too late: the lane of ordering key "{self.key.ordering_key}" has gone past it; '
            "it did not run: use the next number, or redrive it"
        )


_MIXES: Final = {
    True: 'the missions of ordering key "{key}" have numbers, and this one has none: '
    "give it a sequenceNumber, or use another orderingKey",
    False: 'the missions of ordering key "{key}" run as they arrive, and this one has a number: '
    "leave out its sequenceNumber, or use another orderingKey",
}


def _is_same(before: LaneRecord, after: LaneRecord) -> bool:
    """Equal but for the version, and for a date that only grows while nobody comes."""
    blank = {"version": 0, "expires_at": None}
    return msgspec.structs.replace(before, **blank) == msgspec.structs.replace(after, **blank)
