"""Ends that no report brought: a grant never heard, a lease that ran out, an order undelivered, a deadline."""

from typing import Final

import msgspec

from mission_commander.domain.life import attempts, moves
from mission_commander.domain.life.losses import as_handed_out
from mission_commander.domain.life.moves import Moment
from mission_commander.domain.life.placing import ROLLED_BACK, again, hand_out
from mission_commander.domain.record import Mission, Phase
from mission_contracts.mission import Epoch, Failure, Reason

MAX_DEATHS: Final = 10
"""After this many lost leases a mission is taken for the cause, whatever else may have killed its soldiers."""
DEADLINE_GRACE_SECONDS: Final = 10.0
"""A running attempt ends itself at the deadline; the Commander steps in this much later."""


def give_back(mission: Mission, moment: Moment) -> Mission:
    ended = attempts.uncharge(attempts.close(mission, moment.now, None, "released"))
    ended = msgspec.structs.replace(ended, solo=mission.solo)  # it proved nothing: a suspect stays one
    return again(ended, moment, Reason.RELEASED, "given back by a soldier that leaves; it runs again")


def release(mission: Mission, epoch: Epoch, moment: Moment) -> Mission | None:
    """Take back a claim that its instance does not have in its hands: the answer that granted it was lost."""
    if mission.phase is not Phase.CLAIMED or mission.epoch != epoch:
        return None
    return give_back(mission, moment)


def expire(mission: Mission, epoch: Epoch, moment: Moment) -> Mission | None:
    """End a claim whose lease ran out. It is not charged, but a suspect from now on."""
    if mission.phase is not Phase.CLAIMED or mission.epoch != epoch:
        return None
    lost = f"soldier {mission.holder} was not heard of for a whole lease"
    ended = attempts.uncharge(attempts.close(mission, moment.now, Failure.PROCESS_DIED, lost))
    ended = msgspec.structs.replace(ended, deaths=mission.deaths + 1)
    if ended.deaths >= MAX_DEATHS and ended.cancel_requested_at is None:
        message = f"{ended.deaths} soldiers died while they ran it"
        return moves.finish(ended, moment, Reason.ATTEMPTS_EXHAUSTED, message)
    return again(ended, moment, Reason.LEASE_LOST, f"{lost}; it runs again, alone in a process")


def return_undelivered(mission: Mission, epoch: Epoch, moment: Moment) -> Mission | None:
    """Hand out anew what the broker dead-lettered by its own count: nobody ran it.

    An epoch above ours is one that the ledger has lost; the order that it was handed out with is all that is left.
    """
    if mission.is_final or epoch < mission.epoch:
        return None
    if epoch > mission.epoch and mission.phase is Phase.WAITING:
        return moves.move(msgspec.structs.replace(mission, epoch=epoch), moment)
    if epoch > mission.epoch:
        return again(as_handed_out(mission, epoch), moment, *ROLLED_BACK)
    return hand_out(mission, moment) if mission.phase is Phase.OUT else None


def cancel_overdue(mission: Mission, moment: Moment, deadline_seconds: float) -> Mission | None:
    """Close a cancelled claim whose soldier gave no answer in time; its late words are refused."""
    asked = mission.cancel_requested_at
    if mission.phase is not Phase.CLAIMED or asked is None or moment.now < asked + deadline_seconds:
        return None
    return _stopped(mission, moment, f"cancelled; its soldier gave no answer within {deadline_seconds:g} s")


def _stopped(mission: Mission, moment: Moment, message: str) -> Mission:
    ended = attempts.close(mission, moment.now, Failure.CANCELLED, message)
    return moves.fence(moves.finish(ended, moment, Reason.CANCELLED, message), moment)


def past_deadline(mission: Mission, moment: Moment, *, last: str = "") -> Mission:
    """Fail it: its deadline has passed. `last` is what was last heard of it."""
    message = f"not finished within {mission.envelope.deadline_seconds:g} s of its acceptance"
    if last := last or mission.message:
        message = f"{message}; last: {last}"
    return moves.fence(moves.finish(mission, moment, Reason.DEADLINE_EXCEEDED, message), moment)


def meet_deadline(mission: Mission, moment: Moment) -> Mission | None:
    """Fail what is past its deadline; a running attempt has a little more time to end itself."""
    runs = mission.phase is Phase.CLAIMED
    grace = DEADLINE_GRACE_SECONDS if runs else 0.0
    if mission.is_final or moment.now < mission.envelope.deadline_at + grace:
        return None
    if mission.cancel_requested_at is not None:
        return _stopped(mission, moment, "cancelled; its soldier gave no answer before the deadline")
    ended = attempts.close(mission, moment.now, Failure.TIMED_OUT, "still running at the deadline") if runs else mission
    return past_deadline(ended, moment)
