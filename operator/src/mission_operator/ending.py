"""Watches that kopf leaves open when it ends are closed in their order, so that an end leaves no traceback.

kopf drops its watches without closing them. They are generators that use each other, and the event loop, when it ends,
closes all at once: one finds that what it uses has gone already, and asyncio logs an error. Whoever began first uses
those that began later, so they are closed from the first to the last.
"""

import sys
import weakref
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any


@asynccontextmanager
async def closing_generators() -> AsyncIterator[None]:
    """Close whatever asynchronous generators began inside and are left over."""
    begun: weakref.WeakKeyDictionary[AsyncGenerator[Any, Any], None] = weakref.WeakKeyDictionary()
    of_loop = sys.get_asyncgen_hooks()

    def begin(generator: AsyncGenerator[Any, Any]) -> None:
        begun[generator] = None
        if of_loop.firstiter is not None:
            of_loop.firstiter(generator)

    sys.set_asyncgen_hooks(firstiter=begin)
    try:
        yield
    finally:
        sys.set_asyncgen_hooks(firstiter=of_loop.firstiter)
        for generator in tuple(begun):
            with suppress(RuntimeError):  # it is running: whoever runs it ends it
                await generator.aclose()
