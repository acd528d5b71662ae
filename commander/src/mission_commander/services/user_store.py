"""What users and their tokens ask of the ledger's store. Redis and the in-memory twin pass one conformance suite.

As in the ledger, decisions are made in the Commander and the store only compares and writes: each write names the
version that it was decided on, and does nothing where that has changed.
"""

from collections.abc import Sequence
from typing import Protocol

from mission_commander.domain.users import Family, Revocation, User


class UserStore(Protocol):
    """Every method raises LedgerAwayError when the store cannot be reached."""

    async def user(self, name: str) -> User | None: ...

    async def add_user(self, user: User) -> bool:
        """Keep a new user; False, and nothing written, where the name is taken."""
        ...

    async def update_user(self, user: User) -> bool:
        """Write a user of the same account; False, and nothing written, where this account is not there."""
        ...

    async def replace_user(self, user: User, *, account: str, revocation: Revocation) -> bool:
        """Put a user in the place of this account, which is revoked in the same step; False where it is not there."""
        ...

    async def remove_user(self, name: str, *, account: str, revocation: Revocation) -> bool:
        """Forget a user, and revoke in the same step; False where this account is not there."""
        ...

    async def family(self, family_id: str) -> Family | None: ...

    async def add_family(self, family: Family, *, keep_seconds: float) -> None:
        """Keep a new family at least so long."""
        ...

    async def oldest_families(self, account: str, *, beyond: int) -> Sequence[str]:
        """The families of an account without the so many that were used last; those that ended may be among them."""
        ...

    async def advance_family(self, family: Family, *, expected: int, keep_seconds: float) -> bool:
        """Write the family's next state; False, and nothing written, where its generation is not the expected one."""
        ...

    async def end_family(self, family_id: str, revocation: Revocation) -> None:
        """Forget a family, and revoke in the same step, whether it was there or not."""
        ...

    async def revocations(self, after: str, *, wait_seconds: float) -> tuple[str, Sequence[Revocation]]:
        """What was revoked after a place (empty: from the beginning), and the place to go on from.

        At once if there is some, else as soon as there is; nothing when the time is over. Revocations are kept for
        longer than a token can live.
        """
        ...
