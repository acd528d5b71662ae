"""GET /events: every change once, in order, from where one stopped, and only of what one may see."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from support.commander_api import Api, serving

from mission_broker.memory import MemoryBroker
from mission_commander.ports import Change
from mission_commander.services import feed
from mission_contracts.tokens import Role


class Stream:
    """A server-sent event stream, read by hand."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._blocks = self._read()
        self.last_id = ""
        self.comments = 0

    async def _read(self) -> AsyncIterator[dict[str, str]]:
        lines: list[str] = []
        async for line in self.answer.aiter_lines():
            if line:
                lines.append(line)
                continue
            yield dict(one.split(": ", 1) for one in lines)
            lines = []

    async def block(self) -> dict[str, str]:
        """The next event; comments are counted."""
        async with asyncio.timeout(10):
            while "event" not in (found := await anext(self._blocks)):
                self.comments += 1
        self.last_id = found.get("id", self.last_id)
        return found

    async def mission(self) -> dict[str, Any]:
        found = await self.block()
        assert found["event"] == "mission", found
        shown: dict[str, Any] = msgspec.json.decode(found["data"])
        return shown


@asynccontextmanager
async def streaming(api: Api, who: str = "anna", last: str | None = None, **query: str) -> AsyncIterator[Stream]:
    headers = {} if last is None else {"Last-Event-ID": last}
    client = await api.client(who)
    async with client.stream("GET", "/events", params=query, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Stream(answer)


async def test_each_change_is_told(api: Api) -> None:
    async with streaming(api) as stream:
        mission = await api.submit()
        assert await stream.mission() == mission
        await (await api.client("anna")).post(f"/missions/{mission['mission_id']}/cancel")
        told = await stream.mission()
    assert (told["state"], told["mission_id"]) == ("CANCELLED", mission["mission_id"])


async def test_one_hears_of_ones_own_missions_only(api: Api) -> None:
    async with streaming(api, "anna") as annas, streaming(api, "ada") as adas:
        await api.submit("ben")
        mine = await api.submit("anna")
        assert await annas.mission() == mine
        assert (await adas.mission())["mission_id"] != mine["mission_id"]
        assert await adas.mission() == mine


async def test_namespace_and_door_are_filters(api: Api) -> None:
    operator = await api.client("operator")
    async with streaming(api, "operator", namespace="default", door="cluster") as stream:
        await api.submit("anna")
        body = {"type": "noop", "payload": {}, "door": "cluster", "mission_id": "uid-1", "name": "x"}
        await operator.post("/missions", json=body | {"namespace": "elsewhere", "mission_id": "uid-2"})
        await operator.post("/missions", json=body)
        assert (await stream.mission())["mission_id"] == "uid-1"


async def test_a_watcher_resumes_where_it_stopped(api: Api) -> None:
    async with streaming(api) as stream:
        first = await api.submit()
        assert await stream.mission() == first
        last = stream.last_id
    missed = [await api.submit() for _ in range(3)]
    async with streaming(api, last=last) as stream:
        assert [await stream.mission() for _ in range(3)] == missed
        then = await api.submit()
        assert await stream.mission() == then


async def test_a_watcher_resumes_at_another_commander(api: Api) -> None:
    async with streaming(api) as stream:
        await api.submit()
        await stream.mission()
        last = stream.last_id
    missed = [await api.submit() for _ in range(3)]
    async with (
        serving(api.ledger.store, MemoryBroker(api.broker.server)) as other,
        streaming(other, last=last) as stream,
    ):
        assert [await stream.mission() for _ in range(3)] == missed


async def test_an_id_too_old_gets_a_reset_and_then_what_follows(api: Api) -> None:
    async with streaming(api, last="1-1") as stream:
        assert (await stream.block())["event"] == "reset"
        mission = await api.submit()
        assert await stream.mission() == mission


async def test_a_wipe_is_told_by_a_reset(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "WAIT_SECONDS", 0.05)
    async with streaming(api) as stream:
        mission = await api.submit()
        assert await stream.mission() == mission
        api.ledger.wipe()
        api.ledger.store.wake_readers()
        while (block := await stream.block())["event"] != "reset":
            assert block["event"] == "mission"
        restored = await stream.mission()
    assert restored == mission, "restored as it was"


async def test_a_quiet_stream_shows_that_it_lives(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mission_commander.api.events.QUIET_SECONDS", 0.02)
    async with streaming(api) as stream:
        reading = asyncio.create_task(stream.mission())
        async with asyncio.timeout(10):
            while stream.comments < 3:  # noqa: ASYNC110  # the stream is read by the task above
                await asyncio.sleep(0.005)
        mission = await api.submit()
        assert await reading == mission


async def test_an_acknowledgement_is_no_news(api: Api) -> None:
    async with streaming(api) as stream:
        first = await api.submit()
        await (await api.client("anna")).post(f"/missions/{first['mission_id']}/cancel")
        await stream.mission()
        assert (await stream.mission())["state"] == "CANCELLED"
        answer = await (await api.client("operator")).post(
            "/missions/acknowledged", json={"ids": [first["mission_id"]]}
        )
        assert answer.status_code == 204
        second = await api.submit()
        assert await stream.mission() == second


async def test_a_record_that_a_soldier_made_up_does_not_end_the_stream(api: Api) -> None:
    async with streaming(api) as stream:
        mission = await api.submit(deadline_seconds=100)
        await stream.mission()
        known = api.commander.memory.get(mission["mission_id"])
        assert known is not None
        odd = msgspec.structs.replace(known, sequence=known.sequence + 1, started_at=-1e300, due_at=1e300)
        await api.ledger.commit(api.commander.recorder.era, [Change(odd, known.sequence)])
        assert (await stream.mission())["mission_id"] == mission["mission_id"]


async def test_a_stream_ends_with_its_token_and_is_resumed_with_the_next_one() -> None:
    async with serving(token_grace_seconds=0) as api:
        client = await api.client("anna")
        headers = {"Authorization": f"Bearer {api.token('anna', Role.USER, 2)}"}
        async with client.stream("GET", "/events", headers=headers) as answer:
            stream = Stream(answer)
            first = await api.submit()
            assert await stream.mission() == first
            with pytest.raises(StopAsyncIteration):
                await stream.block()
        second = await api.submit()
        async with streaming(api, last=stream.last_id) as resumed:
            assert await resumed.mission() == second


async def test_type_pool_and_mission_are_filters(api: Api) -> None:
    async with streaming(api, type="resize", pool="gpu") as stream:
        await api.submit(type="resize")
        await api.submit(pool="gpu")
        wanted = await api.submit(type="resize", pool="gpu")
        assert await stream.mission() == wanted
    async with streaming(api, mission_id=wanted["mission_id"]) as stream:
        await api.submit()
        await (await api.client("anna")).post(f"/missions/{wanted['mission_id']}/cancel")
        assert (await stream.mission())["mission_id"] == wanted["mission_id"]


async def test_a_watcher_that_leaves_is_forgotten(api: Api) -> None:
    for _ in range(5):
        async with streaming(api):
            await api.submit()
    assert (await (await api.client("anna")).get("/livez")).status_code == 200
