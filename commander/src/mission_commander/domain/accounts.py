"""Whether a mission is accounted for: what ledger, indexes, outbox, broker and memory say of it must agree."""

from enum import StrEnum

import msgspec

from mission_commander.domain.record import Mission, Phase
from mission_commander.domain.retention import KEPT_FOR_GOOD, Retention
from mission_commander.domain.standing import is_newer, knows_more
from mission_contracts.mission import MissionId, Sequence


class Fault(StrEnum):
    """What does not agree. Each would leave a mission where nobody looks for it, or an entry that nobody removes."""

    LOST = "lost"  # the ledger lacks the mission, or what this Commander saw of it
    DANGLING = "dangling"  # the index of live missions names one that is not there, or final
    UNLISTED = "unlisted"  # live, and not in that index: a Commander that starts would not find it
    UNHEARD = "unheard"  # this Commander has not heard what the ledger holds
    NO_MOMENT = "no_moment"  # live, and no moment is set at which to look at it
    STRAY_ORDER = "stray_order"  # the outbox holds a hand-out of a mission that is not there, or final
    NO_ORDER = "no_order"  # handed out, and its order is in no outbox, no queue and no hands


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """All that is said of one mission."""

    id: MissionId
    kept: Mission | None
    """The ledger's record."""
    known: Mission | None
    """This Commander's."""
    is_listed: bool
    """It is in the ledger's index of live missions."""
    is_unconfirmed: bool = False
    """Its newest hand-out is in the outbox."""
    has_outbox_entry: bool = False
    """Some hand-out of it is in the outbox."""
    has_moment: bool = True
    is_in_hand: bool = False
    """A soldier says that it has its order."""
    is_queue_empty: bool = False
    """It is certain that nothing waits in its pool's queues."""
    retention: Retention = KEPT_FOR_GOOD


class Suspicion(msgspec.Struct, frozen=True):
    """A fault, and at which record it was found: one that moved in between is looked at anew."""

    fault: Fault
    at: Sequence | None


def suspicion_of(account: Account) -> Suspicion | None:
    """What is wrong with one mission; the worst fault first."""
    fault = _fault_of(account)
    return Suspicion(fault, account.kept.sequence if account.kept else None) if fault is not None else None


def _fault_of(account: Account) -> Fault | None:
    if _is_lost(account):
        return Fault.LOST
    kept = account.kept
    if kept is None or kept.is_final:
        return _fault_of_the_dead(account)
    if not account.is_listed:
        return Fault.UNLISTED
    if not _is_heard(account):
        return Fault.UNHEARD
    if not account.has_moment:
        return Fault.NO_MOMENT
    return Fault.NO_ORDER if _has_no_order(kept, account) else None


def _is_lost(account: Account) -> bool:
    known, kept = account.known, account.kept
    if known is None:
        return False
    return not known.is_final if kept is None else knows_more(known, kept, account.retention)


def _fault_of_the_dead(account: Account) -> Fault | None:
    if account.is_listed:
        return Fault.DANGLING
    if account.kept is not None and account.known is not None and not _is_heard(account):
        return Fault.UNHEARD
    return Fault.STRAY_ORDER if account.has_outbox_entry else None


def _is_heard(account: Account) -> bool:
    known, kept = account.known, account.kept
    return known is not None and kept is not None and not is_newer(kept, known, account.retention)


def _has_no_order(kept: Mission, account: Account) -> bool:
    """One whose payload was lost waits for whoever brings it; no order can be made of it."""
    if kept.phase is not Phase.OUT or kept.payload_lost:
        return False
    return account.is_queue_empty and not account.is_unconfirmed and not account.is_in_hand
