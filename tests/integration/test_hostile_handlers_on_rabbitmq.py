"""Hostile handlers in a soldier process on a real broker: each ends its own attempts, and nothing else."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import pytest
from support import hostile_handlers
from support.soldier_post import Post, a_post

KINDS: Final = ("returns", "raises", "raises text", "ends", "logs", "notes")
WAITS: Final = ("RetryLater with an object", "RetryLater with a surrogate", "RetryLater without a constructor")
"""These run again and again, for as long as their mission may take."""

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


@pytest.fixture
async def post(amqp_url: str) -> AsyncIterator[Post]:
    async with a_post(amqp_url) as post:
        yield post


def missions(isolation: str) -> Sequence[dict[str, Any]]:
    return [
        {"type": isolation, "payload": {"kind": kind, "name": name}, "retry": {"max_attempts": 1}}
        for kind in KINDS
        for name in hostile_handlers.ACTS[kind].corpus
        if name not in WAITS
    ]


@pytest.mark.parametrize("isolation", hostile_handlers.ISOLATIONS)
async def test_every_hostile_handler_ends_its_mission_and_the_soldier_goes_on(post: Post, isolation: str) -> None:
    settings = {"HANDLERS": "support.hostile_handlers", "CONCURRENCY": "4"}
    async with post.soldier(**settings) as soldier:
        neighbour = await post.submit("simulate", min_seconds=2, max_seconds=2, success_rate=1)
        submitted = await post.submit_all(missions(isolation))
        ends = [await post.final(mission) for mission in submitted]
        assert {end["state"] for end in ends} <= {"COMPLETED", "FAILED"}
        assert [end for end in ends if end["attempt"] > 1] == [], "no mission ran twice"
        assert (await post.final(neighbour))["state"] == "COMPLETED"
        again = [await post.submit("noop") for _ in range(8)]
        assert {(await post.final(mission))["state"] for mission in again} == {"COMPLETED"}
        assert soldier.returncode is None
