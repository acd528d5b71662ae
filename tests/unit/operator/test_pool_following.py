"""The stream of pools that work comes to: each view is passed on, and a broken stream is followed again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from support.patience import until
from support.pool_builders import a_pool_view

from mission_contracts.rest import PoolView
from mission_operator.commander.client import CommanderAwayError
from mission_operator.pools.following import PoolFollower


class Streams:
    """Streams that were opened so far; each ends when its lines do."""

    def __init__(self, *streams: tuple[str, ...]) -> None:
        self._streams = list(streams)
        self.opened = 0

    @asynccontextmanager
    async def pool_events(self, *, silence_seconds: float) -> AsyncIterator[AsyncIterator[str]]:
        assert silence_seconds > 0
        self.opened += 1
        yield self._lines()

    async def _lines(self) -> AsyncIterator[str]:
        if not self._streams:
            await asyncio.Event().wait()
        for line in self._streams.pop(0):
            yield line
        raise CommanderAwayError("the stream ended")


class Heard:
    """What the operator was told, in order."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def view(self, view: PoolView) -> None:
        self.all.append(f"{view.name} has {view.queued}")

    def gap(self) -> None:
        self.all.append("gap")


def event(queued: int) -> tuple[str, ...]:
    return "event: pool", f"data: {msgspec.json.encode(a_pool_view(queued=queued)).decode()}", ""


@pytest.mark.parametrize(
    ("streams", "expected"),
    [
        pytest.param([(": here", "", *event(1), *event(2))], ["gap", "render has 1", "render has 2"], id="in order"),
        pytest.param([(": here",), (": here", *event(3))], ["gap", "gap", "render has 3"], id="again after a break"),
        pytest.param([()], [], id="a stream that says nothing was never open"),
        pytest.param([("event: pool", "data: no json", "", *event(4))], ["gap", "render has 4"], id="skips nonsense"),
        pytest.param([("event: news", "data: {}", "", *event(5))], ["gap", "render has 5"], id="skips the unknown"),
    ],
)
async def test_following(streams: list[tuple[str, ...]], expected: list[str]) -> None:
    commander, heard = Streams(*streams), Heard()
    following = asyncio.create_task(PoolFollower(commander, on_view=heard.view, on_gap=heard.gap).run())
    await until(lambda: commander.opened > len(streams), "every stream was followed to its end")
    following.cancel()
    assert heard.all == expected
