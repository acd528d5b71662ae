"""Users for tests and `missionctl dev`: dictionaries that keep every promise of the port but durability."""

import asyncio
from collections.abc import Sequence

from mission_commander.domain.users import Family, Revocation, User
from mission_commander.ports import LedgerAwayError


class MemoryUserData:
    """What the users of a process share, however many Commanders it has."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.families: dict[str, Family] = {}
        self.revoked: list[Revocation] = []
        self.changed = asyncio.Condition()
        self.is_away = False


class MemoryUsers:
    """One Commander's way to them."""

    def __init__(self, data: MemoryUserData | None = None) -> None:
        self._data = data or MemoryUserData()

    async def user(self, name: str) -> User | None:
        return self._there().users.get(name)

    async def add_user(self, user: User) -> bool:
        return self._there().users.setdefault(user.name, user) is user

    async def update_user(self, user: User) -> bool:
        if not self._has(user.name, user.account):
            return False
        self._data.users[user.name] = user
        return True

    async def replace_user(self, user: User, *, account: str, revocation: Revocation) -> bool:
        if not self._has(user.name, account):
            return False
        self._data.users[user.name] = user
        await self._announce(revocation)
        return True

    async def remove_user(self, name: str, *, account: str, revocation: Revocation) -> bool:
        if not self._has(name, account):
            return False
        del self._data.users[name]
        await self._announce(revocation)
        return True

    async def family(self, family_id: str) -> Family | None:
        return self._there().families.get(family_id)

    async def add_family(self, family: Family, *, keep_seconds: float) -> None:  # noqa: ARG002 - ends with the process
        self._there().families[family.id] = family

    async def oldest_families(self, account: str, *, beyond: int) -> Sequence[str]:
        families = [one for one in self._there().families.values() if one.account == account]
        return [one.id for one in families[: max(0, len(families) - beyond)]]

    async def advance_family(
        self,
        family: Family,
        *,
        expected: int,
        keep_seconds: float,  # noqa: ARG002 - ends with the process
    ) -> bool:
        held = self._there().families.get(family.id)
        if held is None or held.generation != expected:
            return False
        del self._data.families[family.id]  # it comes behind those that were used before
        self._data.families[family.id] = family
        return True

    async def end_family(self, family_id: str, revocation: Revocation) -> None:
        self._there().families.pop(family_id, None)
        await self._announce(revocation)

    async def revocations(self, after: str, *, wait_seconds: float) -> tuple[str, Sequence[Revocation]]:
        data = self._there()
        place = int(after or 0)
        try:
            async with asyncio.timeout(wait_seconds), data.changed:
                await data.changed.wait_for(lambda: len(data.revoked) > place or data.is_away)
        except TimeoutError:
            return after, ()
        found = self._there().revoked[place:]
        return str(place + len(found)), found

    async def _announce(self, revocation: Revocation) -> None:
        async with self._data.changed:
            self._data.revoked.append(revocation)
            self._data.changed.notify_all()

    def _has(self, name: str, account: str) -> bool:
        held = self._there().users.get(name)
        return held is not None and held.account == account

    def _there(self) -> MemoryUserData:
        if self._data.is_away:
            raise LedgerAwayError("the memory of users was cut off, as a test asked")
        return self._data
