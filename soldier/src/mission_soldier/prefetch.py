"""How many orders to hold at once: enough to hide a round trip, few enough to share the work fairly."""

import math
from typing import Final, NamedTuple

MOST_AHEAD: Final = 64
AHEAD_BELOW_SECONDS: Final = 0.050
"""Slower handlers hide the round trip themselves."""
FAST_BELOW_SECONDS: Final = 0.005
"""Handlers this fast finish a whole claim's worth while the next claim travels."""
SHARE_FROM_SECONDS: Final = 1.0
"""From here on an order that waits in a busy soldier waits noticeably longer than in the queue."""
STALLED_FROM_SECONDS: Final = 0.25
"""A full soldier that begins nothing for so long, or for the mean time if that is longer, keeps no order waiting."""
ROUND_TRIP_SECONDS: Final = 0.010
_WEIGHT: Final = 0.1


class Pace:
    """The handlers' mean time, exponentially weighted: the newest ten or so matter."""

    __slots__ = ("mean_seconds",)

    def __init__(self) -> None:
        self.mean_seconds: float | None = None

    def note(self, seconds: float) -> None:
        mean = self.mean_seconds
        self.mean_seconds = seconds if mean is None else mean + (seconds - mean) * _WEIGHT


class WorstPace:
    """How long one type's missions may take, judged by the slowest lately: one slow one is believed at once.

    A claimed mission is InProgress for everybody, so it must not wait for its slot behind a slow neighbour.
    """

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        self._seconds = 0.0

    @property
    def is_fast(self) -> bool:
        return self._seconds < FAST_BELOW_SECONDS

    def note(self, seconds: float) -> None:
        self._seconds = max(seconds, self._seconds + (seconds - self._seconds) * _WEIGHT)


class Room(NamedTuple):
    """What may be claimed now."""

    slots: int
    """Missions that start as soon as they are granted."""
    ahead: int
    """More of types that are fast, while nothing slow runs."""


class Plan(NamedTuple):
    """Unacknowledged deliveries allowed per queue."""

    high: int
    normal: int


def ahead(concurrency: int, mean_seconds: float | None) -> int:
    """How many deliveries beyond the slots are worth having here."""
    if mean_seconds is None or mean_seconds >= AHEAD_BELOW_SECONDS:
        return 0
    return min(MOST_AHEAD, math.ceil(concurrency * ROUND_TRIP_SECONDS / max(mean_seconds, 1e-6)))


class Load(NamedTuple):
    """What a soldier has to do now."""

    slots: int
    running_high: int
    running_normal: int
    began_seconds_ago: float
    """How long ago the newest of what runs began."""
    mean_seconds: float | None
    """The mean of what has ended."""

    @property
    def free(self) -> int:
        return max(0, self.slots - self.running_high - self.running_normal)

    @property
    def is_stalled(self) -> bool:
        """Every slot is taken, and none was given anew for a while: whatever the mean says, this takes long."""
        return not self.free and self.began_seconds_ago >= max(STALLED_FROM_SECONDS, self.mean_seconds or 0.0)

    @property
    def shares(self) -> bool:
        """Orders are to wait in their queue, where an idle soldier finds them, and not here."""
        return self.is_stalled or (self.mean_seconds is not None and self.mean_seconds >= SHARE_FROM_SECONDS)


def plan(load: Load) -> Plan:
    """Decide both queues' prefetch.

    A running mission's delivery counts, for it is acknowledged at its end. Who shares takes only what could start now.
    """
    if load.shares:
        return Plan(load.running_high + load.free, load.running_normal + load.free)
    each = load.slots + ahead(load.slots, load.mean_seconds)
    return Plan(each, each)
