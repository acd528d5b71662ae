"""Who asks, and whether they may. A checked token is remembered until it ends: signatures cost more than look-ups."""

import hashlib
from collections import OrderedDict
from typing import Final, Protocol

from starlette.requests import HTTPConnection, Request

from mission_commander.api.answers import ProblemError
from mission_commander.api.limits import Limits
from mission_contracts.clock import Clock
from mission_contracts.errors import InvalidTokenError
from mission_contracts.tokens import LONGEST_TOKEN, Claims, Holder, Role, Tokens

REMEMBERED: Final = 4_096


class Revocations(Protocol):
    """Whose tokens are refused before their time."""

    @property
    def are_known(self) -> bool: ...

    @property
    def are_current(self) -> bool: ...

    def covers(self, holder: Holder) -> bool: ...


class Gate:
    """Reads the token that a request brings."""

    def __init__(self, tokens: Tokens, revocations: Revocations, clock: Clock, limits: Limits, *, grace: float) -> None:
        self._tokens = tokens
        self._revocations = revocations
        self._clock = clock
        self._limits = limits
        self._grace = grace
        self._known: OrderedDict[bytes, Claims] = OrderedDict()

    def admit(self, request: Request, *roles: Role) -> Claims:
        """Give the request's claims; 401 without a valid token, 403 for another role, 429 for one too many."""
        claims = self.recognise(request, *roles)
        self._limits.charge(request, claims)
        return claims

    def recognise(self, connection: HTTPConnection, *roles: Role) -> Claims:
        """The same without counting it: for whoever came in before, and still watches."""
        claims = self._claims(connection.headers.get("authorization", ""))
        if claims.may_be_revoked:
            self.check_not_revoked(claims.holder)
        if claims.role not in roles:
            wanted = " or ".join(role.value for role in roles)
            raise ProblemError(403, "WrongRole", f"this needs the role {wanted}; the token has {claims.role.value}")
        return claims

    def check_not_revoked(self, holder: Holder) -> None:
        """401 for who is out; 503 for an admin, or anybody just after our start, while that cannot be known.

        Others are let in while the store is away: they reach their own missions only, and their tokens end soon.
        """
        if self._revocations.covers(holder):
            raise ProblemError(401, "Revoked", "this login was ended, or its user deleted: log in again")
        is_sure = self._revocations.are_current if holder.role is Role.ADMIN else self._revocations.are_known
        if not is_sure:
            detail = "whether this login was ended cannot be known now, while the ledger is away: try again in a second"
            raise ProblemError(503, "RevocationsUnknown", detail, retry_after=1)

    def _claims(self, authorization: str) -> Claims:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > LONGEST_TOKEN:
            raise ProblemError(401, "NoToken", "send `Authorization: Bearer TOKEN`, with a token from POST /token")
        digest = _digest(token)
        known = self._known.get(digest)
        if known is not None and known.expires_at + self._grace > self._clock.now():
            return known
        return self._remember(digest, self._checked(token))

    def _checked(self, token: str) -> Claims:
        try:
            return self._tokens.check(token, leeway_seconds=self._grace)
        except InvalidTokenError as error:
            raise ProblemError(401, "BadToken", str(error)) from error

    def _remember(self, digest: bytes, claims: Claims) -> Claims:
        self._known[digest] = claims
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return claims


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
