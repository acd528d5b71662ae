"""A soldier's word on what it runs: applied while its claim is open, refused ever after."""

import math
from typing import Final

import msgspec

from mission_commander.domain.life import attempts, moves
from mission_commander.domain.life.ends import give_back, past_deadline
from mission_commander.domain.life.losses import as_claimed
from mission_commander.domain.life.moves import Moment
from mission_commander.domain.record import Mission, Phase
from mission_contracts import results
from mission_contracts.messages import AttemptError, Report, ReportKind
from mission_contracts.mission import Failure, Instance, Reason
from mission_contracts.soldiering import DropReason

MAX_LATERS: Final = 1_000
"""RetryLater costs no attempt, up to this bound; the deadline bounds it too."""
MIN_LATER_SECONDS: Final = 0.1
"""A shorter delay is this long: without it, a handler that says "not now" would run in a hot loop."""
DEFAULT_LATER_SECONDS: Final = 1.0
"""Where a report names no delay, or none that is a number: a delay of Infinity travels as null."""


_NEVER_AGAIN: Final = frozenset({Failure.GIVE_UP, Failure.BAD_PAYLOAD})


class Refused(msgspec.Struct, frozen=True):
    """A report that changes nothing, and why."""

    why: DropReason


def report(mission: Mission, said: Report, instance: Instance, moment: Moment, *, chance: float) -> Mission | Refused:
    """Apply a soldier's word. Its secret was checked before: whoever knows it was told RUN for this epoch.

    `chance` in [0, 1) draws the retry's delay (full jitter).
    """
    if why := _why_refused(mission, said, instance):
        return Refused(why)
    held = _as_held(mission, said, instance, moment)
    match said.kind:
        case ReportKind.PROGRESS:
            return _progressed(held, said, moment)
        case ReportKind.COMPLETED:
            return _completed(held, said, moment)
        case ReportKind.RELEASED:
            return give_back(held, moment)
        case ReportKind.FAILED:
            return _failed(held, said.error or AttemptError(failure=Failure.ERROR), moment, chance, said.ran_seconds)


def _why_refused(mission: Mission, said: Report, instance: Instance) -> DropReason | None:
    if mission.is_final:
        return DropReason.FINAL
    if said.epoch < mission.epoch:
        return DropReason.STALE
    if said.epoch > mission.epoch or mission.phase is Phase.OUT:
        return None  # the ledger was rolled back: it has lost this claim
    return None if mission.holder == instance else DropReason.SPENT  # nobody holds one that waits


def _as_held(mission: Mission, said: Report, instance: Instance, moment: Moment) -> Mission:
    """The record with the claim that the report proves, also where a rolled back ledger had lost it."""
    if mission.phase is Phase.CLAIMED and mission.epoch == said.epoch:
        return mission
    since = moment.now - said.ran_seconds
    return as_claimed(mission, said.epoch, instance, since=since, attempt=max(mission.attempt, said.attempt))


def _progressed(mission: Mission, said: Report, moment: Moment) -> Mission:
    return moves.move(mission, moment, progress=said.progress, message=said.note)


def _completed(mission: Mission, said: Report, moment: Moment) -> Mission:
    ended_at = attempts.ended_at(mission, said.ran_seconds, moment)
    result = bytes(said.result) if said.result is not None else None
    why_not = results.why_not_kept(result) if result is not None else None
    return moves.finish(
        attempts.close(mission, ended_at, None, ""),
        moment,
        Reason.COMPLETED,
        f"completed, but {why_not}" if why_not else "",
        finished_at=ended_at,
        end_recorded_at=moment.now if ended_at < moment.now else None,
        progress=100.0 if mission.progress is not None else None,
        result=None if why_not else result,
    )


def _failed(mission: Mission, error: AttemptError, moment: Moment, chance: float, ran_seconds: float) -> Mission:
    ended_at = attempts.ended_at(mission, ran_seconds, moment)
    ended = attempts.close(mission, ended_at, error.failure, error.message)
    said = _sentence(error)
    if ended.cancel_requested_at is not None:
        return moves.finish(ended, moment, Reason.CANCELLED, "cancelled while it ran")
    if error.failure in _NEVER_AGAIN:
        return moves.finish(ended, moment, Reason.GAVE_UP, said)
    comes_later = error.failure is Failure.RETRY_LATER and mission.laters < MAX_LATERS
    if mission.attempt >= mission.envelope.retry.max_attempts and not comes_later:
        tries = f"attempt {mission.attempt} of {mission.envelope.retry.max_attempts}"
        return moves.finish(ended, moment, Reason.ATTEMPTS_EXHAUSTED, f"{tries} failed: {said}")
    if moment.now >= mission.envelope.deadline_at:
        return past_deadline(ended, moment, last=said)
    if comes_later:
        return _later(ended, moment, error)
    due_at = moment.now + backoff_bound(mission) * chance
    return moves.wait(ended, moment, Reason.RETRY_BACKOFF, f"attempt {mission.attempt} failed: {said}", due_at=due_at)


def backoff_bound(mission: Mission) -> float:
    """The longest wait before the next attempt, in seconds."""
    retry = mission.envelope.retry
    exponent = min(max(mission.attempt - 1, 0), 64)
    return float(min(retry.max_delay_seconds, retry.initial_delay_seconds * retry.multiplier**exponent))


def _later(mission: Mission, moment: Moment, error: AttemptError) -> Mission:
    # A wait beyond the deadline ends at it, and a date must stay one that can be written.
    due_at = min(moment.now + _later_seconds(error.retry_after_seconds), mission.envelope.deadline_at)
    waiting = moves.wait(attempts.uncharge(mission), moment, Reason.RETRY_BACKOFF, _sentence(error), due_at=due_at)
    return msgspec.structs.replace(waiting, laters=mission.laters + 1)


def _later_seconds(asked: float | None) -> float:
    if asked is None or not math.isfinite(asked):
        return DEFAULT_LATER_SECONDS
    return max(MIN_LATER_SECONDS, asked)


def _sentence(error: AttemptError) -> str:
    return error.message or f"the handler ended with {error.failure.value} and gave no message"
