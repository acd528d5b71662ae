"""Errors that cross a boundary: problem+json (RFC 9457), with one sentence that helps and a stable code."""

from enum import StrEnum
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


class Defect(StrEnum):
    """What is wrong with a message: few words, which logs and counts may hold."""

    TOO_LARGE = "too large"
    NOT_JSON = "not JSON"
    WRONG_VERSION = "of another version"
    WRONG_SHAPE = "of another shape"
    UNUSABLE = "unusable"  # well-formed, and nobody could make anything of it


class UnreadableMessageError(ContractError):
    """A message cannot be decoded; it belongs in `missions.rejected`, with this error's text as the reason."""

    def __init__(self, defect: Defect, sentence: str) -> None:
        super().__init__(sentence)
        self.defect = defect


class InvalidTokenError(ContractError):
    """A token is malformed, expired, for somebody else, or signed by somebody else."""
