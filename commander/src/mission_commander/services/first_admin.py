"""The first admin: whom the settings name is there, with the password of the Secret, also after the store was lost."""

import asyncio
from typing import Final

import structlog

from mission_commander.ports import LedgerAwayError
from mission_commander.services.passwords import PasswordsBusyError
from mission_commander.services.users import Users

LOOK_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 0.5


class FirstAdmin:
    """Compares name and password once at the start; later only makes the admin anew who is gone.

    So of two replicas that were given different passwords, as during a roll-out, the one that started last wins.
    """

    def __init__(self, users: Users, name: str, password: str) -> None:
        self._users = users
        self._name = name
        self._password = password
        self._log = structlog.get_logger("first-admin")

    async def run(self) -> None:
        """Look until cancelled."""
        await self._until_done()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if not await self._users.exists(self._name):
                    await self._users.ensure_admin(self._name, self._password)
            except (LedgerAwayError, PasswordsBusyError):
                continue  # it is looked for again, and the ledger's own state is told elsewhere

    async def _until_done(self) -> None:
        while True:
            try:
                await self._users.ensure_admin(self._name, self._password)
            except (LedgerAwayError, PasswordsBusyError) as error:
                self._log.info("the first admin cannot be looked for yet", why=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return
