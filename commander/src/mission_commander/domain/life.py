"""How a mission moves: pure functions from a record, and what happened, to its next record.

Nobody else makes a record of a mission that has one. Every move goes through `_moved`, which raises the sequence
and holds the transition table; a function that finds nothing to do gives None.
"""

from collections.abc import Sequence as SequenceOf
from typing import Final

import msgspec

from mission_commander.domain.record import KEPT_ATTEMPTS, Attempt, Mission, Phase
from mission_contracts.envelope import Envelope
from mission_contracts.messages import AttemptError, Report, ReportKind
from mission_contracts.mission import (
    TRANSITIONS,
    Epoch,
    Era,
    Failure,
    Instance,
    MissionState,
    Reason,
    Sequence,
    next_number,
)
from mission_contracts.rest import Floor
from mission_contracts.soldiering import DropReason

NO_HANDLER_DELAY_SECONDS: Final = 1.0
NAMED_TYPES: Final = 10
"""How many of a pool's types the NoHandler message names."""
MAX_DEATHS: Final = 10
"""After this many lost leases a mission is taken for the cause, whatever else may have killed its soldiers."""
MAX_LATERS: Final = 1_000
"""RetryLater costs no attempt, up to this bound; the deadline bounds it too."""
DEADLINE_GRACE_SECONDS: Final = 10.0
"""A running attempt ends itself at the deadline; the Commander steps in this much later."""


class IllegalMoveError(Exception):
    """A decision would break the transition table: a defect of ours, never of the input."""


class Moment(msgspec.Struct, frozen=True):
    """When, and in which era, a decision is made."""

    now: float
    era: Era


class Surroundings(msgspec.Struct, frozen=True):
    """What a mission cannot know of itself when it looks for a place."""

    pool_is_known: bool = True
    lane_is_free: bool = True
    handler_is_known: bool = True
    """False when the pool has living soldiers and none of them handles the type."""


OPEN_FIELD: Final = Surroundings()


# Placing: where a mission goes that nobody runs.


def accept(
    envelope: Envelope, moment: Moment, around: Surroundings, *, suspended: bool = False, floor: Floor | None = None
) -> Mission:
    """Make the first record; its numbers lie above what its object shows already."""
    mission = Mission(
        envelope=envelope,
        sequence=Sequence(floor.sequence if floor else 0),
        epoch=Epoch(floor.epoch if floor else 0),
        attempt=floor.attempt if floor else 0,
        phase=Phase.WAITING,
        suspended=suspended,
        due_at=envelope.start_after,
    )
    return place(mission, moment, around, waiting_for=Reason.SCHEDULED)


def lift(mission: Mission, floor: Floor, moment: Moment) -> Mission | None:
    """Raise a record above what its object shows already: the ledger was rolled back, and nobody remembers the rest.

    Where the lost history had handed it out later than this record knows, that hand-out is fenced by a new one.
    """
    if floor.sequence <= mission.sequence:
        return None
    above = msgspec.structs.replace(mission, sequence=Sequence(floor.sequence))
    if mission.is_final or floor.epoch <= mission.epoch:
        return _moved(above, moment)
    above = msgspec.structs.replace(above, epoch=Epoch(floor.epoch), attempt=max(mission.attempt, floor.attempt))
    return _moved(above, moment) if mission.phase is Phase.WAITING else _again(above, moment, *_ROLLED_BACK)


_ROLLED_BACK: Final = (Reason.RELEASED, "the ledger had lost its latest hand-out; it runs again")


def place(mission: Mission, moment: Moment, around: Surroundings, *, waiting_for: Reason, message: str = "") -> Mission:
    """Hand the mission out, or let it wait and say for what. `waiting_for` names the reason of its due time."""
    if mission.suspended:
        return _wait(mission, moment, Reason.SUSPENDED, "suspended: set spec.suspend to false to let it go on")
    if mission.due_at is not None and mission.due_at > moment.now:
        return _wait(mission, moment, waiting_for, message, due_at=mission.due_at)
    if not around.pool_is_known:
        pool = mission.envelope.pool
        return _wait(
            mission, moment, Reason.NO_POOL, f'there is no pool "{pool}" yet: create the SoldierPool to run it'
        )
    if not around.lane_is_free:
        key = mission.envelope.ordering_key
        return _wait(mission, moment, Reason.LANE_BUSY, f'an earlier mission of ordering key "{key}" comes first')
    return hand_out(mission, moment, message=message)


