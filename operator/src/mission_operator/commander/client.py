"""One request at a time: paths, tokens, and the three ways an answer can be no answer."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import msgspec

from mission_contracts.clock import Clock
from mission_contracts.envelope import Door
from mission_contracts.errors import PROBLEM_CONTENT_TYPE, Problem
from mission_contracts.mission import MissionId
from mission_contracts.patience import Patience
from mission_contracts.renewal import renew_after
from mission_contracts.rest import (
    AcknowledgedRequest,
    BatchAnswer,
    BatchItem,
    CancelRequest,
    LookupAnswer,
    LookupRequest,
    MissionChange,
    MissionPage,
    MissionView,
    PoolDeclaration,
    PoolView,
    TokenAnswer,
    TokenRequest,
)

_T = TypeVar("_T")

_CONNECT_SECONDS: Final = 2.0
_FIRST_SECONDS: Final = 2.5
_RENEW_AGAIN_SECONDS: Final = 1.0
_MOST_SECONDS: Final = 15.0
"""How long an answer may take: little at first, in case that this replica is frozen and another is not."""
_AGAIN: Final = frozenset({401, 403, 404, 405, 408, 425, 429})
"""Not the mission's fault: our login, or the Commander behind its proxy, is not as it should be."""


class CommanderAwayError(Exception):
    """The Commander did not answer, or said that it cannot now; it is worth trying again."""

    def __init__(self, why: str, retry_after_seconds: float = 0) -> None:
        super().__init__(why)
        self.retry_after_seconds = retry_after_seconds


