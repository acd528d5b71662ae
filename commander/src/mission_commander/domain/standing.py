"""Which of two records of one mission stands: the ledger and a Commander's memory part ways in a wipe or a rollback."""

import msgspec

from mission_commander.domain.life import Moment
from mission_commander.domain.record import Mission
from mission_contracts.mission import Sequence, next_number


def stands_against(record: Mission, other: Mission) -> bool:
    """A final state wins, then the later hand-out, then the later change; of equals the first."""
    return _standing(record) >= _standing(other)


def _standing(record: Mission) -> tuple[bool, int, int]:
    return record.is_final, record.epoch, record.sequence


def lifted(winner: Mission, loser: Mission, moment: Moment) -> Mission:
    """The record that stands, with a sequence above both: whoever saw the other one must not see it go back."""
    if winner.sequence > loser.sequence or winner == loser:
        return winner
    return msgspec.structs.replace(winner, sequence=Sequence(next_number(loser.sequence, moment.era)))
