"""Passwords: hashed slowly on purpose, so away from the event loop, few at once, and known user or not."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Final, TypeVar

import bcrypt

from mission_contracts.install_key import InstallKey

AT_ONCE: Final = 2
"""Hashing fills a core each; whatever else the Commander does needs some too."""
MOST_WAITING: Final = 64

T = TypeVar("T")


class PasswordsBusyError(Exception):
    """More passwords wait to be checked than can be checked soon."""


class Passwords:
    """Makes and checks bcrypt hashes.

    What is hashed is an HMAC of the password under a key that derives from the install key. So a password may be
    longer than the 72 bytes that bcrypt reads, and a copy of the store alone is of no use to whoever guesses.
    """

    def __init__(self, install_key: InstallKey, *, cost: int) -> None:
        self._key = install_key.derive("passwords")
        self._cost = cost
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def hashed(self, password: str) -> str:
        return (await self._aside(bcrypt.hashpw, password, bcrypt.gensalt(self._cost))).decode()

    async def fits(self, password: str, password_hash: str | None) -> bool:
        """Tell whether it is the password of this hash; None, where there is no user, is No after the same work."""
        known = password_hash if password_hash is not None else _hash_of_nobody(self._cost)
        is_right = await self._aside(bcrypt.checkpw, password, known.encode())
        return is_right and password_hash is not None

    async def _aside(self, work: Callable[[bytes, bytes], T], password: str, other: bytes) -> T:
        if self._waiting >= MOST_WAITING:
            raise PasswordsBusyError("too many log in at once: try again in a few seconds")
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(work, self._seasoned(password), other)
        finally:
            self._waiting -= 1

    def _seasoned(self, password: str) -> bytes:
        digest = hmac.digest(self._key, password.encode(errors="surrogatepass"), hashlib.sha256)
        return base64.b64encode(digest)


def _hash_of_nobody(cost: int) -> str:
    """A hash of the right form and cost that nobody knows a password for."""
    return f"$2b${cost:02d}${'.' * 53}"