class CommanderRefusedError(Exception):
    """The Commander understood and said no; asking again changes nothing."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class _Pools(msgspec.Struct, frozen=True):
    pools: tuple[PoolView, ...]


class CommanderClient:
    """The Commander's routes that the operator uses."""

    def __init__(self, http: httpx.AsyncClient, token: "TokenSource") -> None:
        self._http = http
        self._token = token
        self._patience = Patience(first_seconds=_FIRST_SECONDS, most_seconds=_MOST_SECONDS)

    async def submit(self, bodies: Sequence[bytes]) -> Sequence[BatchItem]:
        """Submit encoded missions together; one answer each, in order."""
        content = b'{"missions":[' + b",".join(bodies) + b"]}"
        answer = await self._ask("POST", "/missions/batch", content=content)
        results = _read(answer, BatchAnswer).results
        if len(results) != len(bodies):
            raise CommanderAwayError(f"{len(bodies)} missions were submitted and {len(results)} answered")
        return results

    async def lookup(self, ids: Sequence[MissionId]) -> Sequence[MissionView | None]:
        content = msgspec.json.encode(LookupRequest(ids=tuple(ids)))
        return _read(await self._ask("POST", "/missions/lookup", content=content), LookupAnswer).missions

    async def acknowledge(self, ids: Sequence[MissionId]) -> None:
        content = msgspec.json.encode(AcknowledgedRequest(ids=tuple(ids)))
        await self._ask("POST", "/missions/acknowledged", content=content)

    async def set_suspend(self, mission_id: MissionId, suspend: bool) -> MissionView | None:
        """Hold or release a mission; None when the Commander does not know it."""
        content = msgspec.json.encode(MissionChange(suspend=suspend))
        return _view(await self._ask("PATCH", f"/missions/{mission_id}", content=content, may_be_unknown=True))

    async def cancel(self, mission_id: MissionId, *, deleted: bool) -> MissionView | None:
        """Cancel a mission; None when the Commander does not know it."""
        content = msgspec.json.encode(CancelRequest(deleted=deleted))
        return _view(await self._ask("POST", f"/missions/{mission_id}/cancel", content=content, may_be_unknown=True))

    async def live_missions(self, namespace: str) -> AsyncIterator[tuple[MissionView, ...]]:
        """List what the cluster door let in and that is not final, a page at a time."""
        async for page in self._pages(namespace, live="true"):
            yield tuple(one for one in page if not one.state.is_final)

    async def unacknowledged_missions(self, namespace: str) -> AsyncIterator[tuple[MissionView, ...]]:
        """List what the cluster door let in, is final, and was not acknowledged, a page at a time."""
        async for page in self._pages(namespace, unacknowledged="true"):
            yield tuple(one for one in page if one.state.is_final)

    async def _pages(self, namespace: str, **asked: str) -> AsyncIterator[tuple[MissionView, ...]]:
        params = {"namespace": namespace, "door": Door.CLUSTER.value, "limit": "1000", **asked}
        while True:
            page = _read(await self._ask("GET", "/missions", params=params), MissionPage)
            yield tuple(one for one in page.missions if one.door is Door.CLUSTER)
            if page.cursor is None:
                return
            params["cursor"] = page.cursor

    async def declare_pool(self, namespace: str, name: str, declaration: PoolDeclaration) -> PoolView:
        """Make the pool known and its queues exist; gives its numbers."""
        content = msgspec.json.encode(declaration)
        return _read(await self._ask("PUT", f"/pools/{namespace}/{name}", content=content), PoolView)

    async def forget_pool(self, namespace: str, name: str) -> None:
        await self._ask("DELETE", f"/pools/{namespace}/{name}", may_be_unknown=True)

    async def pools(self) -> Sequence[PoolView]:
        return _read(await self._ask("GET", "/pools"), _Pools).pools

    @asynccontextmanager
    async def events(
        self, namespace: str, last_event_id: str, *, silence_seconds: float
    ) -> AsyncIterator[AsyncIterator[str]]:
        """Open the event stream; it ends with CommanderAwayError when nothing arrives for so long."""
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        params = {"door": Door.CLUSTER.value, "namespace": namespace}
        async with self._stream("/events", params, headers, silence_seconds) as lines:
            yield lines

    @asynccontextmanager
    async def pool_events(self, *, silence_seconds: float) -> AsyncIterator[AsyncIterator[str]]:
        """Open the stream of pools that work comes to; it ends as the other one does."""
        async with self._stream("/pools/events", {}, {}, silence_seconds) as lines:
            yield lines

    @asynccontextmanager
    async def _stream(
        self, path: str, params: Mapping[str, str], headers: Mapping[str, str], silence_seconds: float
    ) -> AsyncIterator[AsyncIterator[str]]:
        asked = {"Accept": "text/event-stream", **await self._token.headers(), **headers}
        timeout = httpx.Timeout(silence_seconds, connect=2)
        try:
            async with self._http.stream("GET", path, params=dict(params), headers=asked, timeout=timeout) as answer:
                if not answer.is_success:
                    await answer.aread()
                    self._token.doubt(answer.status_code)
                    raise _refusal(answer, f"GET {path}")
                yield answer.aiter_lines()
        except (httpx.HTTPError, OSError) as error:
            raise CommanderAwayError(f"the event stream {path} ended: {error!r}") from error

    async def _ask(self, method: str, path: str, *, may_be_unknown: bool = False, **request: Any) -> httpx.Response:
        headers = {"Content-Type": "application/json", **await self._token.headers()}
        seconds = self._patience.seconds
        try:
            answer = await self._http.request(method, path, headers=headers, timeout=_within(seconds), **request)
        except (httpx.HTTPError, OSError) as error:
            if isinstance(error, httpx.TimeoutException):
                self._patience.ran_out(seconds)
            raise CommanderAwayError(f"the Commander did not answer {method} {path}: {error!r}") from error
        self._patience.answered()
        if answer.is_success or (may_be_unknown and _is_unknown(answer)):
            return answer
        self._token.doubt(answer.status_code)
        raise _refusal(answer, f"{method} {path}")


Proof = Callable[[], TokenRequest]
"""Says who the operator is; asked at each login, because a projected token is renewed. May raise OSError."""


def by_secret(client_id: str, client_secret: str) -> Proof:
    return lambda: TokenRequest(client_id=client_id, client_secret=client_secret)


def by_projected_token(file: Path) -> Proof:
    return lambda: TokenRequest(grant_type="service_account", assertion=file.read_text().strip())


