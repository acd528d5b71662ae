"""Access tokens: signed here, checked here, by one algorithm (Ed25519), with every claim required.

The keys are derived from the install key, so every Commander signs and checks alike. The shape is that of RFC 9068,
and the rules those of RFC 8725: nothing in a token chooses how it is checked, but `kid`, out of three keys we have.
"""

import base64
import binascii
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mission_contracts.clock import Clock
from mission_contracts.errors import InvalidTokenError
from mission_contracts.signing_keys import ALGORITHM, SigningKeys

ISSUER: Final = "mission-control"
AUDIENCE: Final = "mission-control"
TYPE: Final = "at+jwt"
LONGEST_TOKEN: Final = 4_096
"""Characters."""
LONGEST_TOKEN_SECONDS: Final = 86_400
"""No setting lets an access token live longer."""


class Role(StrEnum):
    """What a token's holder may do; each includes nothing of the others."""

    VIEWER = "viewer"  # reads missions of its own
    USER = "user"  # submits, reads and cancels missions of its own
    OPERATOR = "operator"  # the cluster door: submits as objects, declares pools, sees all
    SOLDIER = "soldier"  # registers, claims, beats
    ADMIN = "admin"  # people who run the installation


class Holder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom a token is for, and how far it reaches."""

    subject: str
    role: Role
    namespace: str | None = None
    """The one namespace that it is good for; None: all that the role reaches."""
    pool: str | None = None
    """The one pool (of that namespace) that a soldier may claim for; None: any."""
    pod: str | None = None
    """The one pod that a soldier runs in: it speaks for instances of that pod only."""
    rights: str | None = None
    """Of a user or viewer: the name of its set of rights; None: the default one."""
    session: str | None = None
    """A digest of the key that a soldier made at its start: it speaks for instances that it registered itself."""
    account: str | None = None
    """Of a user: what a deletion of the user revokes."""
    family: str | None = None
    """Of a user: the login it comes from, which a logout revokes."""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a valid token says. What each request asks for is a field of its own: it is asked for often."""

    subject: str
    role: Role
    may_be_revoked: bool
    """A person's tokens may end before their time; those of machines end by themselves."""
    holder: Holder
    issued_at: float
    expires_at: float

    @classmethod
    def of(cls, holder: Holder, *, issued_at: float, expires_at: float) -> "Claims":
        return cls(
            subject=holder.subject,
            role=holder.role,
            may_be_revoked=holder.account is not None or holder.family is not None,
            holder=holder,
            issued_at=issued_at,
            expires_at=expires_at,
        )


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing else may stand in a header: not `crit`, not `jku`, `x5u` or `jwk`, whoever signed it."""

    alg: Literal["EdDSA"]
    typ: Literal["at+jwt"]
    kid: str


_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
_Moment = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Body(msgspec.Struct, frozen=True, kw_only=True):
    iss: Literal["mission-control"]
    aud: Literal["mission-control"]
    sub: _Text
    role: Role
    iat: _Moment
    exp: _Moment
    nbf: _Moment | None = None
    namespace: _Text | None = None
    pool: _Text | None = None
    pod: _Text | None = None
    session: _Text | None = None
    rights: _Text | None = None
    account: _Text | None = None
    family: _Text | None = None


_header: Final = msgspec.json.Decoder(_Header)


class Tokens:
    """Signs and checks access tokens."""

    def __init__(self, keys: SigningKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def sign(self, holder: Holder, *, lifetime_seconds: float, issued_at: float | None = None) -> str:
        """Sign a token; the same holder, moment and lifetime give the same token."""
        began = int(self._clock.now() if issued_at is None else issued_at)
        body: dict[str, Any] = {
            "iss": ISSUER, "aud": AUDIENCE, "iat": began, "exp": began + int(lifetime_seconds),
            **{_NAMES.get(name, name): value for name, value in msgspec.to_builtins(holder).items()},
        }  # fmt: skip
        headers = {"typ": TYPE, "kid": self._keys.current_kid}
        return jwt.encode(body, self._keys.current, algorithm=ALGORITHM, headers=headers)

    def check(self, token: str, *, leeway_seconds: float = 0) -> Claims:
        """Read a token; InvalidTokenError says what is wrong with it, without repeating it."""
        body = _verified(token, self._key_of(token))
        self._check_times(body, leeway_seconds)
        holder = Holder(
            subject=body.sub,
            role=body.role,
            namespace=body.namespace,
            pool=body.pool,
            pod=body.pod,
            session=body.session,
            rights=body.rights,
            account=body.account,
            family=body.family,
        )
        return Claims.of(holder, issued_at=float(body.iat), expires_at=float(body.exp))

    def _key_of(self, token: str) -> Ed25519PublicKey:
        key = self._keys.accepted(_read_header(token).kid)
        if key is None:
            raise InvalidTokenError("the token is not valid: no key of this installation has its `kid`; get a new one")
        return key

    def _check_times(self, body: _Body, leeway_seconds: float) -> None:
        now = self._clock.now()
        if body.exp + leeway_seconds <= now:
            raise InvalidTokenError("the token has expired: get a new one from POST /token")
        if max(body.iat, body.nbf or 0) > now + leeway_seconds:
            raise InvalidTokenError("the token is not valid yet: compare this machine's clock with the Commander's")


_NAMES: Final = {"subject": "sub"}


def _read_header(token: str) -> _Header:
    """Read what names the key; a token of any other form is refused before a signature is looked at."""
    segments = token.split(".")
    if len(token) > LONGEST_TOKEN or len(segments) != 3 or not token.isascii():
        raise InvalidTokenError("the token is not valid: it is no signed token of three parts")
    try:
        header, _, _ = map(_plain, segments)
        return _header.decode(header)
    except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, ValueError) as error:
        raise InvalidTokenError(f"the token is not valid: {type(error).__name__}") from error


def _plain(segment: str) -> bytes:
    """Decode one part; only its one canonical spelling, or two texts would be the same token."""
    raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != segment:
        raise ValueError("a part is not base64url in its canonical form")
    return raw


def _verified(token: str, key: Ed25519PublicKey) -> _Body:
    try:
        body = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            # Times are checked by the clock that was passed in.
            options={
                "require": ["exp", "iat", "aud", "iss", "sub"],
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
        return msgspec.convert(_without_nulls(body), _Body)
    except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError) as error:
        raise InvalidTokenError(f"the token is not valid: {type(error).__name__}") from error


def _without_nulls(body: dict[str, Any]) -> dict[str, Any]:
    """A claim that has nothing to say is left out: null is not read as if it were."""
    if None in body.values():
        raise ValueError("a claim is null")
    return body
