"""How many orders to hold at once: enough to hide a round trip, few enough to share the work fairly."""

import math
from typing import Final, NamedTuple

MOST_AHEAD: Final = 64
AHEAD_BELOW_SECONDS: Final = 0.050
"""Slower handlers hide the round trip themselves."""
CLAIM_AHEAD_BELOW_SECONDS: Final = 0.005
"""Handlers this fast finish a whole claim's worth while the next claim travels."""
SHARE_FROM_SECONDS: Final = 1.0
"""From here on an order that waits in a busy soldier waits noticeably longer than in the queue."""
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


class Plan(NamedTuple):
    """Unacknowledged deliveries allowed per queue."""

    high: int
    normal: int


def ahead(concurrency: int, mean_seconds: float | None) -> int:
    """How many deliveries beyond the slots are worth having here."""
    if mean_seconds is None or mean_seconds >= AHEAD_BELOW_SECONDS:
        return 0
    return min(MOST_AHEAD, math.ceil(concurrency * ROUND_TRIP_SECONDS / max(mean_seconds, 1e-6)))


def claims_ahead(concurrency: int, mean_seconds: float | None) -> int:
    """How many claims beyond the free slots are worth asking for; they start within milliseconds."""
    if mean_seconds is None or mean_seconds >= CLAIM_AHEAD_BELOW_SECONDS:
        return 0
    return ahead(concurrency, mean_seconds)


def plan(concurrency: int, mean_seconds: float | None, *, running_high: int, running_normal: int) -> Plan:
    """Decide both queues' prefetch.

    A running mission's delivery counts, for it is acknowledged at its end. With long missions each queue
    gets only what could start now, at least 1, so that orders wait in the queue where an idle soldier finds them.
    """
    if mean_seconds is None or mean_seconds < SHARE_FROM_SECONDS:
        each = concurrency + ahead(concurrency, mean_seconds)
        return Plan(each, each)
    free = max(0, concurrency - running_high - running_normal)
    return Plan(max(1, running_high + free), max(1, running_normal + free))