class TokenSource:
    """Logs in with what proves who this is, and again before the token ends or when it is doubted."""

    def __init__(self, http: httpx.AsyncClient, proof: Proof, clock: Clock) -> None:
        self._http = http
        self._proof = proof
        self._clock = clock
        self._token = ""
        self._renew_at = self._ends_at = 0.0
        self._lock = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        async with self._lock:
            if self._clock.monotonic() >= self._renew_at:
                await self._renew_or_go_on()
        return {"Authorization": f"Bearer {self._token}"}

    async def _renew_or_go_on(self) -> None:
        """Renew; a Commander that is away now is asked again in a moment, while the token in use still lives."""
        try:
            await self._renew()
        except CommanderAwayError:
            now = self._clock.monotonic()
            if now >= self._ends_at:
                raise
            self._renew_at = now + _RENEW_AGAIN_SECONDS

    def doubt(self, status_code: int) -> None:
        """Log in again before the next request, if this answer was about our token."""
        if status_code == httpx.codes.UNAUTHORIZED:
            self._renew_at = self._ends_at = 0.0

    async def _renew(self) -> None:
        began = self._clock.monotonic()
        try:
            answer = await self._http.post(
                "/token",
                content=msgspec.json.encode(self._proof()),
                headers={"Content-Type": "application/json"},
                timeout=_within(_FIRST_SECONDS),
            )
        except (httpx.HTTPError, OSError) as error:
            raise CommanderAwayError(f"the Commander did not answer POST /token: {error!r}") from error
        if not answer.is_success:
            raise CommanderAwayError(
                f"the Commander refused our login with {answer.status_code}: check client id and secret, or the account"
            )
        granted = _read(answer, TokenAnswer)
        self._token = granted.access_token
        self._renew_at = began + renew_after(granted.expires_in, random.random())  # noqa: S311 (jitter is no secret)
        self._ends_at = began + granted.expires_in


def _within(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))


def _read(answer: httpx.Response, model: type[_T]) -> _T:
    try:
        return msgspec.json.decode(answer.content, type=model)
    except msgspec.MsgspecError as error:
        raise CommanderAwayError(
            f"the Commander's answer to {answer.request.url.path} is unreadable: {error}"
        ) from error


def _is_unknown(answer: httpx.Response) -> bool:
    """Tell whether the Commander itself said 404, and not a proxy before it."""
    content_type: str = answer.headers.get("Content-Type", "")
    return answer.status_code == httpx.codes.NOT_FOUND and content_type.startswith(PROBLEM_CONTENT_TYPE)


def _view(answer: httpx.Response) -> MissionView | None:
    return None if answer.status_code == httpx.codes.NOT_FOUND else _read(answer, MissionView)


def _refusal(answer: httpx.Response, what: str) -> CommanderAwayError | CommanderRefusedError:
    status = answer.status_code
    if status >= 500 or status in _AGAIN:
        return CommanderAwayError(f"the Commander answered {what} with {status}", _retry_after(answer))
    return CommanderRefusedError(_problem(answer))


def _problem(answer: httpx.Response) -> Problem:
    try:
        return msgspec.json.decode(answer.content, type=Problem)
    except msgspec.MsgspecError:
        detail = f"the Commander refused with {answer.status_code} and did not say why"
        return Problem(title=answer.reason_phrase, status=answer.status_code, detail=detail, code="Refused")


def _retry_after(answer: httpx.Response) -> float:
    header = answer.headers.get("Retry-After", "")
    return float(header) if header.isdigit() else 0


Connection = AbstractAsyncContextManager[CommanderClient]


@asynccontextmanager
async def connect(
    url: str, proof: Proof, clock: Clock, authority_file: Path | None = None
) -> AsyncIterator[CommanderClient]:
    """Keep connections to the Commander while the context is open."""
    tls = _tls(authority_file) if url.startswith("https://") else False
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=30)
    async with httpx.AsyncClient(base_url=url, limits=limits, verify=tls, trust_env=False) as http:
        yield CommanderClient(http, TokenSource(http, proof, clock))


def _tls(authority_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if authority_file is not None:
        context.load_verify_locations(cafile=authority_file)
    return context
