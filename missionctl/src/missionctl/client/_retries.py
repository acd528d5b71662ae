"""When a call is worth repeating, and after how long: decided here, slept elsewhere."""

import random
from typing import Final

import msgspec

from missionctl.client._wire import Answer, Lost, Outcome, Request

REFUSED_FOR_NOW: Final = frozenset({429, 503})
"""Nothing was done: any call may be repeated."""

LOST_ON_THE_WAY: Final = frozenset({502, 504})
"""A proxy's words: the call may have been done."""


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """How stubborn a client is."""

    patience_seconds: float = 30.0
    """How long one call goes on trying, in all. 0: once."""
    first_seconds: float = 0.05
    longest_seconds: float = 2.0

    def pause(self, request: Request, outcome: Outcome, *, attempt: int, spent_seconds: float) -> float | None:
        """Seconds until the next try, or None when this outcome is the last word. `attempt` counts from 1."""
        if not is_worth_repeating(request, outcome):
            return None
        pause = self.backoff(attempt)
        if isinstance(outcome, Answer) and outcome.retry_after_seconds is not None:
            pause += outcome.retry_after_seconds
        return pause if spent_seconds + pause < self.patience_seconds else None

    def backoff(self, attempt: int) -> float:
        """Full jitter: clients that lost the same Commander do not come back together."""
        bound = min(self.longest_seconds, self.first_seconds * 2 ** min(attempt, 30))
        return self.first_seconds / 2 + random.uniform(0, bound)  # noqa: S311 - spreads load, keeps no secret


def is_worth_repeating(request: Request, outcome: Outcome) -> bool:
    """Tell whether another try may help, and can do no harm."""
    if isinstance(outcome, Lost):
        return request.is_idempotent or not outcome.was_sent
    if outcome.status in LOST_ON_THE_WAY:
        return request.is_idempotent
    return outcome.status in REFUSED_FOR_NOW
