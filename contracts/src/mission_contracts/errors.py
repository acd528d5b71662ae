"""Errors that cross a boundary: problem+json (RFC 9457), with one sentence that helps and a stable code."""

from typing import Final

import msgspec

PROBLEM_CONTENT_TYPE: Final = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong, for the one who asked.

    `code` is stable and machine-readable (CamelCase); `detail` says what happened, what it means and what to
    do next; `field` names the offending field by its path, where there is one.
    """

    title: str
    status: int
    detail: str
    code: str
    type: str = "about:blank"
    field: str | None = None
    request_id: str | None = None
    retry_after_seconds: float | None = None


class ContractError(Exception):
    """Something that crossed a boundary does not keep to the contract."""


class UnreadableMessageError(ContractError):
    """A message cannot be decoded; it belongs in `missions.rejected`, with this error's text as the reason."""


class InvalidTokenError(ContractError):
    """A token is malformed, expired, for somebody else, or signed by somebody else."""