def hand_out(
    mission: Mission, moment: Moment, *, reason: Reason = Reason.WAITING_FOR_SOLDIER, message: str = ""
) -> Mission:
    """Raise the epoch and send the mission to its pool."""
    return _moved(
        mission,
        moment,
        phase=Phase.OUT,
        state=MissionState.QUEUED,
        reason=reason,
        message=message,
        epoch=Epoch(next_number(mission.epoch, moment.era)),
        handed_out_at=moment.now,
        due_at=None,
        **_NO_CLAIM,
    )


def wake(mission: Mission, moment: Moment, around: Surroundings) -> Mission | None:
    """Its time has come, or its pool has, or its lane is free."""
    if mission.phase is not Phase.WAITING:
        return None
    if mission.due_at is not None and mission.due_at > moment.now:
        return None
    if mission.reason is Reason.NO_HANDLER and not around.handler_is_known:
        return None
    message = mission.message if mission.reason in _KEEPS_ITS_MESSAGE else ""
    placed = place(mission, moment, around, waiting_for=mission.reason, message=message)
    return None if (placed.phase, placed.reason) == (mission.phase, mission.reason) else placed


_KEEPS_ITS_MESSAGE: Final = frozenset({Reason.RETRY_BACKOFF})
"""Why the last attempt failed stays readable until the next one starts."""


def explain(mission: Mission, moment: Moment, reason: Reason, message: str) -> Mission | None:
    """Say what a mission waits for that has been out for a while."""
    if mission.phase is not Phase.OUT or mission.reason is reason:
        return None
    return _moved(mission, moment, reason=reason, message=message)


# Claims.


class Granted(msgspec.Struct, frozen=True):
    """RUN. `mission` is None when this repeats an answer that was lost."""

    mission: Mission | None
    attempt: int
    timeout_seconds: float
    solo: bool


class Dropped(msgspec.Struct, frozen=True):
    """DROP; `mission` is the next record where the claim itself changed something."""

    reason: DropReason
    mission: Mission | None = None


def claim(
    mission: Mission,
    epoch: Epoch,
    instance: Instance,
    moment: Moment,
    *,
    has_handler: bool,
    known_types: SequenceOf[str] = (),
) -> Granted | Dropped:
    """Decide whether an instance may run an epoch. `known_types` are what the pool's soldiers handle."""
    if useless := _why_useless(mission, epoch, instance):
        return Dropped(useless)
    if mission.phase is Phase.CLAIMED and epoch == mission.epoch:
        return Granted(None, mission.attempt, _attempt_seconds(mission, moment), mission.solo)
    if moment.now >= mission.envelope.deadline_at:
        return Dropped(DropReason.PAST_DEADLINE, past_deadline(mission, moment))
    if not has_handler:
        return Dropped(DropReason.NO_HANDLER, _without_handler(mission, moment, known_types))
    claimed = _moved(
        mission,
        moment,
        phase=Phase.CLAIMED,
        state=MissionState.IN_PROGRESS,
        reason=Reason.RUNNING,
        message="",
        epoch=epoch,  # above ours only where the ledger was rolled back: then the order knows better
        attempt=mission.attempt + 1,
        holder=instance,
        claimed_at=moment.now,
        started_at=moment.now,
        progress=None,
        due_at=None,
    )
    return Granted(claimed, claimed.attempt, _attempt_seconds(claimed, moment), claimed.solo)


def _why_useless(mission: Mission, epoch: Epoch, instance: Instance) -> DropReason | None:
    if mission.is_final:
        return DropReason.CANCELLED if mission.state is MissionState.CANCELLED else DropReason.FINAL
    if epoch < mission.epoch:
        return DropReason.STALE
    if epoch > mission.epoch:
        return None
    if mission.phase is Phase.CLAIMED:
        return None if mission.holder == instance else DropReason.SPENT
    return DropReason.HELD if mission.phase is Phase.WAITING else None


def _without_handler(mission: Mission, moment: Moment, known_types: SequenceOf[str]) -> Mission:
    envelope = mission.envelope
    known = ", ".join(known_types[:NAMED_TYPES]) + (", …" if len(known_types) > NAMED_TYPES else "")
    message = (
        f'no soldier of pool "{envelope.pool}" handles type "{envelope.type}"; it handles {known or "nothing yet"}: '
        "correct the type, or deploy soldiers with a handler for it"
    )
    return _wait(mission, moment, Reason.NO_HANDLER, message, due_at=moment.now + NO_HANDLER_DELAY_SECONDS)


def _attempt_seconds(mission: Mission, moment: Moment) -> float:
    return max(0.001, min(mission.envelope.timeout_seconds, mission.envelope.deadline_at - moment.now))


