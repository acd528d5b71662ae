"""Whether a soldier lives and is ready: pure, from what can be seen of it while its event loop is blocked.

Killing a soldier costs all that it runs. So it is dead only when no running mission can come to an end any more.
"""

from typing import Final, NamedTuple

BLOCKED_SECONDS: Final = 5.0
"""An event loop without a turn for so long takes no missions, and says what blocks it."""
DEAD_SECONDS: Final = 60.0
"""One that is blocked for less is never dead, however short its missions may be."""
RESUBSCRIBE_SECONDS: Final = 30.0
"""A consumer that is gone for so long, while RabbitMQ is connected, is made anew from the ground up."""
GONE_SECONDS: Final = 90.0
"""One that is still gone then does not come back in this process."""


class Vitals(NamedTuple):
    """What is seen of a soldier at one moment."""

    blocked_seconds: float
    longest_timeout_seconds: float
    """Of the missions that run."""
    is_busy: bool
    is_stuck: bool
    """Every slot is held by a handler whose attempt is over and that does not stop."""
    is_registered: bool
    is_told_to_take: bool
    """False once it is to retire."""
    is_consuming: bool
    gone_seconds: float
    """How long its consumer has been gone from a broker that is there."""


def why_not_alive(seen: Vitals) -> str | None:
    """Say why this process has to be started anew, if it has to."""
    if seen.blocked_seconds > max(DEAD_SECONDS, seen.longest_timeout_seconds):
        return f"the event loop is blocked for {seen.blocked_seconds:.0f} s, longer than any running mission may take"
    if seen.is_stuck:
        return "every slot is held by a handler that does not stop"
    if seen.gone_seconds > GONE_SECONDS and not seen.is_busy:
        return f"not consuming orders for {seen.gone_seconds:.0f} s, and RabbitMQ is there"
    return None


def why_not_ready(seen: Vitals) -> str | None:
    """Say why it takes no missions now, if it does not."""
    if seen.blocked_seconds > BLOCKED_SECONDS:
        return f"the event loop is blocked for {seen.blocked_seconds:.0f} s; the log says by what"
    if not seen.is_registered:
        return "not registered at the Commander"
    if not seen.is_told_to_take:
        # Of a pool that shrinks Kubernetes deletes first who is not ready. Who retires while it is busy must not come
        # before those that are idle already.
        return None
    return None if seen.is_consuming else "not consuming orders"


class Absence:
    """How long the consumer is gone for no reason of ours, and when to make it anew: once each time."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._was_renewed = False
        self.seconds = 0.0

    def look(self, *, is_wanted: bool, is_there: bool, broker_is_away: bool, now: float) -> bool:
        """Take a look; True when it is time to make the consumer anew."""
        if is_there or not is_wanted or broker_is_away:
            self._since, self._was_renewed, self.seconds = None, False, 0.0
            return False
        self._since = now if self._since is None else self._since
        self.seconds = now - self._since
        is_time = self.seconds > RESUBSCRIBE_SECONDS and not self._was_renewed
        self._was_renewed = self._was_renewed or is_time
        return is_time
