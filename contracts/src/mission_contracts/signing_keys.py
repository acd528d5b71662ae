"""The keys that sign tokens: a small ring of generations, each derived from the install key, each for one algorithm.

A replica signs with the current generation and accepts its two neighbours as well. So the number may be raised by one
at any time, replica by replica: those that were not restarted yet know the new key, those that were still know the old
one. Raised by two, nothing that the old key signed is accepted any more.
"""

import base64
from collections.abc import Mapping
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mission_contracts.install_key import InstallKey

ALGORITHM: Final = "EdDSA"
FIRST_GENERATION: Final = 1


class PublicKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key as a JSON Web Key (RFC 8037)."""

    kid: str
    x: str
    kty: str = "OKP"
    crv: str = "Ed25519"
    alg: str = ALGORITHM
    use: str = "sig"


class KeySet(msgspec.Struct, frozen=True, kw_only=True):
    """What `GET /.well-known/jwks.json` answers: every key whose tokens are accepted."""

    keys: tuple[PublicKey, ...]


class SigningKeys:
    """One key to sign with, and those to check with, by their `kid`."""

    def __init__(self, install_key: InstallKey, generation: int = FIRST_GENERATION) -> None:
        neighbours = range(max(FIRST_GENERATION, generation - 1), generation + 2)
        private = {number: _derived(install_key, number) for number in neighbours}
        self.current_kid = _kid(generation)
        self.current = private[generation]
        self._accepted: Mapping[str, Ed25519PublicKey] = {
            _kid(number): key.public_key() for number, key in private.items()
        }

    def accepted(self, kid: str) -> Ed25519PublicKey | None:
        """Give the key of that name: a look into a table of three, whatever the name says."""
        return self._accepted.get(kid)

    def public(self) -> KeySet:
        return KeySet(keys=tuple(PublicKey(kid=kid, x=_text(key)) for kid, key in self._accepted.items()))


def _derived(install_key: InstallKey, generation: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(install_key.derive(f"access-tokens/{generation}"))


def _kid(generation: int) -> str:
    return f"access-{generation}"


def _text(key: Ed25519PublicKey) -> str:
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
