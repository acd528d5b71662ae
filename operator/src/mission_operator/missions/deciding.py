"""What a look at a Mission calls for. Pure: the same look and the same knowledge give the same answer, every time.

Missed events, restarts and a wiped ledger heal because of it: whatever was not done yet is decided again.
"""

from datetime import datetime, timedelta

import msgspec

from mission_operator.missions.index import Cancelling, Known
from mission_operator.missions.observing import Observed


class Submit(msgspec.Struct, frozen=True):
    """Hand it to the Commander; a second time changes nothing there."""


class SetSuspend(msgspec.Struct, frozen=True):
    """Tell the Commander whether it may start."""

    suspend: bool


class Cancel(msgspec.Struct, frozen=True):
    """Tell the Commander to cancel it."""

    deleted: bool
    """The object is gone, or going."""


class Acknowledge(msgspec.Struct, frozen=True):
    """Tell the Commander that the object shows its end, so that the record may be purged."""


class Expire(msgspec.Struct, frozen=True):
    """Delete the object at this moment, whatever was said before."""

    at: datetime


Action = Submit | SetSuspend | Cancel | Acknowledge | Expire


def decide(observed: Observed, known: Known) -> tuple[Action, ...]:
    """Say what to do, in order; () is the usual answer, since most looks show our own writes."""
    if observed.is_final:
        return _after_the_end(observed, known)
    if observed.is_gone or observed.is_deleting:
        return () if known.cancelling is Cancelling.DELETED else (Cancel(deleted=True),)
    return (*_submission(known), *_suspension(observed, known), *_cancellation(observed, known))


def _after_the_end(observed: Observed, known: Known) -> tuple[Action, ...]:
    acknowledge = () if known.is_acknowledged else (Acknowledge(),)
    at = expiry_of(observed)
    return acknowledge if at is None else (*acknowledge, Expire(at))


def expiry_of(observed: Observed) -> datetime | None:
    """Return when an object that ended is to be deleted; None where it stays, or goes without us."""
    ended_at = observed.shown.finished_at if observed.shown else None
    if observed.is_gone or observed.is_deleting or observed.ttl_seconds is None or ended_at is None:
        return None
    return ended_at + timedelta(seconds=observed.ttl_seconds)


def _submission(known: Known) -> tuple[Action, ...]:
    return () if known.is_submitted else (Submit(),)


def _suspension(observed: Observed, known: Known) -> tuple[Action, ...]:
    # A submission says it too, but only the first one counts: a spec that changed since may not have been told.
    is_told = observed.suspend == known.suspend or (not known.is_submitted and observed.generation == 1)
    return () if is_told else (SetSuspend(observed.suspend),)


def _cancellation(observed: Observed, known: Known) -> tuple[Action, ...]:
    return (Cancel(deleted=False),) if observed.cancel and known.cancelling is Cancelling.NO else ()