# Reports.


class Refused(msgspec.Struct, frozen=True):
    """A report that changes nothing, and why."""

    why: DropReason


def report(mission: Mission, said: Report, instance: Instance, moment: Moment, *, chance: float) -> Mission | Refused:
    """Apply a soldier's word. Its secret was checked before: whoever knows it was told RUN for this epoch.

    `chance` in [0, 1) draws the retry's delay (full jitter).
    """
    if why := _why_refused(mission, said):
        return Refused(why)
    held = _as_held(mission, said, instance, moment)
    match said.kind:
        case ReportKind.PROGRESS:
            return _progressed(held, said, moment)
        case ReportKind.COMPLETED:
            return _completed(held, said, moment)
        case ReportKind.RELEASED:
            return _released(held, moment)
        case ReportKind.FAILED:
            return _failed(held, said.error or AttemptError(failure=Failure.ERROR), moment, chance, said.ran_seconds)


def _why_refused(mission: Mission, said: Report) -> DropReason | None:
    if mission.is_final:
        return DropReason.FINAL
    if said.epoch < mission.epoch:
        return DropReason.STALE
    closed = mission.phase is Phase.WAITING and said.epoch == mission.epoch
    return DropReason.SPENT if closed else None


def _as_held(mission: Mission, said: Report, instance: Instance, moment: Moment) -> Mission:
    """The record with the claim that the report proves, also where a rolled back ledger had lost it."""
    if mission.phase is Phase.CLAIMED and mission.epoch == said.epoch:
        return mission
    return msgspec.structs.replace(
        mission,
        phase=Phase.CLAIMED,
        state=MissionState.IN_PROGRESS,
        epoch=said.epoch,
        attempt=max(mission.attempt, said.attempt),
        holder=instance,
        claimed_at=moment.now - said.ran_seconds,
        started_at=moment.now - said.ran_seconds,
    )


def _progressed(mission: Mission, said: Report, moment: Moment) -> Mission:
    return _moved(mission, moment, progress=said.progress, message=said.note)


def _completed(mission: Mission, said: Report, moment: Moment) -> Mission:
    ended_at = _ended_at(mission, said.ran_seconds, moment)
    return _finish(
        _ended(mission, ended_at, None, ""),
        moment,
        MissionState.COMPLETED,
        Reason.COMPLETED,
        "",
        finished_at=ended_at,
        progress=100.0 if mission.progress is not None else None,
        result=bytes(said.result) if said.result is not None else None,
    )


def _released(mission: Mission, moment: Moment) -> Mission:
    ended = _uncharged(_ended(mission, moment.now, None, "released"))
    ended = msgspec.structs.replace(ended, solo=mission.solo)  # it proved nothing: a suspect stays one
    if ended.cancel_requested_at is not None:
        return _finish(ended, moment, MissionState.CANCELLED, Reason.CANCELLED, "cancelled while it ran")
    return _again(ended, moment, Reason.RELEASED, "given back by a soldier that leaves; it runs again")


def _failed(mission: Mission, error: AttemptError, moment: Moment, chance: float, ran_seconds: float) -> Mission:
    ended_at = _ended_at(mission, ran_seconds, moment)
    ended = _ended(mission, ended_at, error.failure, error.message)
    said = _sentence(error)
    if ended.cancel_requested_at is not None:
        return _finish(ended, moment, MissionState.CANCELLED, Reason.CANCELLED, "cancelled while it ran")
    if moment.now >= mission.envelope.deadline_at:
        return past_deadline(ended, moment)
    if error.failure is Failure.RETRY_LATER and mission.laters < MAX_LATERS:
        return _later(ended, moment, error)
    if error.failure in _NEVER_AGAIN:
        return _dead(ended, moment, Reason.GAVE_UP, said)
    if mission.attempt >= mission.envelope.retry.max_attempts:
        tries = f"attempt {mission.attempt} of {mission.envelope.retry.max_attempts}"
        return _dead(ended, moment, Reason.ATTEMPTS_EXHAUSTED, f"{tries} failed: {said}")
    due_at = moment.now + backoff_bound(mission) * chance
    return _wait(ended, moment, Reason.RETRY_BACKOFF, f"attempt {mission.attempt} failed: {said}", due_at=due_at)


def backoff_bound(mission: Mission) -> float:
    """The longest wait before the next attempt, in seconds."""
    retry = mission.envelope.retry
    exponent = min(max(mission.attempt - 1, 0), 64)
    return float(min(retry.max_delay_seconds, retry.initial_delay_seconds * retry.multiplier**exponent))


