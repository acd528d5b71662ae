"""Access tokens: signed here, checked here, by one algorithm (Ed25519), with every claim required.

The key pair is derived from the install key, so every Commander signs and checks alike. Claims follow RFC 9068.
"""

from enum import StrEnum
from typing import Any, Final

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mission_contracts.clock import Clock
from mission_contracts.errors import InvalidTokenError
from mission_contracts.install_key import InstallKey

ISSUER: Final = "mission-control"
AUDIENCE: Final = "mission-control"
TYPE: Final = "at+jwt"
ALGORITHM: Final = "EdDSA"


class Role(StrEnum):
    """What a token's holder may do; each includes nothing of the others."""

    VIEWER = "viewer"  # reads missions of its own
    USER = "user"  # submits, reads and cancels missions of its own
    OPERATOR = "operator"  # the cluster door: submits as objects, declares pools, sees all
    SOLDIER = "soldier"  # registers, claims, beats
    ADMIN = "admin"  # people who run the installation


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a valid token says."""

    subject: str
    role: Role
    expires_at: float


class Tokens:
    """Signs and checks access tokens."""

    def __init__(self, key: InstallKey, clock: Clock) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(key.derive("access-tokens"))
        self._public = self._private.public_key()
        self._clock = clock

    def sign(self, subject: str, role: Role, *, lifetime_seconds: float) -> str:
        now = self._clock.now()
        body: dict[str, Any] = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "role": role.value,
            "iat": int(now), "exp": int(now + lifetime_seconds),
        }  # fmt: skip
        return jwt.encode(body, self._private, algorithm=ALGORITHM, headers={"typ": TYPE})

    def check(self, token: str, *, leeway_seconds: float = 0) -> Claims:
        """Read a token; InvalidTokenError says what is wrong with it, without repeating it."""
        try:
            self._check_type(token)
            body = jwt.decode(
                token,
                self._public,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                # Expiry is checked below, by the clock that was passed in.
                options={
                    "require": ["exp", "iat", "aud", "iss", "sub"],
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
            claims = Claims(subject=body["sub"], role=Role(body.get("role", "")), expires_at=float(body["exp"]))
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise InvalidTokenError(f"the token is not valid: {type(error).__name__}") from error
        if claims.expires_at + leeway_seconds <= self._clock.now():
            raise InvalidTokenError("the token has expired: get a new one from POST /token")
        return claims

    @staticmethod
    def _check_type(token: str) -> None:
        if jwt.get_unverified_header(token).get("typ") != TYPE:
            raise InvalidTokenError(f"the token's type is not {TYPE}")
