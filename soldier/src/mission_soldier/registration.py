"""Introduces this instance to the Commander, for as long as it takes, and again whenever it was forgotten."""

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from mission_contracts.soldiering import Registered, Registration
from mission_soldier.backoff import Backoff
from mission_soldier.commander import (
    Commander,
    CommanderAwayError,
    RegistrationTooLargeError,
    UnknownSoldierError,
)

log = structlog.get_logger(__name__)


class Registrar:
    """Registers once at a time: who asks meanwhile waits for the same answer."""

    def __init__(
        self, commander: Commander, registration: Registration, on_registered: Callable[[Registered], None]
    ) -> None:
        self._commander = commander
        self._registration = registration
        self._on_registered = on_registered
        self._under_way: asyncio.Task[None] | None = None
        self.is_registered = False

    async def register(self) -> None:
        """Return when the Commander knows this instance."""
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._register())
        await asyncio.shield(self._under_way)

    def forgotten(self) -> None:
        """The Commander said that it does not know this instance: register in the background."""
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._register())

    async def close(self) -> None:
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.gather(self._under_way, return_exceptions=True)

    async def _smaller(self, error: RegistrationTooLargeError, backoff: Backoff) -> Registration:
        """Leave the schemas out: nothing that runs needs them. What is refused even so is asked again, and logged."""
        bare = tuple(msgspec.structs.replace(info, schema=None) for info in self._registration.types)
        if bare == self._registration.types:
            log.error("the Commander refuses this soldier; define fewer mission types in it", error=str(error))
            await asyncio.sleep(backoff.next())
        else:
            log.warning("the Commander refuses the schemas of this soldier's types; left out", error=str(error))
        return msgspec.structs.replace(self._registration, types=bare)

    async def _register(self) -> None:
        self.is_registered = False
        backoff = Backoff()
        while True:
            try:
                registered = await self._commander.register(self._registration)
            except (CommanderAwayError, UnknownSoldierError) as error:
                log.warning("the Commander did not register this soldier, trying again", error=str(error))
                await asyncio.sleep(backoff.next())
                continue
            except RegistrationTooLargeError as error:
                self._registration = await self._smaller(error, backoff)
                continue
            self.is_registered = True
            self._on_registered(registered)
            log.info(
                "registered", instance=self._registration.instance, pool=self._registration.pool, era=registered.era
            )
            return
