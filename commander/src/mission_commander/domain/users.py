"""Users and their logins as values, and what a refresh token that is shown to us means."""

import re
from enum import StrEnum
from typing import Final

import msgspec

from mission_contracts.tokens import Holder, Role

ROLES: Final = (Role.VIEWER, Role.USER, Role.ADMIN)
"""What people may be; operators and soldiers are machines."""

MIN_PASSWORD_LENGTH: Final = 12
MAX_PASSWORD_BYTES: Final = 1_024

_NAME: Final = re.compile(r"[a-z][a-z0-9._-]{1,62}", re.ASCII)


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may log in. `account` is this user's alone: whoever gets the name later has another."""

    name: str
    account: str
    role: Role
    password_hash: str = msgspec.field(name="hash")
    created_at: float
    rights: str = ""
    """The name of a set of rights; empty: the default one."""

    def __repr__(self) -> str:
        return f"User({self.name!r}, {self.role})"

    @property
    def subject(self) -> str:
        """Whose missions they are. No client id of a machine has this form, and no later user of the name inherits."""
        return f"user:{self.name}:{self.account[:8]}"


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One login: all refresh tokens that follow from it, of which only the newest counts."""

    id: str
    name: str
    account: str
    generation: int
    rotated_at: float
    ends_at: float
    """When its newest refresh token ends; each rotation puts it off."""


class Revocation(msgspec.Struct, frozen=True):
    """Tokens of this account or family are refused, until none of them can be alive any more."""

    revoked: str
    until: float


class Verdict(StrEnum):
    """What to do with a refresh token that bears our seal."""

    UNKNOWN = "unknown"  # no such family, or it has ended: log in again
    NEXT = "next"  # the newest one: make the next pair
    AGAIN = "again"  # the one before, shown again in time: its answer was lost, give the same pair
    REUSED = "reused"  # an older one: somebody has a copy


def judged(family: Family | None, generation: int, now: float, *, retry_seconds: float) -> Verdict:
    """Judge a refresh token of this generation."""
    if family is None or family.ends_at <= now:
        return Verdict.UNKNOWN
    if generation >= family.generation:  # greater: we made it, and a store that was rolled back forgot
        return Verdict.NEXT
    is_retry = generation == family.generation - 1 and now - family.rotated_at <= retry_seconds
    return Verdict.AGAIN if is_retry else Verdict.REUSED


def advanced(family: Family, generation: int, now: float, *, refresh_seconds: float) -> Family:
    """Give the family after the token of this generation was used."""
    return msgspec.structs.replace(family, generation=generation + 1, rotated_at=now, ends_at=now + refresh_seconds)


def holder_of(user: User, family: Family) -> Holder:
    return Holder(
        subject=user.subject, role=user.role, account=user.account, family=family.id, rights=user.rights or None
    )


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def trouble_with_password(password: str) -> str | None:
    """Say why a password is not taken; None for a good one."""
    if len(password) < MIN_PASSWORD_LENGTH:
        return f"the password has fewer than {MIN_PASSWORD_LENGTH} characters: choose a longer one"
    if len(password.encode(errors="surrogatepass")) > MAX_PASSWORD_BYTES:
        return f"the password has more than {MAX_PASSWORD_BYTES} bytes: choose a shorter one"
    return None
