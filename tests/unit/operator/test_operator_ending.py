"""Generators that nobody closed, as kopf leaves its watches."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext

import pytest

from mission_operator.ending import closing_generators


class Watch:
    """A generator that waits inside another one, and is left where it is."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._left: list[AsyncIterator[int]] = []

    async def leave(self) -> None:
        watch = self._watch()
        await anext(watch)
        self._left.append(watch)

    async def _watch(self) -> AsyncIterator[int]:
        async with self._block():
            yield 1

    @asynccontextmanager
    async def _block(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.sleep(0)
            self.said.append("closed")


@pytest.mark.parametrize(
    ("closing", "complaints"),
    [
        pytest.param(nullcontext, 1, id="the loop closes all at once, and complains"),
        pytest.param(closing_generators, 0, id="closed in their order they leave no trace"),
    ],
)
def test_an_end_leaves_no_traceback(
    closing: Callable[[], nullcontext[None]], complaints: int, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch()

    async def serve() -> None:
        async with closing():
            await watch.leave()

    with caplog.at_level(logging.ERROR, logger="asyncio"), asyncio.Runner() as runner:
        runner.run(serve())
    assert watch.said == ["closed"]
    assert len(caplog.records) == complaints


def test_who_is_still_at_work_is_left_to_whoever_runs_it() -> None:
    async def serve() -> list[int]:
        given: list[int] = []
        go_on = asyncio.Event()

        async def numbers() -> AsyncIterator[int]:
            await go_on.wait()
            yield 1

        async def take() -> None:
            given.extend([number async for number in numbers()])

        async with closing_generators():
            taking = asyncio.create_task(take())
            await asyncio.sleep(0)
        go_on.set()
        await taking
        return given

    with asyncio.Runner() as runner:
        assert runner.run(serve()) == [1]
