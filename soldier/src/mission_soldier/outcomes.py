"""How an attempt ended, as a value: what a handler returned or raised, and what the stop that it got makes of it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from mission_contracts.messages import AttemptError, ReportKind
from mission_contracts.mission import Failure
from mission_contracts.optional_json import OptionalJson
from mission_soldier.describing import attribute_of, error_text, text_of, traceback_of
from mission_soldier.errors import (
    DEFAULT_RETRY_SECONDS,
    MAX_RETRY_SECONDS,
    MIN_RETRY_SECONDS,
    BadPayloadError,
    BadResultError,
    GiveUp,
    MissionCancelledError,
    RetryLater,
    retry_seconds,
)

_FAILURES: Final[Mapping[type[BaseException], Failure]] = {
    BadPayloadError: Failure.BAD_PAYLOAD,
    BadResultError: Failure.GIVE_UP,
    MissionCancelledError: Failure.CANCELLED,
}


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
            message=text_of(message),
            traceback=trace,
            retry_after_seconds=retry_after_seconds,
        ),
    )


def of_exception(error: BaseException) -> Outcome:
    """What a handler's exception says: some are announced, all others are errors of the handler. Never raises."""
    kind = type(error)  # not isinstance: it asks the error for its __class__, which may raise
    if issubclass(kind, RetryLater):
        return _later(error)
    if issubclass(kind, GiveUp):
        reason = text_of(attribute_of(error, "reason", ""), otherwise="its reason cannot be read")
        return failed(Failure.GIVE_UP, reason or "the handler gave up and gave no reason")
    if (failure := next((_FAILURES[base] for base in _FAILURES if issubclass(kind, base)), None)) is not None:
        return failed(failure, text_of(error, otherwise=error_text(error)))
    return failed(Failure.ERROR, error_text(error), trace=traceback_of(error))


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


def _later(error: BaseException) -> Outcome:
    try:
        # Again, for a subclass or an assignment: a delay of Infinity travels as null.
        asked = retry_seconds(attribute_of(error, "after_seconds", DEFAULT_RETRY_SECONDS))
    except ValueError as refused:
        return failed(Failure.ERROR, error_text(refused))
    seconds = min(max(asked, MIN_RETRY_SECONDS), MAX_RETRY_SECONDS)
    reason = text_of(attribute_of(error, "reason", ""), otherwise="its reason cannot be read")
    said = reason or f"the handler asked to be tried again in {seconds:g} s"
    return failed(Failure.RETRY_LATER, said, retry_after_seconds=seconds)


def _exit_described(exit_code: int | None) -> str:
    if exit_code is None:
        return "it closed its connection and did not exit"
    if exit_code == -9:
        return "killed by SIGKILL, most often for using too much memory"
    return f"killed by signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
