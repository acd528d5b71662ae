"""The soldier as users run it: a process on a real broker, with a Commander behind HTTP."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.broker_probe import eventually
from support.soldier_post import Post, a_post, exit_code

EXIT_NOW = 130

pytestmark = [pytest.mark.real, pytest.mark.timeout(90)]


@pytest.fixture
async def post(amqp_url: str) -> AsyncIterator[Post]:
    async with a_post(amqp_url) as post:
        yield post


async def test_it_runs_missions_and_leaves_when_told(post: Post) -> None:
    async with post.soldier() as soldier:
        missions = [await post.submit("noop") for _ in range(20)]
        assert {(await post.final(mission))["state"] for mission in missions} == {"COMPLETED"}
        shown = await post.final(await post.submit("who-am-i", number=4))
        assert shown["result"]["number"] == 4
        assert shown["result"]["pid"] != soldier.pid
        soldier.send_signal(signal.SIGTERM)
        assert await exit_code(soldier) == 0


async def test_what_it_cannot_finish_it_releases_uncharged_to_the_next(post: Post) -> None:
    async with post.soldier(DRAIN_SECONDS="0.1") as soldier:
        mission = await post.submit("simulate", min_seconds=3, max_seconds=3, success_rate=1)
        await post.becomes(mission, "IN_PROGRESS")
        soldier.send_signal(signal.SIGTERM)
        assert await exit_code(soldier) == 0
    await post.becomes(mission, "QUEUED")
    assert await post.attempts_of(mission) == ["released"]
    async with post.soldier():
        shown = await post.final(mission)
        assert (shown["state"], shown["attempt"]) == ("COMPLETED", 1)


async def test_the_second_signal_releases_what_runs_at_once(post: Post) -> None:
    async with post.soldier(DRAIN_SECONDS="600") as soldier:
        mission = await post.submit("simulate", min_seconds=300, max_seconds=300)
        await post.becomes(mission, "IN_PROGRESS")
        soldier.send_signal(signal.SIGTERM)
        await post.is_left_by_all()  # signals that come together are one: the second has to come later
        soldier.send_signal(signal.SIGTERM)
        assert await exit_code(soldier) == 0
    await post.becomes(mission, "QUEUED")
    assert await post.attempts_of(mission) == ["released"]


async def test_the_third_signal_is_not_discussed(post: Post) -> None:
    async with post.soldier(DRAIN_SECONDS="600", HANDLERS="support.stubborn_handlers") as soldier:
        mission = await post.submit("deaf")
        await post.becomes(mission, "IN_PROGRESS")
        soldier.send_signal(signal.SIGINT)
        await post.is_left_by_all()
        soldier.send_signal(signal.SIGINT)
        await asyncio.sleep(0.3)  # it takes two seconds now to unwind what does not stop
        soldier.send_signal(signal.SIGINT)
        assert await exit_code(soldier) == EXIT_NOW


async def test_its_children_do_not_outlive_it(post: Post) -> None:
    async with post.soldier() as soldier:
        shown = await post.final(await post.submit("who-am-i", number=1))
        child = Path("/proc") / str(shown["result"]["pid"])
        assert child.exists()
        soldier.kill()
        await eventually(lambda: not child.exists(), "the child process is gone")
