"""Which orders have vanished: confirmed by the broker, and now in no queue and in no soldier's hands. Pure.

One look proves nothing: an order may be between its queue and the next heartbeat. Two looks two beats apart do, if the
queue had nothing ready both times. Where it is never empty, its own order speaks: what was confirmed long after this
one was claimed already.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import msgspec

from mission_contracts.mission import Epoch, MissionId

OVERTAKEN_SECONDS: Final = 30.0
"""An order that was confirmed so much earlier than one that was claimed by now is not in front of it in the queue."""
FIRST_PAUSE_SECONDS: Final = 3.0
LONGEST_PAUSE_SECONDS: Final = 300.0

Hand = tuple[MissionId, Epoch]
"""One hand-out."""


class Sight(msgspec.Struct, frozen=True):
    """What one look at a queue found."""

    is_empty: bool
    nowhere: Mapping[Hand, float]
    """Confirmed hand-outs that no heartbeat lists, and since when that is so (Unix seconds)."""


def seen(before: Sight | None, *, is_empty: bool, nowhere: Iterable[Hand], now: float) -> Sight:
    """Make the next sight of a queue, in which what was nowhere before is so for longer."""
    earlier = before.nowhere if before else {}
    return Sight(is_empty, {hand: earlier.get(hand, now) for hand in nowhere})


def vanished(before: Sight | None, now: Sight, newest_claimed: float) -> list[Hand]:
    """Give the hand-outs that nobody will ever run unless they are published again.

    `newest_claimed` is when the newest order of this queue that was claimed by now had been handed out.
    """
    if before is None:
        return []
    twice = [hand for hand in now.nowhere if hand in before.nowhere]
    if before.is_empty and now.is_empty:
        return twice
    return [hand for hand in twice if now.nowhere[hand] + OVERTAKEN_SECONDS <= newest_claimed]


def without(sight: Sight, hands: Collection[Hand]) -> Sight:
    """Forget hand-outs that are published again: they begin anew."""
    return Sight(sight.is_empty, {hand: since for hand, since in sight.nowhere.items() if hand not in hands})


def pause_seconds(times: int) -> float:
    """How long an order is left alone that was published again so many times.

    One that vanishes each time is eaten by somebody, and must not be fed to them at full speed.
    """
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(times, 30))
