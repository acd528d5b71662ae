"""A Commander that is not there: for tests of code that uses the client, and of the client itself.

    commander = FakeCommander()
    control = MissionControl(commander.url, transport=commander.transport)

It keeps missions in memory and runs nothing: the test says what becomes of them (`finish`), and what goes wrong
on the way (`fail_next`, `why_refused`). It answers a `wait` at once: set `on_wait` to what happens meanwhile.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import msgspec
import pydantic

from mission_contracts import rest
from mission_contracts.errors import PROBLEM_CONTENT_TYPE, Problem
from mission_contracts.mission import MissionId, MissionState, Reason

_ROUTE: Final = re.compile(r"/missions/(?P<id>[^/]+)(?P<cancel>/cancel)?$")
_POOL: Final = re.compile(r"/pools/(?P<namespace>[^/]+)/(?P<name>[^/]+)$")
PAGE: Final = 3
"""The most missions on one page: few, so that a test of a handful turns pages."""


class FakeCommander:
    """Answers the client's routes as the Commander does, where a client can tell the difference."""

    url = "http://commander.test"

    def __init__(self, *, client_secret: str = "", token_seconds: float = 300) -> None:
        self.missions: dict[MissionId, rest.MissionView] = {}
        self.pools: dict[tuple[str, str], rest.PoolDeclaration] = {}
        self.rejected: list[rest.RejectedMessage] = []
        """Messages that nobody could use, newest first."""
        self.requests: list[httpx.Request] = []
        self.on_wait: Callable[[MissionId], None] = lambda _: None
        self.why_refused: Callable[[rest.Submission], str | None] = lambda _: None
        self.health = rest.Health(status="ok", parts={"ledger": "ok", "broker": "ok"}, durability="strong")
        self.tokens: list[str] = []
        self._client_secret = client_secret
        self._token_seconds = token_seconds
        self._by_key: dict[str, MissionId] = {}
        self._events: list[rest.MissionView] = []
        self._failures: deque[httpx.Response | Exception] = deque()

    @property
    def transport(self) -> httpx.MockTransport:
        """Give it to either client as its transport."""
        return httpx.MockTransport(self._answer)

    # What the test says.

    def finish(
        self, mission_id: str, state: MissionState = MissionState.COMPLETED, *, result: Any = None, message: str = ""
    ) -> rest.MissionView:
        """Bring a mission to a final state."""
        reason = {MissionState.COMPLETED: Reason.COMPLETED, MissionState.CANCELLED: Reason.CANCELLED}
        return self.change(
            mission_id,
            state=state,
            reason=reason.get(state, Reason.GAVE_UP).value,
            message=message,
            finished_at=datetime.now(UTC),
            duration_seconds=1.5,
            result=None if result is None else msgspec.Raw(msgspec.json.encode(result)),
        )

    def change(self, mission_id: str, **fields: Any) -> rest.MissionView:
        """Move a mission on, and announce it."""
        known = self.missions[MissionId(mission_id)]
        changed = msgspec.structs.replace(known, sequence=known.sequence + 1, **fields)
        self._record(changed)
        return changed

    def fail_next(self, *failures: httpx.Response | Exception) -> None:
        """What the next requests get instead of an answer."""
        self._failures.extend(failures)

    def revoke_tokens(self) -> None:
        """Take no token that was given so far."""
        self.tokens.append("revoked")

    def sent(self, method: str, path: str) -> list[httpx.Request]:
        """The requests that came for a route."""
        return [one for one in self.requests if one.method == method and one.url.path == path]

    # How it answers.

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self._failures:
            failure = self._failures.popleft()
            if isinstance(failure, Exception):
                raise failure
            return failure
        if request.url.path == "/token":
            return self._token(msgspec.json.decode(request.content, type=rest.TokenRequest))
        if request.url.path == "/health":
            return _json(self.health, 503 if self.health.status == "down" else 200)
        if not self._is_admitted(request):
            return refusal(401, "NoToken", "send a token")
        return self._routed(request)

    def _routed(self, request: httpx.Request) -> httpx.Response:
        exact: Mapping[tuple[str, str], Callable[[httpx.Request], httpx.Response]] = {
            ("POST", "/missions"): self._submit,
            ("POST", "/missions/batch"): self._submit_batch,
            ("POST", "/missions/lookup"): self._look_up,
            ("GET", "/missions"): self._list,
            ("GET", "/events"): self._stream,
            ("GET", "/pools"): self._pools,
            ("GET", "/rejected"): self._rejected,
        }
        if route := exact.get((request.method, request.url.path)):
            return route(request)
        if match := _ROUTE.match(request.url.path):
            return self._mission(request, MissionId(match["id"]), is_cancel=bool(match["cancel"]))
        if match := _POOL.match(request.url.path):
            return self._pool(request, match["namespace"], match["name"])
        return refusal(404, "NoSuchRoute", f"there is no {request.url.path}")

    def _token(self, asked: rest.TokenRequest) -> httpx.Response:
        if asked.client_secret != self._client_secret:
            return refusal(401, "BadCredentials", "client id or secret is wrong: check both")
        self.tokens.append(f"token-{len(self.tokens) + 1}")
        return _json(rest.TokenAnswer(access_token=self.tokens[-1], expires_in=self._token_seconds))

    def _is_admitted(self, request: httpx.Request) -> bool:
        newest = self.tokens[-1] if self.tokens else ""
        return not self._client_secret or request.headers.get("authorization") == f"Bearer {newest}"

    def _submit(self, request: httpx.Request) -> httpx.Response:
        answer = self._accept(request.content, request.headers[rest.IDEMPOTENCY_KEY_HEADER])
        return _json(answer, 202) if isinstance(answer, rest.MissionView) else _refused(answer)

    def _submit_batch(self, request: httpx.Request) -> httpx.Response:
        items = msgspec.json.decode(request.content, type=rest.BatchRequest).missions
        if len(items) > rest.MAX_BATCH:
            return refusal(422, "BatchTooLarge", f"{len(items)} missions in one request")
        answers = [self._accept(bytes(item), None) for item in items]
        return _json(rest.BatchAnswer(results=tuple(map(_item, answers))))

    def _accept(self, body: bytes, key: str | None) -> rest.MissionView | Problem:
        try:
            asked = rest.Submission.model_validate_json(body)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(map(str, first["loc"]))
            return Problem(title="Refused", status=422, code="BadField", detail=first["msg"], field=field)
        if why := self.why_refused(asked):
            return Problem(title="Refused", status=422, code="Refused", detail=why)
        key = key or asked.idempotency_key or ""
        if key not in self._by_key:
            self._by_key[key] = MissionId(f"00000000-0000-4000-8000-{len(self.missions) + 1:012}")
            self._record(_accepted(asked, self._by_key[key]))
        return self.missions[self._by_key[key]]

    def _record(self, mission: rest.MissionView) -> None:
        self.missions[mission.mission_id] = mission
        self._events.append(mission)

    def _look_up(self, request: httpx.Request) -> httpx.Response:
        ids = msgspec.json.decode(request.content, type=rest.LookupRequest).ids
        return _json(rest.LookupAnswer(missions=tuple(self.missions.get(one) for one in ids)))

    def _list(self, request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        wanted = [one for one in reversed(self.missions.values()) if _fits(one, asked)]
        start, limit = int(asked.get("cursor", 0)), min(int(asked.get("limit", PAGE)), PAGE)
        more = str(start + limit) if start + limit < len(wanted) else None
        return _json(rest.MissionPage(missions=tuple(wanted[start : start + limit]), cursor=more))

    def _mission(self, request: httpx.Request, mission_id: MissionId, *, is_cancel: bool) -> httpx.Response:
        if mission_id not in self.missions:
            return refusal(404, "NotFound", "there is no such mission, or it is not yours")
        if "wait" in request.url.params:
            self.on_wait(mission_id)
        if is_cancel and not self.missions[mission_id].state.is_final:
            self.finish(mission_id, MissionState.CANCELLED)
        if request.method == "PATCH":
            self._suspend(mission_id, msgspec.json.decode(request.content, type=rest.MissionChange))
        return _json(self.missions[mission_id])

    def _suspend(self, mission_id: MissionId, change: rest.MissionChange) -> None:
        reason = Reason.SUSPENDED if change.suspend else Reason.WAITING_FOR_SOLDIER
        self.change(mission_id, reason=reason.value)

    def _stream(self, request: httpx.Request) -> httpx.Response:
        """What happened since Last-Event-ID; then the connection ends, as any does sooner or later."""
        after = int(request.headers.get("last-event-id", f"{len(self._events)}-0").removesuffix("-0"))
        frames = [
            f"id: {number}-0\nevent: mission\ndata: {msgspec.json.encode(mission).decode()}\n\n"
            for number, mission in enumerate(self._events[after:], start=after + 1)
        ]
        text = ": still here\n\n" + "".join(frames)
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=text.encode())

    def _rejected(self, request: httpx.Request) -> httpx.Response:
        shown = self.rejected[: int(request.url.params.get("limit", PAGE))]
        count = len(self.rejected)
        return _json(rest.RejectedPage(count=count, read=count, rejected=tuple(shown)))

    def _pools(self, _: httpx.Request) -> httpx.Response:
        return _json({"pools": [_pool_view(*key, declared) for key, declared in self.pools.items()]})

    def _pool(self, request: httpx.Request, namespace: str, name: str) -> httpx.Response:
        if request.method == "DELETE":
            self.pools.pop((namespace, name), None)
            return httpx.Response(204)
        declared = msgspec.json.decode(request.content, type=rest.PoolDeclaration)
        self.pools[namespace, name] = declared
        return _json(_pool_view(namespace, name, declared))


