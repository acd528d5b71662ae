"""Where a mission goes that nobody runs: out to its pool, or into waiting with a reason."""

from typing import Final

import msgspec

from mission_commander.domain.life import attempts, moves
from mission_commander.domain.life.moves import Moment
from mission_commander.domain.record import Mission, Phase
from mission_contracts.clock import utc_text
from mission_contracts.envelope import Envelope
from mission_contracts.mission import Epoch, MissionState, Reason, Sequence
from mission_contracts.rest import Floor


class Surroundings(msgspec.Struct, frozen=True):
    """What a mission cannot know of itself when it looks for a place."""

    pool_is_known: bool = True
    handler_is_known: bool = True
    """False when the pool has living soldiers and none of them handles the type."""


OPEN_FIELD: Final = Surroundings()


def accept(
    envelope: Envelope, moment: Moment, around: Surroundings, *, suspended: bool = False, floor: Floor | None = None
) -> Mission:
    """Make the first record; its numbers lie above what its object, and any earlier mission of its id, showed."""
    mission = Mission(
        envelope=envelope,
        sequence=Sequence(max(floor.sequence if floor else 0, moment.floor)),
        epoch=Epoch(max(floor.epoch if floor else 0, moment.floor)),
        attempt=attempts.charged_by(floor) if floor else 0,
        phase=Phase.WAITING,
        suspended=suspended,
        due_at=envelope.start_after,
    )
    return place(mission, moment, around, waiting_for=Reason.SCHEDULED)


ROLLED_BACK: Final = (Reason.RELEASED, "the ledger had lost its latest hand-out; it runs again")


def lift(mission: Mission, floor: Floor, moment: Moment) -> Mission | None:
    """Raise a record above what its object shows already: the ledger was rolled back, and nobody remembers the rest.

    Where the lost history had handed it out later than this record knows, that hand-out is fenced by a new one.
    """
    if floor.sequence <= mission.sequence:
        return None
    above = msgspec.structs.replace(mission, sequence=Sequence(floor.sequence))
    if mission.is_final or floor.epoch <= mission.epoch:
        return moves.move(above, moment)
    charged = max(attempts.charged(mission), attempts.charged_by(floor))
    above = msgspec.structs.replace(above, epoch=Epoch(floor.epoch), attempt=charged)
    return moves.move(above, moment) if mission.phase is Phase.WAITING else again(above, moment, *ROLLED_BACK)


def place(mission: Mission, moment: Moment, around: Surroundings, *, waiting_for: Reason, message: str = "") -> Mission:
    """Hand the mission out, or let it wait and say for what. `waiting_for` names the reason of its due time."""
    if mission.reason is Reason.LANE_GAP:
        mission = msgspec.structs.replace(mission, due_at=None)  # that time was its lane's, not its own
    if mission.suspended:
        # Its time, if it has one, still counts once it is resumed.
        return moves.wait(mission, moment, Reason.SUSPENDED, _SUSPENDED, due_at=mission.due_at)
    if mission.due_at is not None and mission.due_at > moment.now:
        said = message or _scheduled(mission.due_at, waiting_for)
        return moves.wait(mission, moment, waiting_for, said, due_at=mission.due_at)
    if not around.pool_is_known:
        pool = mission.envelope.pool
        message = f'there is no pool "{pool}" yet: create the SoldierPool to run it'
        return moves.wait(mission, moment, Reason.NO_POOL, message, due_at=None)
    if needs_turn(mission):
        return stand_in_lane(mission, moment)
    return hand_out(mission, moment, message=message)


def _scheduled(due_at: float, waiting_for: Reason) -> str:
    return f"starts after {utc_text(due_at)}, as asked" if waiting_for is Reason.SCHEDULED else ""


_SUSPENDED: Final = "suspended: set spec.suspend to false to let it go on"


def needs_turn(mission: Mission) -> bool:
    """Tell whether it is in a lane, and others come first."""
    return mission.envelope.ordering_key is not None and not mission.leads


def stand_in_lane(mission: Mission, moment: Moment) -> Mission:
    """Let it wait for those before it, however long that takes."""
    message = f'an earlier mission of ordering key "{mission.envelope.ordering_key}" comes first'
    return moves.wait(mission, moment, Reason.LANE_BUSY, message, due_at=None)


def hand_out(
    mission: Mission, moment: Moment, *, reason: Reason = Reason.WAITING_FOR_SOLDIER, message: str = ""
) -> Mission:
    """Raise the epoch and send the mission to its pool."""
    return moves.move(
        mission,
        moment,
        phase=Phase.OUT,
        state=MissionState.QUEUED,
        reason=reason,
        message=message,
        epoch=Epoch(moves.next_in(mission.epoch, moment.era)),
        handed_out_at=moment.now,
        due_at=None,
        **moves.NO_CLAIM,
    )


def again(mission: Mission, moment: Moment, reason: Reason, message: str) -> Mission:
    """Hand out again at once, unless it was suspended or asked to stop, or runs beside its lane (a ledger was lost)."""
    if mission.cancel_requested_at is not None:
        return moves.finish(mission, moment, Reason.CANCELLED, "cancelled while it ran")
    if mission.suspended or needs_turn(mission):
        return place(mission, moment, OPEN_FIELD, waiting_for=reason)
    return hand_out(mission, moment, reason=reason, message=message)


_KEEPS_ITS_MESSAGE: Final = frozenset({Reason.RETRY_BACKOFF})
"""Why the last attempt failed stays readable until the next one starts."""


def wake(mission: Mission, moment: Moment, around: Surroundings) -> Mission | None:
    """Its time has come, or its pool has."""
    if mission.phase is not Phase.WAITING or not mission.reason.is_known:
        return None  # what a newer Commander lets it wait for, only that one can tell to be over
    if mission.due_at is not None and mission.due_at > moment.now:
        return None
    if mission.reason is Reason.NO_HANDLER and not around.handler_is_known:
        return None
    if mission.reason is Reason.LANE_GAP:
        return None  # its lane knows when
    message = mission.message if mission.reason in _KEEPS_ITS_MESSAGE else ""
    placed = place(mission, moment, around, waiting_for=mission.reason, message=message)
    return None if (placed.phase, placed.reason) == (mission.phase, mission.reason) else placed


def explain(
    mission: Mission, moment: Moment, reason: Reason, message: str, *, in_other_words: bool = False
) -> Mission | None:
    """Say what a mission waits for that has been out for a while; the same reason again only in other words."""
    if mission.phase is not Phase.OUT or not mission.reason.is_known:
        return None
    if mission.reason is reason and not (in_other_words and mission.message != message):
        return None
    return moves.move(mission, moment, reason=reason, message=message)
