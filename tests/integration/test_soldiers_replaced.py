"""A rollout under load: soldiers are replaced one by one, and no mission that fits the grace runs twice."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from support.soldier_post import Post, a_post, exit_code

SOLDIERS = 3
MISSIONS = 150
SUBMIT_EVERY_SECONDS = 0.06
EPOCHS_PER_ERA = 1_000_000

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


@pytest.fixture
async def post(amqp_url: str) -> AsyncIterator[Post]:
    async with a_post(amqp_url) as post:
        yield post


async def submit_steadily(post: Post) -> list[str]:
    """Missions of 0.1 to 3 s, more of them at once than one soldier has slots."""
    missions = []
    for number in range(MISSIONS):
        seconds = 0.1 + 2.9 * (number % 30) / 29
        missions.append(await post.submit("simulate", min_seconds=seconds, max_seconds=seconds, success_rate=1))
        await asyncio.sleep(SUBMIT_EVERY_SECONDS)
    return missions


async def test_a_rollout_under_load_hands_out_each_mission_once(post: Post) -> None:
    async with AsyncExitStack() as stack:

        async def another() -> asyncio.subprocess.Process:
            return await stack.enter_async_context(post.soldier(CONCURRENCY="16", DRAIN_SECONDS="20"))

        old = [await another() for _ in range(SOLDIERS)]
        await post.is_joined_by(SOLDIERS)
        submitting = asyncio.create_task(submit_steadily(post))
        for replaced, soldier in enumerate(old, start=1):
            await another()
            await post.is_joined_by(SOLDIERS + replaced)
            soldier.send_signal(signal.SIGTERM)
            assert await exit_code(soldier) == 0
        shown = [await post.final(mission) for mission in await submitting]
    assert {one["state"] for one in shown} == {"COMPLETED"}
    assert {one["attempt"] for one in shown} == {1}
    assert {one["epoch"] % EPOCHS_PER_ERA for one in shown} == {1}, "an epoch above 1 is a second hand-out"