def _later(mission: Mission, moment: Moment, error: AttemptError) -> Mission:
    # A wait beyond the deadline ends at it, and a date must stay one that can be written.
    due_at = min(moment.now + max(0.0, error.retry_after_seconds or 0.0), mission.envelope.deadline_at)
    waiting = _wait(_uncharged(mission), moment, Reason.RETRY_BACKOFF, _sentence(error), due_at=due_at)
    return msgspec.structs.replace(waiting, laters=mission.laters + 1)


def _sentence(error: AttemptError) -> str:
    return error.message or f"the handler ended with {error.failure.value} and gave no message"


_NEVER_AGAIN: Final = frozenset({Failure.GIVE_UP, Failure.BAD_PAYLOAD})


# Ends of a claim that nobody reported.


def release(mission: Mission, epoch: Epoch, moment: Moment) -> Mission | None:
    """Take back a claim that its instance does not have in its hands: the answer that granted it was lost."""
    if mission.phase is not Phase.CLAIMED or mission.epoch != epoch:
        return None
    return _released(mission, moment)


def expire(mission: Mission, epoch: Epoch, moment: Moment) -> Mission | None:
    """End a claim whose lease ran out. It is not charged, but a suspect from now on."""
    if mission.phase is not Phase.CLAIMED or mission.epoch != epoch:
        return None
    lost = f"soldier {mission.holder} was not heard of for a whole lease"
    ended = _uncharged(_ended(mission, moment.now, Failure.PROCESS_DIED, lost))
    ended = msgspec.structs.replace(ended, deaths=mission.deaths + 1)
    if ended.cancel_requested_at is not None:
        return _finish(ended, moment, MissionState.CANCELLED, Reason.CANCELLED, "cancelled while it ran")
    if ended.deaths >= MAX_DEATHS:
        return _dead(ended, moment, Reason.ATTEMPTS_EXHAUSTED, f"{ended.deaths} soldiers died while they ran it")
    return _again(ended, moment, Reason.LEASE_LOST, f"{lost}; it runs again, alone in a process")


def return_undelivered(mission: Mission, epoch: Epoch, moment: Moment) -> Mission | None:
    """Hand out anew what the broker dead-lettered by its own count: nobody ran it."""
    if mission.phase is not Phase.OUT or mission.epoch != epoch:
        return None
    return hand_out(mission, moment)


# People's wishes.


def cancel(mission: Mission, moment: Moment, *, deleted: bool = False, message: str = "") -> Mission | None:
    """Cancel: at once while nobody runs it, else as a request to its soldier."""
    if mission.is_final:
        return None
    if mission.phase is Phase.CLAIMED:
        return None if mission.cancel_requested_at is not None else _ask_to_stop(mission, moment)
    reason = Reason.DELETED if deleted else Reason.CANCELLED
    return _finish(mission, moment, MissionState.CANCELLED, reason, message or "cancelled before it ran")


def _ask_to_stop(mission: Mission, moment: Moment) -> Mission:
    return _moved(
        mission,
        moment,
        cancel_requested_at=moment.now,
        reason=Reason.CANCEL_REQUESTED,
        message="told to stop; waiting for its handler",
    )


def cancel_overdue(mission: Mission, moment: Moment, deadline_seconds: float) -> Mission | None:
    """Close a cancelled claim whose soldier gave no answer in time; its late words are refused."""
    asked = mission.cancel_requested_at
    if mission.phase is not Phase.CLAIMED or asked is None or moment.now < asked + deadline_seconds:
        return None
    message = f"cancelled; its soldier gave no answer within {deadline_seconds:g} s"
    ended = _ended(mission, moment.now, Failure.CANCELLED, message)
    return _fenced(_finish(ended, moment, MissionState.CANCELLED, Reason.CANCELLED, message), moment)


def suspend(mission: Mission, moment: Moment) -> Mission | None:
    """Keep it from starting; one that runs goes on, only its retry would wait."""
    if mission.is_final or mission.suspended:
        return None
    if mission.phase is Phase.CLAIMED:
        return _moved(mission, moment, suspended=True)
    held = msgspec.structs.replace(mission, suspended=True)
    return place(held, moment, OPEN_FIELD, waiting_for=Reason.SUSPENDED)


def resume(mission: Mission, moment: Moment, around: Surroundings) -> Mission | None:
    """Let it go on. What waits for its start time or a retry keeps that time."""
    if mission.is_final or not mission.suspended:
        return None
    free = msgspec.structs.replace(mission, suspended=False)
    if mission.phase is Phase.CLAIMED:
        return _moved(free, moment)
    return place(free, moment, around, waiting_for=Reason.SCHEDULED)


