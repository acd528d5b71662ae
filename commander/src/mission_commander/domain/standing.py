"""Which of two records of one id stands: the ledger and a Commander's memory part ways in a wipe or a rollback."""

import msgspec

from mission_commander.domain.life import Moment, next_in
from mission_commander.domain.record import Mission
from mission_commander.domain.retention import Retention
from mission_contracts.mission import Sequence


def stands_against(record: Mission, other: Mission, retention: Retention) -> bool:
    """The later life wins, whatever its numbers. Within one life a final state wins, then the later hand-out, then the
    later change; of equals the first."""
    if retention.is_earlier_life(other, record):
        return True
    if retention.is_earlier_life(record, other):
        return False
    return _standing(record) >= _standing(other)


def _standing(record: Mission) -> tuple[bool, int, int]:
    return record.is_final, record.epoch, record.sequence


def is_newer(record: Mission, other: Mission, retention: Retention) -> bool:
    """Whether memory, which has the other one, takes a record in: it is of a later life, or a later change.

    Nothing follows an end within its life. A live record with a higher number is what a Commander that had not heard of
    the end wrote back after a loss: the end has to be restored over it, and must not be forgotten before.
    """
    if retention.is_earlier_life(other, record):
        return True
    if retention.is_earlier_life(record, other):
        return False
    return record.sequence > other.sequence and (record.is_final or not other.is_final)


def knows_more(record: Mission, other: Mission, retention: Retention) -> bool:
    """Whether a Commander that has one record knows what a ledger with the other one has lost."""
    is_end = record.is_final and not other.is_final and not retention.is_earlier_life(record, other)
    return is_end or is_newer(record, other, retention)


def lifted(winner: Mission, loser: Mission, moment: Moment) -> Mission:
    """The record that stands, with a sequence above both: whoever saw the other one must not see it go back."""
    if winner.sequence > loser.sequence or winner == loser:
        return winner
    return msgspec.structs.replace(winner, sequence=Sequence(next_in(loser.sequence, moment.era)))
