"""Work that comes to a pool is told of at once, and a busy pool does not flood whoever listens."""

from collections.abc import AsyncIterator, Sequence

import pytest
from support.commander_stage import Stage, eventually, running, turns

from mission_commander.domain.memory import PoolKey
from mission_commander.services.pool_news import AGAIN_SECONDS, PoolNews
from mission_contracts.rest import PoolView

QUIET_SECONDS = 0.05


def view_of(key: PoolKey) -> PoolView | None:
    namespace, name = key
    if name == "deleted":
        return None
    return PoolView(namespace=namespace, name=name, paused=False, queued=1, waiting=0, in_flight=0)


@pytest.fixture
async def told(stage: Stage) -> AsyncIterator[list[str]]:
    """The pools that were told of, and "-" for each quiet while."""
    names: list[str] = []

    def take(views: Sequence[PoolView]) -> None:
        names.extend([view.name for view in views] or ["-"])

    async def listen() -> None:
        with PoolNews(stage.memory, view_of, stage.clock).watching() as watch:
            async for views in watch.views(quiet_seconds=QUIET_SECONDS):
                take(views)

    async with running(stage.recorder.run, listen):
        await turns()
        yield names


async def settled(told: list[str]) -> list[str]:
    """What was told until it was quiet for a while."""
    count = len(told)
    await eventually(lambda: "-" in told[count:], "a quiet while is told of")
    return [name for name in told if name != "-"]


async def test_the_first_mission_is_told_of_at_once(stage: Stage, told: list[str]) -> None:
    await stage.accept("m-1", pool="render")
    await turns()
    assert told == ["render"]


async def test_more_work_in_the_same_second_is_told_of_once_and_later(stage: Stage, told: list[str]) -> None:
    for number in range(5):
        await stage.accept(f"m-{number}", pool="render")
        await turns()
    assert told == ["render"]
    stage.clock.turn(AGAIN_SECONDS)
    await stage.accept("elsewhere", pool="other")
    assert sorted(await settled(told)) == ["other", "render", "render"]


async def test_a_quiet_pool_does_not_wait_for_a_busy_one(stage: Stage, told: list[str]) -> None:
    await stage.accept("m-1", pool="busy")
    await stage.accept("m-2", pool="busy")
    await turns()
    await stage.accept("m-3", pool="quiet")
    await turns()
    assert told == ["busy", "quiet"]


async def test_what_is_not_handed_out_is_no_news(stage: Stage, told: list[str]) -> None:
    await stage.accept("later", start_after=stage.clock.now() + 60)
    await stage.accept("held", suspended=True)
    await stage.accept("nowhere", pool="deleted")
    assert await settled(told) == []
