"""Fair hand-out on a real broker: no order waits in a full soldier while another idles, and High goes first."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import pytest
from support.soldier_post import Post, a_post

from mission_soldier.waiting import HIGH_IN_A_ROW

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

SLOTS = 4


@pytest.fixture
async def post(amqp_url: str) -> AsyncIterator[Post]:
    async with a_post(amqp_url) as post:
        yield post


def of_seconds(seconds: float, priority: str = "Normal") -> dict[str, Any]:
    payload = {"min_seconds": seconds, "max_seconds": seconds, "success_rate": 1}
    return {"type": "simulate", "payload": payload, "priority": priority}


async def test_what_a_soldier_full_of_long_missions_holds_reaches_an_idle_one(post: Post) -> None:
    async with post.soldier(CONCURRENCY="2", INSTANCE="full"):
        long = await post.submit_all([of_seconds(300)] * 2)
        for mission in long:
            await post.becomes(mission, "IN_PROGRESS")
        behind = await post.submit_all([of_seconds(0.01, priority) for priority in ("High", "Normal")] * 5)
        async with post.soldier(CONCURRENCY="2", INSTANCE="idle"):
            shown = [await post.final(mission) for mission in behind]
        assert {(one["state"], one["soldier"], one["attempt"]) for one in shown} == {("COMPLETED", "idle", 1)}
        assert [(await post.becomes(mission, "IN_PROGRESS"))["soldier"] for mission in long] == ["full", "full"]


def moments(shown: Sequence[dict[str, Any]], what: str) -> list[datetime]:
    return [datetime.fromisoformat(one[what]) for one in shown]


@pytest.mark.parametrize(
    ("backlog", "seconds"), [pytest.param(500, 0.05, id="short missions"), pytest.param(30, 1.2, id="long missions")]
)
async def test_high_missions_overtake_a_backlog(post: Post, backlog: int, seconds: float) -> None:
    async with post.soldier(CONCURRENCY=str(SLOTS)):
        normal = await post.submit_all([of_seconds(seconds)] * backlog)
        await post.final(normal[SLOTS])
        high = await post.submit_all([of_seconds(seconds, "High")] * SLOTS)
        high_shown = [await post.final(mission) for mission in high]
        normal_shown = [await post.final(mission) for mission in normal]
    assert {one["state"] for one in (*high_shown, *normal_shown)} == {"COMPLETED"}
    first, last = min(moments(high_shown, "queued_at")), max(moments(high_shown, "started_at"))
    # From the moment that the orders are at the soldier every slot that becomes free is theirs.
    overtook = sum(first < moment < last for moment in moments(normal_shown, "started_at"))
    assert overtook <= 3 * SLOTS, f"{overtook} normal missions began while high ones waited"


async def test_normal_missions_do_not_starve_behind_high_ones(post: Post) -> None:
    async with post.soldier(CONCURRENCY=str(SLOTS)):
        normal = await post.submit_all([of_seconds(0.02)] * 10)
        high = await post.submit_all([of_seconds(0.02, "High")] * 200)
        normal_shown = [await post.final(mission) for mission in normal]
        high_shown = [await post.final(mission) for mission in high]
    last = max(moments(normal_shown, "started_at"))
    high_before = sum(moment < last for moment in moments(high_shown, "started_at"))
    assert high_before <= HIGH_IN_A_ROW * len(normal) + 4 * SLOTS
