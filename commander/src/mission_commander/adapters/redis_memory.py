"""How full Redis is, and what its event stream may keep of it."""

import re
from typing import Final

from mission_commander.ports import StoreMemory

_USED: Final = re.compile(rb"^used_memory:(\d+)", re.MULTILINE)
_LIMIT: Final = re.compile(rb"^maxmemory:(\d+)", re.MULTILINE)

MIN_EVENTS: Final = 100
"""Kept whatever they take: a reader that is a little behind must find what it saw last."""


def memory_of(info: bytes) -> StoreMemory:
    """Read what INFO answers; its maxmemory is 0 where there is none."""
    used, limit = _USED.search(info), _LIMIT.search(info)
    return StoreMemory(used=int(used[1]) if used else 0, limit=(int(limit[1]) or None) if limit else None)


def to_keep(length: int, size: int, most: int) -> int:
    """Return how many events fit, a little below the bound so that the next ones do not trim again at once."""
    return max(MIN_EVENTS, int(0.9 * length * most / size))
