"""What the Commander said last of a pool, and whether anything may be concluded from it. Pure."""

from typing import Final

import msgspec

from mission_contracts.resources import PoolReason
from mission_contracts.rest import PoolView
from mission_operator.pools.scaling import Demand

FRESH_SECONDS: Final = 6.0
"""Three looks: one answer that is late is no reason to doubt."""

_NOTHING_IN: Final = "until then nothing scales in"


class Numbers(msgspec.Struct, frozen=True):
    """A pool's numbers; `doubt` says why they are not to be trusted wholly."""

    view: PoolView | None
    doubt: PoolReason | None = None
    message: str = ""

    @property
    def demand(self) -> Demand | None:
        """What there is to do; None when nobody knows."""
        view = self.view
        if view is None or not view.is_current:
            return None
        return Demand(
            ready=view.queued,
            # A ledger that was wiped learns from the soldiers' beats what they run.
            in_flight=max(view.in_flight, sum(soldier.busy for soldier in view.soldiers)),
            due_soon=view.due_within_minute,
            in_broker=view.in_broker,
            oldest_seconds=view.oldest_queued_seconds,
        )


def judge(view: PoolView | None, age_seconds: float) -> Numbers:
    """Take the newest view, unless it is too old to be true."""
    if view is None or age_seconds > FRESH_SECONDS:
        message = f"the Commander says nothing of this pool now, and is asked again; {_NOTHING_IN}"
        return Numbers(None, PoolReason.NUMBERS_OLD, message)
    if not view.is_current:
        message = f"the ledger is away, and these are the numbers from before; {_NOTHING_IN}"
        return Numbers(view, PoolReason.LEDGER_AWAY, message)
    if view.in_broker is None:
        message = f"the broker's own count of what waits is not to be had; {_NOTHING_IN}"
        return Numbers(view, PoolReason.BROKER_AWAY, message)
    return Numbers(view)
