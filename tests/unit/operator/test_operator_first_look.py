"""What lives is seen at once by a new operator, however much has ended."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from kubernetes.aio.client import Configuration
from support.patience import until

from mission_operator.kube import KubeAwayError
from mission_operator.missions.first_look import FirstLook
from mission_operator.watching import Watcher

Page = tuple[dict[str, Any], ...]


class Listed:
    """An API server that lists these pages, and then does what it is told to."""

    def __init__(self, *pages: Page, then: Callable[[], Any] = lambda: None) -> None:
        self._pages = pages
        self._then = then

    async def pages(self) -> AsyncIterator[Page]:
        for page in self._pages:
            yield page
        ended = self._then()
        if ended is not None:
            await ended


def a_mission(name: str, state: str = "") -> dict[str, Any]:
    status = {"status": {"state": state}} if state else {}
    return {"metadata": {"uid": name, "name": name}, "spec": {}} | status


async def looks_at(listed: Listed) -> Sequence[str]:
    names: list[str] = []

    def look(body: Mapping[str, Any]) -> None:
        names.append(body["metadata"]["name"])

    await FirstLook(listed, look, most_seconds=0.05).run()
    return names


async def test_what_lives_is_looked_at_and_what_has_ended_is_left_to_kopf() -> None:
    first = (a_mission("new"), a_mission("over", "Completed"), a_mission("waits", "Queued"))
    second = (a_mission("failed", "Failed"), a_mission("cancelled", "Cancelled"), a_mission("runs", "InProgress"))
    assert await looks_at(Listed(first, second)) == ["new", "waits", "runs"]


async def test_an_api_server_that_goes_away_meanwhile_leaves_the_rest_to_kopf() -> None:
    def go_away() -> None:
        raise KubeAwayError("away")

    assert await looks_at(Listed((a_mission("new"),), then=go_away)) == ["new"]


async def test_an_api_server_that_says_nothing_more_leaves_the_rest_to_kopf() -> None:
    assert await looks_at(Listed((a_mission("new"),), then=asyncio.Event().wait)) == ["new"]


async def test_the_watches_begin_after_what_has_to_come_first(unused_tcp_port: int) -> None:
    nowhere = Configuration(host=f"http://127.0.0.1:{unused_tcp_port}")
    watcher = Watcher(nowhere, namespace="shop", lease_name="operator", identity="operator-0")
    begun = asyncio.Event()

    async def deed() -> None:
        begun.set()

    watcher.beginning(deed)
    watching = asyncio.create_task(watcher.run())
    await until(begun.is_set, "what has to come first is done, although there is no API server")
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
