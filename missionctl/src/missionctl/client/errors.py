"""Everything a call can end with other than its result. Each says in one sentence what happened and what to do."""

from http import HTTPStatus
from typing import Final

import msgspec

from mission_contracts.errors import PROBLEM_CONTENT_TYPE, Problem
from mission_contracts.rest import MissionView
from missionctl.client._wire import Answer, Lost, Request


class MissionControlError(Exception):
    """Catch this one to catch them all."""


class UnsendableError(MissionControlError, ValueError):
    """No request can be made of what was given."""


class NotJsonError(UnsendableError):
    """Something that was to be sent has no form in strict JSON; the text names its path."""


class UnreachableError(MissionControlError):
    """Nobody answered, for as long as the client was willing to try."""


class StrangeAnswerError(MissionControlError):
    """Something answered, but not as a Commander does: a proxy, or another service at that address."""


class NotFinishedError(MissionControlError, TimeoutError):
    """The time to wait is over and `missions` are not final; they go on."""

    def __init__(self, missions: tuple[MissionView, ...], timeout_seconds: float) -> None:
        first = missions[0]
        others = f" and {len(missions) - 1} more" if len(missions) > 1 else ""
        super().__init__(
            f"mission {first.mission_id}{others} did not finish within {timeout_seconds:g} s "
            f"({first.state.camel}, {first.reason}): it goes on, wait again or look at its reason"
        )
        self.missions = missions


class RefusedError(MissionControlError):
    """The Commander said no, and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(_sentence(problem))
        self.problem = problem

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def code(self) -> str:
        """The stable, machine-readable reason."""
        return self.problem.code


class InvalidError(RefusedError):
    """The request is wrong in itself; `problem.field` names the field where there is one."""


class NotAllowedError(RefusedError):
    """The credentials are missing, wrong, or not enough for this."""


class NotFoundError(RefusedError):
    """The Commander knows no such thing."""


class ConflictError(RefusedError):
    """It contradicts what is there, as the same idempotency key with another body."""


class TooManyError(RefusedError):
    """Too much at once; `problem.retry_after_seconds` says when to come back."""


class UnavailableError(RefusedError):
    """The Commander answers but cannot do this now; nothing was accepted."""


_BY_STATUS: Final[dict[int, type[RefusedError]]] = {
    400: InvalidError,
    401: NotAllowedError,
    403: NotAllowedError,
    404: NotFoundError,
    409: ConflictError,
    413: InvalidError,
    415: InvalidError,
    422: InvalidError,
    429: TooManyError,
    503: UnavailableError,
}


def refusal(problem: Problem) -> RefusedError:
    """The exception that fits a problem."""
    return _BY_STATUS.get(problem.status, RefusedError)(problem)


def unreachable(url: str, lost: Lost, request: Request) -> UnreachableError:
    """Say that nobody answered, and whether the call may have been done nevertheless."""
    doubt = "" if request.is_idempotent or not lost.was_sent else "; it may have been done or not"
    return UnreachableError(f"no Commander answers at {url} ({lost.why}){doubt}: check the address and that it runs")


def from_answer(url: str, answer: Answer) -> MissionControlError:
    """Read any answer that is not a result."""
    problem = _problem(answer)
    return strange(url, answer) if problem is None else refusal(problem)


def strange(url: str, answer: Answer) -> StrangeAnswerError:
    """Say that this is not a Commander's answer."""
    kind = answer.headers.get("content-type", "no content type")
    return StrangeAnswerError(
        f"{url} answered {answer.status} with {kind}, not as a Commander does: check the address, or a proxy on the way"
    )


def _problem(answer: Answer) -> Problem | None:
    if not answer.headers.get("content-type", "").startswith(PROBLEM_CONTENT_TYPE):
        return None
    try:
        problem = msgspec.json.decode(answer.body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    after = problem.retry_after_seconds if problem.retry_after_seconds is not None else answer.retry_after_seconds
    return msgspec.structs.replace(
        problem, retry_after_seconds=after, request_id=problem.request_id or answer.request_id or None
    )


def _sentence(problem: Problem) -> str:
    text = problem.detail or problem.title or HTTPStatus(problem.status).phrase
    return f"{problem.field}: {text}" if problem.field and problem.field not in text else text
