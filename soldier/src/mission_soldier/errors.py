"""What a handler raises to say what happens next, and what is raised at those who define handlers."""

import math
from datetime import timedelta
from typing import Any, Final

from mission_contracts.spec import YEAR_SECONDS

MIN_RETRY_SECONDS: Final = 0.1
"""A shorter delay is this long: without it, a handler that says "not now" would run in a hot loop."""
MAX_RETRY_SECONDS: Final = float(YEAR_SECONDS)
"""A longer delay is this long, which is beyond every deadline."""
DEFAULT_RETRY_SECONDS: Final = 1.0


class SoldierError(Exception):
    """Everything this package raises on purpose."""


class RetryLater(SoldierError):  # noqa: N818 - reads as the sentence that it is: raise RetryLater(after=30)
    """Not now. The mission runs again after the delay; it costs no attempt, up to a bound.

    A delay of less than 0.1 s is reported as 0.1 s. ValueError for one that is negative, not finite, or no number.
    """

    def __init__(self, reason: str = "", *, after: float | timedelta = DEFAULT_RETRY_SECONDS) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after_seconds = retry_seconds(after)


class GiveUp(SoldierError):  # noqa: N818 - as above
    """Never again. The mission fails with this reason, however many attempts are left."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class MissionCancelledError(SoldierError):
    """The handler stops because it was told to; `ctx.cancelled.raise_if_set()` raises it."""


class HandlerDefinitionError(SoldierError):
    """A handler cannot be registered as it is written; the text says what to change."""


class BadPayloadError(SoldierError):
    """The payload does not fit the handler's type; trying again cannot help."""


class BadResultError(SoldierError):
    """The handler's result cannot be kept: it is no JSON, too large, or not what the handler announces."""


def retry_seconds(after: Any) -> float:
    """Return a delay in seconds. Raises ValueError for what is none."""
    try:
        if isinstance(after, str | bytes):
            raise TypeError("text is no number of seconds")  # noqa: TRY301 - one sentence for all of them
        seconds = after.total_seconds() if isinstance(after, timedelta) else float(after)
    except OverflowError:
        seconds = math.inf
    except Exception as error:
        raise ValueError("RetryLater(after=…): a delay is a number of seconds, or a timedelta") from error
    if not 0 <= seconds < math.inf:
        raise ValueError(f"RetryLater(after={seconds}): a delay is 0 seconds or more, and finite")
    return seconds
