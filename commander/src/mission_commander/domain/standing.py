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
    """Whether a record was written after another one of its id: what memory follows, whichever stands."""
    if retention.is_earlier_life(other, record):
        return True
    return record.sequence > other.sequence and not retention.is_earlier_life(record, other)


def lifted(winner: Mission, loser: Mission, moment: Moment) -> Mission:
    """The record that stands, with a sequence above both: whoever saw the other one must not see it go back."""
    if winner.sequence > loser.sequence or winner == loser:
        return winner
    return msgspec.structs.replace(winner, sequence=Sequence(next_in(loser.sequence, moment.era)))
