"""Idempotency keys that are used again once the retention of their missions is over."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from chaos.doors import RestDoor
from chaos.errors import ChaosError
from chaos.faults.base import Clock, Fault
from chaos.ground import COMMANDERS, Ground
from chaos.history import Asked, Door, Kind, Status

RETENTION_SECONDS: Final = 90.0
"""Short, and longer than a round takes: what ended in it has to be there when the round is judged."""
PURGE_TIMEOUT_SECONDS: Final = RETENTION_SECONDS + 60.0
END_TIMEOUT_SECONDS: Final = 60.0
MAX_KEYS: Final = 200
POLL_SECONDS: Final = 0.5


class KeyReused(Fault):
    name = "key-reused"
    sentence = "keys are used again after their retention, by Commanders of different age"
    clock = Clock.STRIKE
    purges = True

    async def live_before(self, ground: Ground, rest: RestDoor, asked: Sequence[Asked]) -> Mapping[str, Status]:
        """Use the keys for other missions, which end and are purged."""
        await _restart_commanders(ground, {"COMMANDER_RETENTION_SECONDS": str(RETENTION_SECONDS)})
        by_rest = [one for one in asked if one.door is Door.REST][:MAX_KEYS]
        first = [msgspec.structs.replace(one, kind=Kind.WORK, seconds=0.0, cancels=False) for one in by_rest]
        ids = [one.mission_id for one in await rest.submit_batch(first)]
        ends = await _until_final(rest, ids)
        await _until_purged(rest, ids)
        return ends

    async def strike(self, ground: Ground) -> None:
        """One of the two has seen the first missions from now on, the other one has not."""
        await ground.parts[self.commander].kill()

    async def end(self, ground: Ground) -> None:
        await ground.parts[self.commander].start()

    async def live_after(self, ground: Ground) -> None:
        await _restart_commanders(ground, {})


async def _restart_commanders(ground: Ground, environment: Mapping[str, str]) -> None:
    for name in COMMANDERS:
        await ground.parts[name].restart(environment)


async def _until_final(rest: RestDoor, ids: Sequence[str]) -> Mapping[str, Status]:
    try:
        async with asyncio.timeout(END_TIMEOUT_SECONDS):
            while True:
                ends = await rest.look_up(ids)
                if len(ends) == len(ids) and all(end.state.is_final for end in ends.values()):
                    return ends
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        raise ChaosError(f"timed out after {END_TIMEOUT_SECONDS:g} s waiting for the first missions to end") from error


async def _until_purged(rest: RestDoor, ids: Sequence[str]) -> None:
    try:
        async with asyncio.timeout(PURGE_TIMEOUT_SECONDS):
            while True:
                if not await rest.look_up(ids):
                    return
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        raise ChaosError(f"timed out after {PURGE_TIMEOUT_SECONDS:g} s waiting for the purge") from error


KEYS: Final = (KeyReused,)
