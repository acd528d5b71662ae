"""Refresh tokens: a family and a number, sealed under a key that derives from the install key. Nothing is stored."""

import base64
import hashlib
import hmac
import re
from typing import Final

import msgspec

from mission_contracts.install_key import InstallKey

_FORM: Final = re.compile(r"mcr\.([0-9a-f]{32})\.([1-9][0-9]{0,14})\.([A-Za-z0-9_-]{43})", re.ASCII)


class Shown(msgspec.Struct, frozen=True):
    """What a refresh token says that bears our seal."""

    family_id: str
    generation: int


class RefreshTokens:
    """Seals and reads them. The same family and generation give the same token."""

    def __init__(self, install_key: InstallKey) -> None:
        self._key = install_key.derive("refresh-tokens")

    def of(self, family_id: str, generation: int) -> str:
        return f"mcr.{family_id}.{generation}.{self._seal(family_id, generation)}"

    def read(self, token: str) -> Shown | None:
        """Give what it says; None for anything that we did not make."""
        found = _FORM.fullmatch(token)
        if found is None:
            return None
        family_id, generation, seal = found[1], int(found[2]), found[3]
        is_ours = hmac.compare_digest(seal, self._seal(family_id, generation))
        return Shown(family_id, generation) if is_ours else None

    def _seal(self, family_id: str, generation: int) -> str:
        digest = hmac.digest(self._key, f"{family_id} {generation}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