def past_deadline(mission: Mission, moment: Moment) -> Mission:
    """Fail it: its deadline has passed."""
    message = f"not finished within {mission.envelope.deadline_seconds:g} s of its acceptance"
    if mission.message:
        message = f"{message}; last: {mission.message}"
    failed = _finish(mission, moment, MissionState.FAILED, Reason.DEADLINE_EXCEEDED, message, dead_letter=True)
    return _fenced(failed, moment)


def meet_deadline(mission: Mission, moment: Moment) -> Mission | None:
    """Fail what is past its deadline; a running attempt has a little more time to end itself."""
    runs = mission.phase is Phase.CLAIMED
    grace = DEADLINE_GRACE_SECONDS if runs else 0.0
    if mission.is_final or moment.now < mission.envelope.deadline_at + grace:
        return None
    ended = _ended(mission, moment.now, Failure.TIMED_OUT, "still running at the deadline") if runs else mission
    return past_deadline(ended, moment)


def acknowledge(mission: Mission, moment: Moment) -> Mission | None:
    """Note that its object shows the final state, or is gone."""
    if not mission.is_final or mission.acknowledged:
        return None
    return msgspec.structs.replace(mission, acknowledged=True, sequence=_next_sequence(mission, moment))


# The one way to move.

_NO_CLAIM: Final = {"holder": Instance(""), "claimed_at": None}


def _moved(mission: Mission, moment: Moment, **changes: object) -> Mission:
    moved = msgspec.structs.replace(mission, sequence=_next_sequence(mission, moment), **changes)
    if moved.state is not mission.state and moved.state not in TRANSITIONS[mission.state]:
        raise IllegalMoveError(f"mission {mission.id} cannot go from {mission.state} to {moved.state}")
    return moved


def _next_sequence(mission: Mission, moment: Moment) -> Sequence:
    return Sequence(next_number(mission.sequence, moment.era))


def _wait(mission: Mission, moment: Moment, reason: Reason, message: str, *, due_at: float | None = None) -> Mission:
    return _moved(
        mission,
        moment,
        phase=Phase.WAITING,
        state=MissionState.QUEUED,
        reason=reason,
        message=message,
        due_at=due_at if due_at is not None else mission.due_at,
        **_NO_CLAIM,
    )


def _again(mission: Mission, moment: Moment, reason: Reason, message: str) -> Mission:
    """Hand out again at once, unless it was suspended meanwhile."""
    if mission.suspended:
        return place(mission, moment, OPEN_FIELD, waiting_for=reason)
    return hand_out(mission, moment, reason=reason, message=message)


def _dead(mission: Mission, moment: Moment, reason: Reason, message: str) -> Mission:
    return _finish(mission, moment, MissionState.FAILED, reason, message, dead_letter=True)


def _finish(
    mission: Mission, moment: Moment, state: MissionState, reason: Reason, message: str, **changes: object
) -> Mission:
    end = {"finished_at": moment.now, **_NO_CLAIM, **changes}
    return _moved(mission, moment, phase=Phase.FINAL, state=state, reason=reason, message=message, due_at=None, **end)


def _fenced(mission: Mission, moment: Moment) -> Mission:
    """Raise the epoch, so that whoever still runs it learns that its claim is dead."""
    return msgspec.structs.replace(mission, epoch=Epoch(next_number(mission.epoch, moment.era)))


def _ended(mission: Mission, ended_at: float, failure: Failure | None, message: str) -> Mission:
    attempt = Attempt(
        number=mission.attempt,
        epoch=mission.epoch,
        instance=mission.holder,
        started_at=mission.started_at or ended_at,
        ended_at=ended_at,
        failure=failure,
        message=message,
    )
    return msgspec.structs.replace(
        mission,
        attempts=(*mission.attempts, attempt)[-KEPT_ATTEMPTS:],
        # Whoever may have killed its process runs alone next, and again when it killed its child.
        solo=failure is Failure.PROCESS_DIED,
    )


def _uncharged(mission: Mission) -> Mission:
    return msgspec.structs.replace(mission, attempt=max(0, mission.attempt - 1))


def _ended_at(mission: Mission, ran_seconds: float, moment: Moment) -> float:
    """The end as the soldier measured it, so that a report that waited in its queue tells no longer duration."""
    if mission.started_at is None:
        return moment.now
    return max(mission.started_at, min(moment.now, mission.started_at + ran_seconds))
