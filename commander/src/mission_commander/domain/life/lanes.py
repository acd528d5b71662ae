"""What its lane does to a mission. Who stands where is the lane's to decide (`domain/lane.py`)."""

import msgspec

from mission_commander.domain.lane import Place
from mission_commander.domain.life import moves
from mission_commander.domain.life.moves import Moment
from mission_commander.domain.life.placing import Surroundings, place
from mission_commander.domain.record import Mission
from mission_contracts.mission import Reason


def take_turn(mission: Mission, moment: Moment, around: Surroundings, message: str = "") -> Mission:
    """It is its turn: from here on it goes its way like any other, and its lane waits for its end."""
    leading = msgspec.structs.replace(mission, leads=True)
    return place(leading, moment, around, waiting_for=Reason.SCHEDULED, message=message)


def wait_for_gap(mission: Mission, moment: Moment, until: float, message: str) -> Mission:
    """Let the first of its lane wait for a number that has not come."""
    return moves.wait(mission, moment, Reason.LANE_GAP, message, due_at=until)


def come_too_late(mission: Mission, moment: Moment, message: str) -> Mission:
    """Fail a newcomer whose number its lane has passed. It did not run; a redrive lets it."""
    return moves.finish(mission, moment, Reason.LANE_PASSED, message)


def stand_at(mission: Mission, moment: Moment, where: Place | None, *, leads: bool) -> Mission:
    """Note a place that was lost with its ledger, wherever the mission is by now."""
    return moves.move(mission, moment, place=where, leads=leads)
