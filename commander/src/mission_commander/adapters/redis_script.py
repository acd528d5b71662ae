"""A Lua script that is sent once and then called by its digest."""

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from redis.exceptions import NoScriptError

from mission_commander.adapters.redis_wire import Wire


class Script:
    """One script of the `lua` folder beside this module, with the keys it always works on."""

    def __init__(self, name: str, wire: Wire, *keys: str) -> None:
        self._source = (resources.files(__package__) / "lua" / f"{name}.lua").read_bytes()
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
