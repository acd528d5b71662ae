"""A Lua script that is sent once and then called by its digest."""

import hashlib
from collections.abc import Sequence
from enum import Enum
from importlib import resources
from typing import Any

from redis.exceptions import NoScriptError

from mission_commander.adapters.redis_wire import Wire


class WhenFull(Enum):
    """What becomes of a script once Redis has reached maxmemory: its first line, which Redis knows since 7.0."""

    WRITES = b"#!lua flags=allow-oom\n"
    """It runs all the same: it makes room, or belongs to what was accepted."""
    REFUSED = b"#!lua\n"
    """Redis refuses it as a whole, before its first command."""
    READS = b""
    """It only reads, also where Redis takes no change at all."""


class Script:
    """One script of the `lua` folder beside this module, with the keys it always works on."""

    def __init__(self, name: str, wire: Wire, *keys: str, when_full: WhenFull = WhenFull.WRITES) -> None:
        text = (resources.files(__package__) / "lua" / f"{name}.lua").read_bytes()
        self._source = when_full.value + text
        self._digest = hashlib.sha1(self._source, usedforsecurity=False).hexdigest()
        self._wire = wire
        self._keys = keys

    async def run(
        self, arguments: Sequence[str | bytes | int], *, timeout_seconds: float, keys: Sequence[str] = ()
    ) -> Any:
        tail = (len(self._keys) + len(keys), *self._keys, *keys, *arguments)
        try:
            answers = await self._wire.ask(("EVALSHA", self._digest, *tail), timeout_seconds=timeout_seconds)
        except NoScriptError:
            # Redis has restarted: it ran nothing, and EVAL makes it remember the script again.
            answers = await self._wire.ask(("EVAL", self._source, *tail), timeout_seconds=timeout_seconds)
        return answers[0]
