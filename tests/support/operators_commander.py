"""The Commander as the operator sees it, over HTTP: it accepts, lists and streams missions, and ends them on demand."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from mission_commander.api import bodies
from mission_contracts.envelope import Door
from mission_contracts.errors import PROBLEM_CONTENT_TYPE, Problem
from mission_contracts.mission import MissionId, MissionState, Reason
from mission_contracts.rest import (
    AcknowledgedRequest,
    BatchAnswer,
    BatchItem,
    BatchRequest,
    CancelRequest,
    LookupAnswer,
    LookupRequest,
    MissionChange,
    MissionPage,
    MissionView,
    PoolDeclaration,
    PoolView,
    Submission,
    TokenAnswer,
    TokenRequest,
)
from mission_contracts.spec import refusal

CLIENT_ID = "operator"
CLIENT_SECRET = "a-secret-for-tests"
_TOKEN = "token-for-tests"
_PAGE = 50


class OperatorsCommander:
    """What it was asked, and what it knows. Tests read its fields and call its verbs."""

    def __init__(self) -> None:
        self.missions: dict[MissionId, MissionView] = {}
        self.submitted: Counter[MissionId] = Counter()
        self.submissions: dict[MissionId, Submission] = {}
        self.batches: list[int] = []
        self.cancelled: dict[MissionId, CancelRequest] = {}
        self.suspended: dict[MissionId, bool] = {}
        self.acknowledged: set[MissionId] = set()
        self.declared: dict[tuple[str, str], PoolDeclaration] = {}
        self.pools: dict[tuple[str, str], PoolView] = {}
        self.streams_opened = 0
        self.refuses: dict[str, str] = {}
        """Types that are refused, and the sentence."""
        self.finishes_at_once = False
        self.is_down = False
        self._sequence = itertools.count(1_000_001)
        self._events: list[tuple[str, bytes]] = []
        self._changed = asyncio.Condition()
        self._streams: set[asyncio.Task[Any]] = set()
        self._pool_streams: list[web.StreamResponse] = []
        self.asked_for_pools = 0

    # Verbs for tests.

    def of(self, name: str) -> MissionView:
        """The mission of the object with this name."""
        return next(view for view in self.missions.values() if view.name == name)

    async def move(self, mission_id: MissionId, state: MissionState, reason: Reason, **changes: Any) -> MissionView:
        """Change a mission and tell everyone who follows."""
        now = datetime.now(UTC)
        times: dict[str, Any] = {"started_at": now} if state is MissionState.IN_PROGRESS else {}
        if state.is_final:
            times["finished_at"] = now
        before = self.missions[mission_id]
        sequence = max(next(self._sequence), before.sequence + 1)
        view = msgspec.structs.replace(before, state=state, reason=reason, sequence=sequence, **(times | changes))
        self.missions[mission_id] = view
        await self._publish(view)
        return view

    async def start(self, mission_id: MissionId) -> MissionView:
        return await self.move(
            mission_id, MissionState.IN_PROGRESS, Reason.RUNNING, attempt=1, epoch=1_000_001, soldier="soldier-1"
        )

    async def complete(self, mission_id: MissionId, result: bytes = b'{"ok":true}') -> MissionView:
        return await self.move(mission_id, MissionState.COMPLETED, Reason.COMPLETED, result=msgspec.Raw(result))

    async def lose_everything(self) -> None:
        """Forget all missions and pools, and tell who follows that their place in the stream is gone."""
        self.missions.clear()
        self.declared.clear()
        self.pools.clear()
        self._events.append((str(len(self._events) + 1), b""))
        async with self._changed:
            self._changed.notify_all()

    def show_pool(self, key: tuple[str, str], **changes: Any) -> PoolView:
        """Change a pool's numbers, as whoever asks next is told them."""
        self.pools[key] = msgspec.structs.replace(self.pools[key], **changes)
        return self.pools[key]

    async def push_pool(self, key: tuple[str, str], **changes: Any) -> None:
        """Change a pool's numbers, and tell everyone who follows."""
        view = self.show_pool(key, **changes)
        for stream in self._pool_streams:
            await stream.write(b"event: pool\ndata: %s\n\n" % msgspec.json.encode(view))

    def go_down(self) -> None:
        """Refuse everything from now on, and cut the streams."""
        self.is_down = True
        for stream in self._streams:
            stream.cancel()

    def come_back(self) -> None:
        self.is_down = False

    # The server.

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Listen while the context is open; gives the URL."""
        app = web.Application(middlewares=[self._gate], client_max_size=16 * 2**20)
        app.add_routes(self._routes())
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            for stream in self._streams:
                stream.cancel()
            await runner.cleanup()

    def _routes(self) -> list[web.RouteDef]:
        return [
            web.post("/token", self._login),
            web.post("/missions/batch", self._batch),
            web.post("/missions/lookup", self._lookup),
            web.post("/missions/acknowledged", self._acknowledge),
            web.get("/missions", self._list),
            web.patch("/missions/{id}", self._change),
            web.post("/missions/{id}/cancel", self._cancel),
            web.get("/events", self._stream),
            web.put("/pools/{namespace}/{name}", self._declare),
            web.delete("/pools/{namespace}/{name}", self._forget),
            web.get("/pools", self._list_pools),
            web.get("/pools/events", self._stream_pools),
        ]

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.is_down:
            return _problem(503, "Unavailable", "down for a test")
        if request.path != "/token" and request.headers.get("Authorization") != f"Bearer {_TOKEN}":
            return _problem(401, "Unauthorized", "log in first")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _login(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=TokenRequest)
        if (asked.client_id, asked.client_secret) != (CLIENT_ID, CLIENT_SECRET):
            return _problem(401, "InvalidClient", "unknown client")
        return _json(TokenAnswer(access_token=_TOKEN, expires_in=30))

    async def _batch(self, request: web.Request) -> web.Response:
        items = msgspec.json.decode(await request.read(), type=BatchRequest).missions
        self.batches.append(len(items))
        return _json(BatchAnswer(results=tuple([await self._accept(item) for item in items])))

    async def _accept(self, item: msgspec.Raw) -> BatchItem:
        submission = bodies.submission(bytes(item))
        if isinstance(submission, Problem):
            return BatchItem(status=submission.status, problem=submission)
        if why := refusal(submission, time.time()):
            return BatchItem(status=422, problem=Problem(title="Refused", status=422, detail=why, code="Refused"))
        assert submission.mission_id is not None
        mission_id = MissionId(submission.mission_id)
        self.submitted[mission_id] += 1
        self.submissions[mission_id] = submission
        if why := self.refuses.get(submission.type):
            return BatchItem(
                status=422, problem=Problem(title="Refused", status=422, detail=why, code="Refused", field="type")
            )
        if mission_id not in self.missions:
            self.missions[mission_id] = self._made(mission_id, submission)
            await self._publish(self.missions[mission_id])
            if self.finishes_at_once:
                await self.start(mission_id)
                await self.complete(mission_id)
        return BatchItem(status=202, mission=self.missions[mission_id])

    def _made(self, mission_id: MissionId, submission: Submission) -> MissionView:
        floor = submission.floor.sequence if submission.floor else 0
        return MissionView(
            mission_id=mission_id,
            namespace=submission.namespace or "",
            name=submission.name or "",
            type=submission.type,
            pool=submission.pool,
            state=MissionState.QUEUED,
            reason=Reason.SUSPENDED if submission.suspend else Reason.WAITING_FOR_SOLDIER,
            sequence=max(next(self._sequence), floor + 1),
            door=submission.door,
            queued_at=datetime.now(UTC),
            trace_id="0" * 31 + "1",
        )

    async def _lookup(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=LookupRequest)
        return _json(LookupAnswer(missions=tuple(self.missions.get(one) for one in asked.ids)))

    async def _acknowledge(self, request: web.Request) -> web.Response:
        self.acknowledged.update(msgspec.json.decode(await request.read(), type=AcknowledgedRequest).ids)
        return web.Response(status=204)

    async def _list(self, request: web.Request) -> web.Response:
        assert request.query["door"] == Door.CLUSTER.value
        namespace = request.query["namespace"]
        wants_finals = request.query.get("unacknowledged") == "true"
        assert wants_finals != (request.query.get("live") == "true")
        here = [v for v in self.missions.values() if v.namespace == namespace and v.state.is_final == wants_finals]
        alive = tuple(v for v in here if not wants_finals or v.mission_id not in self.acknowledged)
        start = int(request.query.get("cursor", "0"))
        cursor = str(start + _PAGE) if len(alive) > start + _PAGE else None
        return _json(MissionPage(missions=alive[start : start + _PAGE], cursor=cursor))

    async def _change(self, request: web.Request) -> web.Response:
        mission_id = MissionId(request.match_info["id"])
        change = msgspec.json.decode(await request.read(), type=MissionChange)
        if mission_id not in self.missions:
            return _problem(404, "UnknownMission", "no such mission")
        self.suspended[mission_id] = bool(change.suspend)
        return _json(self.missions[mission_id])

    async def _cancel(self, request: web.Request) -> web.Response:
        mission_id = MissionId(request.match_info["id"])
        self.cancelled[mission_id] = msgspec.json.decode(await request.read() or b"{}", type=CancelRequest)
        if mission_id not in self.missions:
            return _problem(404, "UnknownMission", "no such mission")
        view = self.missions[mission_id]
        if not view.state.is_final:
            reason = Reason.DELETED if self.cancelled[mission_id].deleted else Reason.CANCELLED
            view = await self.move(mission_id, MissionState.CANCELLED, reason)
        return _json(view)

    async def _declare(self, request: web.Request) -> web.Response:
        key = (request.match_info["namespace"], request.match_info["name"])
        self.declared[key] = msgspec.json.decode(await request.read(), type=PoolDeclaration)
        empty = PoolView(namespace=key[0], name=key[1], paused=False, queued=0, waiting=0, in_flight=0, in_broker=0)
        return _json(self.pools.setdefault(key, empty))

    async def _forget(self, request: web.Request) -> web.Response:
        key = (request.match_info["namespace"], request.match_info["name"])
        self.declared.pop(key, None)
        self.pools.pop(key, None)
        return web.Response(status=204)

    async def _list_pools(self, _: web.Request) -> web.Response:
        self.asked_for_pools += 1
        return _json({"pools": tuple(self.pools.values())})

    async def _stream_pools(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": listening\n\n")
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        self._pool_streams.append(response)
        try:
            with suppress(ConnectionResetError, asyncio.CancelledError):
                while True:
                    await asyncio.sleep(5)
                    await response.write(b": alive\n\n")
        finally:
            self._streams.discard(task)
            self._pool_streams.remove(response)
        return response

    async def _publish(self, view: MissionView) -> None:
        self._events.append((str(len(self._events) + 1), msgspec.json.encode(view)))
        async with self._changed:
            self._changed.notify_all()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        position = int(request.headers.get("Last-Event-ID") or len(self._events))
        await response.prepare(request)
        await response.write(b": listening\n\n")
        self.streams_opened += 1
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            with suppress(ConnectionResetError, asyncio.CancelledError):
                while True:
                    position = await self._send_from(position, response)
        finally:
            self._streams.discard(task)
        return response

    async def _send_from(self, position: int, response: web.StreamResponse) -> int:
        events = self._events[position:]
        for event_id, data in events:
            kind = b"mission" if data else b"reset"
            await response.write(b"id: %s\nevent: %s\ndata: %s\n\n" % (event_id.encode(), kind, data or b"{}"))
        position += len(events)
        try:
            async with asyncio.timeout(5), self._changed:
                await self._changed.wait_for(lambda: len(self._events) > position)
        except TimeoutError:
            await response.write(b": alive\n\n")
        return position


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _problem(status: int, code: str, detail: str) -> web.Response:
    body = msgspec.json.encode(Problem(title=code, status=status, detail=detail, code=code))
    return web.Response(status=status, body=body, content_type=PROBLEM_CONTENT_TYPE)
