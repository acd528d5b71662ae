"""How an attempt ended, as a value: what a handler returned or raised, and what the stop that it got makes of it."""

import traceback
from enum import StrEnum
from typing import Final

import msgspec

from mission_contracts.messages import AttemptError, ReportKind
from mission_contracts.mission import Failure
from mission_contracts.optional_json import OptionalJson
from mission_soldier.errors import BadPayloadError, BadResultError, GiveUp, MissionCancelledError, RetryLater

MAX_MESSAGE_CHARACTERS: Final = 1024
MAX_TRACEBACK_BYTES: Final = 8 * 1024


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of one attempt."""

    kind: ReportKind
    result: OptionalJson = None
    error: AttemptError | None = None


class Stop(StrEnum):
    """Why an attempt is stopped from outside."""

    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"  # the mission shall be cancelled
    RELEASED = "released"  # the soldier leaves
    DROPPED = "dropped"  # the claim is dead: not a word more


COMPLETED_WITHOUT_RESULT: Final = Outcome(ReportKind.COMPLETED)
RELEASED: Final = Outcome(ReportKind.RELEASED)


def completed(result: bytes) -> Outcome:
    """The handler returned."""
    return Outcome(ReportKind.COMPLETED, result=msgspec.Raw(result))


def failed(failure: Failure, message: str, *, trace: str = "", retry_after_seconds: float | None = None) -> Outcome:
    """The attempt failed, with a sentence for a person."""
    return Outcome(
        ReportKind.FAILED,
        error=AttemptError(
            failure=failure,
            message=message[:MAX_MESSAGE_CHARACTERS],
            traceback=trace,
            retry_after_seconds=retry_after_seconds,
        ),
    )


def of_exception(error: BaseException) -> Outcome:
    """What a handler's exception says: some are announced, all others are errors of the handler."""
    match error:
        case RetryLater():
            said = error.reason or f"the handler asked to be tried again in {error.after_seconds:g} s"
            return failed(Failure.RETRY_LATER, said, retry_after_seconds=error.after_seconds)
        case GiveUp():
            return failed(Failure.GIVE_UP, error.reason)
        case BadPayloadError():
            return failed(Failure.BAD_PAYLOAD, str(error))
        case BadResultError():
            return failed(Failure.GIVE_UP, str(error))
        case MissionCancelledError():
            return failed(Failure.CANCELLED, str(error))
        case _:
            return failed(Failure.ERROR, _described(error), trace=_newest_frames(error))


def process_died(exit_code: int | None) -> Outcome:
    """The child process went away under its handler."""
    return failed(Failure.PROCESS_DIED, f"the process died while it ran this mission: {_exit_described(exit_code)}")


def ending(stop: Stop | None, outcome: Outcome | None, *, timeout_seconds: float) -> Outcome | None:
    """What is reported of an attempt that was stopped, or not; None when nothing may be said.

    `outcome` is None while a stopped handler still runs: then the stop alone speaks.
    """
    if stop is Stop.DROPPED:
        return None
    if stop is None:
        return outcome
    if stop is Stop.TIMED_OUT:
        return failed(Failure.TIMED_OUT, f"the attempt ran longer than {timeout_seconds:g} s and was stopped")
    if outcome is not None and _is_the_handlers_own_word(outcome):
        return outcome
    return RELEASED if stop is Stop.RELEASED else failed(Failure.CANCELLED, "the mission was cancelled while it ran")


def _is_the_handlers_own_word(outcome: Outcome) -> bool:
    """A result, or a word the handler chose; errors on the way out belong to the stop."""
    return outcome.error is None or outcome.error.failure in (Failure.RETRY_LATER, Failure.GIVE_UP, Failure.BAD_PAYLOAD)


def _described(error: BaseException) -> str:
    text = str(error)
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def _newest_frames(error: BaseException) -> str:
    """The traceback without this package's frame on top, cut from its oldest end."""
    own = error.__traceback__
    frames = own.tb_next if own is not None and own.tb_next is not None else own
    text = "".join(traceback.format_exception(type(error), error, frames)).encode(errors="replace")
    return text[-MAX_TRACEBACK_BYTES:].decode(errors="ignore")


def _exit_described(exit_code: int | None) -> str:
    if exit_code is None:
        return "it closed its connection and did not exit"
    if exit_code == -9:
        return "killed by SIGKILL, most often for using too much memory"
    return f"killed by signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
