"""Waiting in tests: for a condition, for a bounded time, with a sentence for when it never comes."""

import asyncio
import time
from collections.abc import Callable


async def until(holds: Callable[[], bool], what: str, *, seconds: float = 20.0) -> None:
    """Wait until something holds; the message says what never did."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"in {seconds:g} s it never came to pass that {what}"
        await asyncio.sleep(0.01)
