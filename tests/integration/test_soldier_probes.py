"""A busy soldier is not killed by its probes: what a kubelet is told while handlers block or compute."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
from support.soldier_post import Post, a_post

pytestmark = [pytest.mark.real, pytest.mark.timeout(90)]


@pytest.fixture
async def post(amqp_url: str) -> AsyncIterator[Post]:
    async with a_post(amqp_url) as post:
        yield post


def a_free_port() -> int:
    with socket.create_server(("", 0)) as free:
        return int(free.getsockname()[1])


async def probed_until_its_end(post: Post, mission: str, port: int) -> Counter[tuple[str, int]]:
    """Ask both probes, with the patience of the pod template, until the mission is final; gives what they said."""
    said: Counter[tuple[str, int]] = Counter()
    ending = asyncio.create_task(post.final(mission))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=5) as kubelet:
        while not ending.done():
            for path in ("/livez", "/readyz"):
                said[path, (await kubelet.get(path)).status_code] += 1
            await asyncio.sleep(0.2)
    shown = ending.result()
    assert (shown["state"], shown["attempt"], shown["epoch"] % 1_000_000) == ("COMPLETED", 1, 1), "its lease was kept"
    return said


async def test_a_blocked_event_loop_is_not_ready_and_alive(post: Post) -> None:
    port = a_free_port()
    async with post.soldier(HANDLERS="support.stubborn_handlers", PROBE_PORT=str(port)):
        mission = await post.submit("block")
        await post.becomes(mission, "IN_PROGRESS")
        said = await probed_until_its_end(post, mission, port)
    assert said["/readyz", 503]
    assert said["/readyz", 200], "for the first five seconds"
    assert not said["/livez", 503]


async def test_handlers_that_compute_in_threads_leave_the_soldier_ready(post: Post) -> None:
    port = a_free_port()
    async with post.soldier(HANDLERS="support.stubborn_handlers", PROBE_PORT=str(port)):
        missions = [await post.submit("compute") for _ in range(4)]
        await post.becomes(missions[0], "IN_PROGRESS")
        said = await probed_until_its_end(post, missions[0], port)
        for mission in missions:
            await probed_until_its_end(post, mission, port)
    assert set(said) == {("/livez", 200), ("/readyz", 200)}
