"""Waiting for an event, but not for ever."""

import asyncio


async def happens(event: asyncio.Event, *, within_seconds: float) -> bool:
    """Tell whether the event was set in time.

    asyncio.wait_for would do, but before Python 3.12 it swallows a cancellation that arrives together with the event,
    and a service that has swallowed one never ends.
    """
    try:
        async with asyncio.timeout(within_seconds):
            return await event.wait()
    except TimeoutError:
        return False
