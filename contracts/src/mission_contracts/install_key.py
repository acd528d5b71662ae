"""What is derived from the install key: mission ids of the REST door, secrets, seals, signing keys. Nothing is stored.

The install key is one Secret or setting, the same in every Commander, never in the ledger. Each use derives its
own key from it (RFC 5869 in spirit: HMAC-SHA256 with a label), so that one use says nothing about another.
"""

import hashlib
import hmac
from typing import Final

from mission_contracts.mission import Epoch, Instance, MissionId

MIN_INSTALL_KEY_BYTES = 32

_VERSION_AND_VARIANT: Final = 0xF000_C000 << 48
_VERSION_5: Final = 0x5000_8000 << 48


class InstallKey:
    """At least 32 bytes of secret; it prints as nothing but its name."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) < MIN_INSTALL_KEY_BYTES:
            raise ValueError(
                f"the install key has {len(key)} bytes, it needs {MIN_INSTALL_KEY_BYTES} or more: "
                "make one with `openssl rand -hex 32`"
            )
        self._key = key

    def __repr__(self) -> str:
        return "InstallKey(…)"

    def derive(self, label: str) -> bytes:
        """Give the 32-byte key for one use."""
        return hmac.digest(self._key, b"mission-control/" + label.encode(), hashlib.sha256)


class _Mac:
    """HMAC-SHA256 under one key. The key is read once: each time would cost as much as a short text itself."""

    __slots__ = ("_begun",)

    def __init__(self, key: bytes) -> None:
        self._begun = hmac.new(key, digestmod=hashlib.sha256)

    def of(self, text: bytes) -> bytes:
        mac = self._begun.copy()
        mac.update(text)
        return mac.digest()


class MissionIds:
    """Ids of the REST door: the same subject and idempotency key give the same mission, in every era."""

    def __init__(self, key: InstallKey) -> None:
        self._mac = _Mac(key.derive("mission-id"))

    def of(self, subject: str, idempotency_key: str) -> MissionId:
        return self._id(f"{len(subject)}:{subject}{idempotency_key}")

    def of_retry(self, mission_id: MissionId, accepted_at: float) -> MissionId:
        """The mission that a retry of this one makes: the same, however often and by whomever it is retried.

        The same id may be another mission's after its retention, accepted at another time, with retries of its own.
        """
        return self._id(f"retry:{mission_id}{accepted_at!r}")  # no other text begins with a letter

    def _id(self, text: str) -> MissionId:
        return MissionId(_uuid5(self._mac.of(text.encode())))


class ClaimSecrets:
    """The claim's secret: whoever knows it was told RUN for this epoch, as this instance."""

    def __init__(self, key: InstallKey) -> None:
        self._mac = _Mac(key.derive("claim"))

    def of(self, mission_id: MissionId, epoch: Epoch, instance: Instance) -> str:
        text = f"{mission_id} {epoch} {instance}".encode()
        return self._mac.of(text).hex()[:32]

    def fits(self, secret: str, mission_id: MissionId, epoch: Epoch, instance: Instance) -> bool:
        return hmac.compare_digest(secret.encode(), self.of(mission_id, epoch, instance).encode())


class Seals:
    """Tells what a Commander wrote from what others may write to the same queue."""

    def __init__(self, key: InstallKey) -> None:
        self._mac = _Mac(key.derive("acceptance"))

    def of(self, body: bytes) -> str:
        return self._mac.of(body).hex()

    def fits(self, seal: str, body: bytes) -> bool:
        return hmac.compare_digest(seal.encode(), self.of(body).encode())


def _uuid5(digest: bytes) -> str:
    """What `str(uuid.UUID(bytes=digest[:16], version=5))` gives, in a seventh of its time."""
    text = f"{int.from_bytes(digest[:16], 'big') & ~_VERSION_AND_VARIANT | _VERSION_5:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
