"""Waiting for an event with a bound: the event, the bound, and the caller's own end."""

import asyncio

import pytest

from mission_commander.services.patience import happens


async def test_what_happens_in_time_is_told() -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(happens(event, within_seconds=60))
    await asyncio.sleep(0)
    event.set()
    assert await waiting is True


async def test_what_does_not_happen_in_time_is_told_too() -> None:
    assert await happens(asyncio.Event(), within_seconds=0) is False


@pytest.mark.parametrize("turns", range(4))
async def test_a_service_that_is_cancelled_around_its_event_always_ends(turns: int) -> None:
    event = asyncio.Event()

    async def serve() -> None:
        while True:
            await happens(event, within_seconds=60)
            event.clear()

    service = asyncio.create_task(serve())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    event.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    service.cancel()
    done, _ = await asyncio.wait([service], timeout=2)
    assert done, "it swallowed its cancellation"
