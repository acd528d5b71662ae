"""What a handler raises to say what shall happen next, and what is raised at those who define handlers."""

from datetime import timedelta


class SoldierError(Exception):
    """Everything this package raises on purpose."""


class RetryLater(SoldierError):  # noqa: N818 - reads as the sentence that it is: raise RetryLater(after=30)
    """Not now. The mission runs again after the delay; it costs no attempt, up to a bound."""

    def __init__(self, reason: str = "", *, after: float | timedelta = 1.0) -> None:
        seconds = after.total_seconds() if isinstance(after, timedelta) else float(after)
        if not seconds >= 0:
            raise ValueError(f"RetryLater(after={after!r}): a delay is 0 seconds or more")
        super().__init__(reason)
        self.reason = reason
        self.after_seconds = seconds


class GiveUp(SoldierError):  # noqa: N818 - as above
    """Never again. The mission fails with this reason, however many attempts are left."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MissionCancelledError(SoldierError):
    """The handler stops because it was told to; `ctx.cancelled.raise_if_set()` raises it."""


class HandlerDefinitionError(SoldierError):
    """A handler cannot be registered as it is written; the text says what to change."""


class BadPayloadError(SoldierError):
    """The payload does not fit the handler's type; trying again cannot help."""


class BadResultError(SoldierError):
    """The handler's result cannot be kept: it is no JSON, or too large."""
