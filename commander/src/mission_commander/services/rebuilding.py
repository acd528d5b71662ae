"""Records made anew from what travels: the ledger was wiped, but orders and reports still know their missions."""

from mission_commander.domain.life import Moment, next_in
from mission_commander.domain.record import Mission, Phase
from mission_contracts import messages
from mission_contracts import mission as m
from mission_contracts.envelope import Envelope
from mission_contracts.soldiering import Hold


def from_order(order: messages.Order, moment: Moment) -> Mission:
    """The mission as it was when this order was handed out."""
    return Mission(
        envelope=order.envelope,
        sequence=m.Sequence(next_in(order.epoch, moment.era)),
        phase=Phase.OUT,
        epoch=order.epoch,
        handed_out_at=moment.now,
    )


def from_report(report: messages.Report, instance: m.Instance, moment: Moment) -> Mission:
    """The mission as it was while this instance ran it."""
    started_at = moment.now - report.ran_seconds
    return _claimed(report.envelope, report.epoch, report.attempt, instance, started_at, moment)


def from_hold(hold: Hold, envelope: Envelope, instance: m.Instance, moment: Moment) -> Mission:
    """The mission that an instance has in its hands now; how many attempts it had is not known any more."""
    return _claimed(envelope, hold.epoch, 1, instance, moment.now, moment)


def _claimed(
    envelope: Envelope, epoch: m.Epoch, attempt: int, instance: m.Instance, started_at: float, moment: Moment
) -> Mission:
    return Mission(
        envelope=envelope,
        sequence=m.Sequence(next_in(epoch, moment.era)),
        phase=Phase.CLAIMED,
        state=m.MissionState.IN_PROGRESS,
        reason=m.Reason.RUNNING,
        epoch=epoch,
        attempt=attempt,
        holder=instance,
        claimed_at=started_at,
        started_at=started_at,
        payload_lost=True,
    )
