"""Answers over HTTP: JSON, and problems as problem+json with one sentence that helps."""

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.responses import Response

from mission_commander.ports import LedgerAwayError
from mission_contracts.errors import PROBLEM_CONTENT_TYPE, Problem

UNEXPECTED: Final = "something went wrong on our side; the log has it under this request_id"

_encoder: Final = msgspec.json.Encoder()

_TITLES: Final = {
    400: "Bad request",
    401: "Who are you?",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    413: "Too large",
    422: "Refused",
    429: "Too many requests",
    431: "Too large",
    500: "Our fault",
    503: "Not now",
}


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = problem(status, code, detail, field=field, retry_after=retry_after)
        self.headers = headers or {}


def problem(
    status: int, code: str, detail: str, *, field: str | None = None, retry_after: float | None = None
) -> Problem:
    return Problem(
        title=_TITLES.get(status, "Problem"),
        status=status,
        code=code,
        detail=detail,
        field=field,
        retry_after_seconds=retry_after,
    )


def ledger_away(why: LedgerAwayError) -> Problem:
    """What to say to whoever asked for something that only the ledger can keep, or tell."""
    detail = f"this cannot be answered for certain now: {why}; send the same request again in a second"
    return problem(503, "LedgerAway", detail, retry_after=1)


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(_encoder.encode(body), status, dict(headers or {}), "application/json")


def problem_answer(said: Problem, request_id: str | None = None) -> Response:
    headers = {}
    if said.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, round(said.retry_after_seconds)))
    if said.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = _encoder.encode(msgspec.structs.replace(said, request_id=request_id))
    return Response(body, said.status, headers, PROBLEM_CONTENT_TYPE)
