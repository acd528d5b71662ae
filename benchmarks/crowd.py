"""Many at once, but only so many: how every load here is made."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def each(items: Iterable[T], deed: Callable[[T], Awaitable[None]], *, at_once: int) -> float:
    """Do it for every item, `at_once` of them in flight; give the seconds that took."""
    rest = iter(items)

    async def worker() -> None:
        for item in rest:
            await deed(item)

    began_at = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(worker())
    return time.perf_counter() - began_at


async def one_by_one(count: int, deed: Callable[[int], Awaitable[None]]) -> list[float]:
    """Do it so many times, each after the one before; give the seconds of each."""
    took = []
    for number in range(count):
        began_at = time.perf_counter()
        await deed(number)
        took.append(time.perf_counter() - began_at)
    return took