def refusal(status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """A problem+json answer."""
    return _refused(Problem(title="Refused", status=status, code=code, detail=detail), headers)


def _refused(problem: Problem, headers: Mapping[str, str] | None = None) -> httpx.Response:
    content_type = {"content-type": PROBLEM_CONTENT_TYPE}
    return httpx.Response(
        problem.status, headers={**content_type, **(headers or {})}, content=msgspec.json.encode(problem)
    )


def _json(body: object, status: int = 200) -> httpx.Response:
    headers = {"content-type": "application/json"}
    return httpx.Response(status, headers=headers, content=msgspec.json.encode(body))


def _item(answer: rest.MissionView | Problem) -> rest.BatchItem:
    if isinstance(answer, Problem):
        return rest.BatchItem(status=answer.status, problem=answer)
    return rest.BatchItem(status=202, mission=answer)


def _accepted(asked: rest.Submission, mission_id: MissionId) -> rest.MissionView:
    return rest.MissionView(
        mission_id=mission_id,
        namespace=asked.namespace or "default",
        type=asked.type,
        pool=asked.pool,
        state=MissionState.QUEUED,
        reason=(Reason.SUSPENDED if asked.suspend else Reason.WAITING_FOR_SOLDIER).value,
        sequence=1,
        name=asked.name or "",
        queued_at=datetime.now(UTC),
        ordering_key=asked.ordering_key,
        sequence_number=asked.sequence_number,
    )


def _fits(mission: rest.MissionView, asked: httpx.QueryParams) -> bool:
    shown = {"namespace": mission.namespace, "state": mission.state, "type": mission.type, "pool": mission.pool}
    return all(asked.get(name, value) == value for name, value in shown.items())


def _pool_view(namespace: str, name: str, declared: rest.PoolDeclaration) -> rest.PoolView:
    soldier = rest.SoldierView(instance="soldier-1", slots=16, busy=1, taking=True)
    return rest.PoolView(
        namespace=namespace,
        name=name,
        paused=declared.paused,
        queued=0,
        waiting=0,
        in_flight=1,
        soldiers=(soldier,),
        types=("noop", "simulate"),
    )
