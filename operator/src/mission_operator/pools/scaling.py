"""How many soldiers a pool shall have: a pure function from the missions there are to a number.

More at once, fewer late: soldiers are started for the missions that wait and run now, and are let go only when fewer
have been enough for a whole while. Numbers that are missing or old never make it fewer.
"""

import math
from typing import Final

import msgspec

SHORTEST_CALM_SECONDS: Final = 5.0
"""Fewer must have been enough for at least so long, also with idleSeconds 0: a gap between two missions is no calm."""
LONGEST_GAP_SECONDS: Final = 10.0
"""Numbers that were missing for longer say nothing about what was needed meanwhile: the calm begins anew."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What the pool's spec asks of its autoscaler."""

    least: int
    most: int
    per_soldier: int
    idle_seconds: float


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to do, at one moment."""

    ready: int = 0
    """Missions that could run now and wait for a soldier."""
    in_flight: int = 0
    due_soon: int = 0
    in_broker: int | None = 0
    """Orders by the broker's own count; None while it cannot be asked."""
    oldest_seconds: float | None = None
    """How long the first of the ready ones has waited."""

    @property
    def is_sure(self) -> bool:
        """Tell whether the broker was asked too: else there may be more than the ledger knows of."""
        return self.in_broker is not None

    @property
    def is_none(self) -> bool:
        return not (self.ready or self.in_flight or self.due_soon or self.in_broker)

    def soldiers(self, per_soldier: int) -> int:
        """How many soldiers it is worth.

        What is due soon wants one that is up when the time comes. Orders that the broker has and the ledger has not
        want one as well: they are those of cancelled missions, or of a ledger that was wiped, and only a soldier
        can find out which.
        """
        counted = math.ceil((self.ready + self.in_flight) / per_soldier)
        return counted or (0 if self.is_none else 1)


class Peak(msgspec.Struct, frozen=True):
    """So many were needed, last at this moment."""

    at: float
    needed: int


class Calm(msgspec.Struct, frozen=True):
    """What was needed lately: falling peaks, the newest last, none of them exceeded since."""

    peaks: tuple[Peak, ...]

    @property
    def needed(self) -> int:
        return self.peaks[0].needed

    @property
    def seen_at(self) -> float:
        return self.peaks[-1].at


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """The decision."""

    desired: int
    needed: int | None = None
    """How many the demand alone asks for; None while it is not known."""
    calm: Calm | None = None


def decide(bounds: Bounds, current: int, demand: Demand | None, calm: Calm | None, now: float) -> Scaling:
    """Choose the number of soldiers; `demand` is None when there are no numbers, or none that are fresh.

    `calm` is what the last decision gave, None after a start; `now` is monotonic.
    """
    if demand is None:
        return Scaling(desired=max(current, bounds.least), calm=calm)
    needed = demand.soldiers(bounds.per_soldier)
    if not demand.is_sure:
        # Out, and no calm is left: what was just found needed must not be undone at the next look.
        return Scaling(desired=max(current, _within(bounds, needed)), needed=needed)
    calm = _follow(calm, current, needed, now, max(bounds.idle_seconds, SHORTEST_CALM_SECONDS))
    return Scaling(desired=_within(bounds, calm.needed), needed=needed, calm=calm)


def _follow(calm: Calm | None, current: int, needed: int, now: float, calm_seconds: float) -> Calm:
    if calm is None or now - calm.seen_at > LONGEST_GAP_SECONDS:
        calm = Calm((Peak(now, current),))
    lasting = tuple(peak for peak in calm.peaks if peak.needed > needed and now - peak.at < calm_seconds)
    return Calm((*lasting, Peak(now, needed)))


def _within(bounds: Bounds, number: int) -> int:
    return min(max(number, bounds.least), bounds.most)
