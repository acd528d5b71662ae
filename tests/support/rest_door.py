"""The Commander's REST door, as a test uses it: submit, and wait until all are final."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import httpx

from mission_contracts.rest import IDEMPOTENCY_KEY_HEADER, MAX_BATCH

FINAL: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
POLL_SECONDS: Final = 0.2

View = dict[str, Any]


class RestDoor:
    """One client's way in."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def post(self, body: Mapping[str, Any], *, key: str | None = None) -> httpx.Response:
        """Submit one mission, whatever the answer."""
        headers = {IDEMPOTENCY_KEY_HEADER: key} if key else {}
        return await self.client.post("/missions", json=body, headers=headers)

    async def submit(self, mission_type: str = "noop", *, key: str | None = None, **fields: Any) -> View:
        answer = await self.post({"type": mission_type, "payload": {}} | fields, key=key)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    async def submit_batch(self, missions: Sequence[Mapping[str, Any]]) -> list[View]:
        """Submit at most 1,000; gives the answer to each."""
        answer = await self.client.post("/missions/batch", json={"missions": missions})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["results"])

    async def submit_many(self, count: int, mission_type: str = "noop", **fields: Any) -> list[str]:
        """Submit so many by batches; all must be accepted; gives their ids."""
        body = {"type": mission_type, "payload": {}} | fields
        ids: list[str] = []
        for start in range(0, count, MAX_BATCH):
            results = await self.submit_batch([body] * min(MAX_BATCH, count - start))
            ids += [one["mission"]["mission_id"] for one in results]
        return ids

    async def get(self, mission_id: str) -> View:
        answer = await self.client.get(f"/missions/{mission_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def status(self) -> Mapping[str, Any]:
        return dict((await self.client.get("/status")).raise_for_status().json())

    async def look_up(self, ids: Sequence[str]) -> list[View | None]:
        found: list[View | None] = []
        for start in range(0, len(ids), MAX_BATCH):
            answer = await self.client.post("/missions/lookup", json={"ids": ids[start : start + MAX_BATCH]})
            found += answer.raise_for_status().json()["missions"]
        return found

    async def until_final(self, ids: Iterable[str], *, seconds: float = 60) -> dict[str, View]:
        """Wait until all are final; gives their views. While the Commander is away it is asked again."""
        waited_for = list(ids)
        ended: dict[str, View] = {}
        deadline = time.monotonic() + seconds
        while left := [one for one in waited_for if one not in ended]:
            views = await self._looked_up(left)
            ended |= {view["mission_id"]: view for view in views if view and view["state"] in FINAL}
            if len(ended) < len(waited_for):
                assert time.monotonic() < deadline, f"after {seconds:g} s not all are final: {_numbers(views)}"
                await asyncio.sleep(POLL_SECONDS)
        return ended

    async def until_it_is(self, mission_id: str, state: str, *, reason: str = "", seconds: float = 20) -> View:
        """Wait until the mission has this state, and this reason if one is given."""
        deadline = time.monotonic() + seconds
        while (view := await self.get(mission_id))["state"] != state or reason not in ("", view["reason"]):
            assert time.monotonic() < deadline, f"after {seconds:g} s it is not {state} {reason}: {view}"
            await asyncio.sleep(0.05)
        return view

    async def _looked_up(self, ids: Sequence[str]) -> list[View | None]:
        try:
            return await self.look_up(ids)
        except httpx.HTTPError:
            return [None] * len(ids)


def _numbers(views: Sequence[View | None]) -> str:
    """How many are where, and one example of each."""
    shown = [f"{view['state']} {view['reason']}" if view else "unknown" for view in views]
    examples = dict(zip(shown, views, strict=True))
    return f"{dict(Counter(shown))}, for example {examples}"
