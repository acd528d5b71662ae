"""The blocking client: takes the steps that the operations ask for, and decides nothing."""

import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from mission_contracts import rest
from mission_contracts.clock import SystemClock
from mission_contracts.envelope import Door
from mission_contracts.mission import MissionId
from missionctl.client import _httpx
from missionctl.client._operations import Event, Operations
from missionctl.client._requests import Filter
from missionctl.client._retries import Retries
from missionctl.client._steps import Emit, Hear, Listen, Pause, Renew, Send, Step, Stream, Talk
from missionctl.client._tokens import Credentials, TokenKeeper
from missionctl.client._wire import Outcome

T = TypeVar("T")


class MissionControlSync:
    """A Commander's client for code without an event loop.

        with MissionControlSync("http://127.0.0.1:8484", ClientSecret("me", "…")) as control:
            mission = control.submit(Submission(type="noop", payload={}))
            mission = control.wait(mission.mission_id, timeout_seconds=60)

    Safe to share between threads. Every call renews the token when it is time, and repeats what may be repeated while
    the Commander is away, for `retries.patience_seconds`. Errors are all `MissionControlError`.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        *,
        token: str = "",
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = _httpx.checked(url)
        clock = SystemClock()
        tokens = TokenKeeper(credentials, clock, token=token)
        self._do = Operations(self.url, tokens, retries or Retries(), clock)
        self._http = httpx.Client(transport=transport, **_httpx.options(self.url))
        self._renewing = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def submit(self, submission: rest.Submission, *, idempotency_key: str | None = None) -> rest.MissionView:
        """Ask for a mission. The same key (by the same client) gives the same mission; without one it is new."""
        return self._run(self._do.submit(submission, idempotency_key))

    def submit_many(self, submissions: Iterable[rest.Submission]) -> list[rest.BatchItem]:
        """Ask for many, 1,000 in a request; each has an answer of its own, a mission or a problem, in order."""
        return self._run(self._do.submit_many(submissions))

    def get(self, mission_id: str, *, wait_seconds: float | None = None) -> rest.MissionView:
        """Read a mission; with `wait_seconds` (at most 60), as soon as it is final or the time is over."""
        return self._run(self._do.get(mission_id, wait_seconds))

    def wait(self, mission_id: str, *, timeout_seconds: float) -> rest.MissionView:
        """Wait until a mission is final; NotFinishedError when the time is over."""
        return self._run(self._do.wait(mission_id, timeout_seconds))

    def wait_all(self, ids: Sequence[MissionId], *, timeout_seconds: float) -> list[rest.MissionView]:
        """Wait until all are final; NotFinishedError when the time is over."""
        return self._run(self._do.wait_all(ids, timeout_seconds))

    def lookup(self, ids: Iterable[MissionId]) -> list[rest.MissionView | None]:
        """Read many missions, in order; None for what is not known."""
        return self._run(self._do.lookup(ids))

    def page(
        self, chosen: Filter | None = None, *, limit: int | None = None, cursor: str | None = None
    ) -> rest.MissionPage:
        """Read one page of the list, newest first; its `cursor` asks for the next one."""
        return self._run(self._do.page(chosen or Filter(), limit, cursor))

    def missions(self, chosen: Filter | None = None) -> Generator[rest.MissionView, None, None]:
        """Go through the whole list, newest first."""
        return self._stream(self._do.missions(chosen or Filter()))

    def cancel(self, mission_id: str, *, message: str = "") -> rest.MissionView:
        """Cancel a mission: at once while it waits, as soon as its handler stops while it runs."""
        return self._run(self._do.cancel(mission_id, message))

    def suspend(self, mission_id: str) -> rest.MissionView:
        """Keep a mission that has not started from starting."""
        return self._run(self._do.set_suspended(mission_id, suspended=True))

    def resume(self, mission_id: str) -> rest.MissionView:
        """Let a suspended mission go on."""
        return self._run(self._do.set_suspended(mission_id, suspended=False))

    def events(
        self, *, namespace: str | None = None, door: Door | None = None, after: str = ""
    ) -> Generator[Event, None, None]:
        """Hear every change, from now on or after an event's id; `Reset` where some were missed. It does not end."""
        return self._stream(self._do.events(namespace, door, after))

    def watch(self, chosen: Filter | None = None) -> Generator[rest.MissionView, None, None]:
        """See all missions as they are, then as they change: never backwards, nothing missed. It does not end."""
        return self._stream(self._do.watch(chosen or Filter()))

    def pools(self) -> tuple[rest.PoolView, ...]:
        """Read all pools and their soldiers."""
        return self._run(self._do.pools())

    def declare_pool(self, namespace: str, name: str, declaration: rest.PoolDeclaration | None = None) -> rest.PoolView:
        """Make a pool and its queues exist (operator)."""
        return self._run(self._do.declare_pool(namespace, name, declaration or rest.PoolDeclaration()))

    def delete_pool(self, namespace: str, name: str) -> None:
        """Forget a pool (operator)."""
        self._run(self._do.delete_pool(namespace, name))

    def rejected(self, *, limit: int | None = None) -> rest.RejectedPage:
        """Read the newest messages that nobody could use; they stay where they are (admin)."""
        return self._run(self._do.rejected(limit))

    def health(self) -> rest.Health:
        """Ask once how the Commander and its parts are; also "down" is an answer, nobody there is UnreachableError."""
        return self._run(self._do.health())

    def log_in(self, username: str, password: str) -> rest.TokenAnswer:
        """Get a user's first pair of tokens; this client's own credentials stay as they are."""
        return self._run(self._do.log_in(username, password))

    def log_out(self, refresh_token: str) -> None:
        """End the login that a refresh token belongs to, everywhere."""
        self._run(self._do.log_out(refresh_token))

    def token(self) -> str:
        """The access token in use, renewed if it is about to expire."""
        return self._run(self._do.token())

    def _run(self, talk: Talk[T]) -> T:
        reply: Any = None
        while True:
            try:
                step = talk.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result
            reply = self._take(step)

    def _stream(self, stream: Stream[T]) -> Generator[T, None, None]:
        reply: Any = None
        with _Ear(self._http) as ear:
            while True:
                try:
                    step = stream.send(reply)
                except StopIteration:
                    return
                match step:
                    case Emit(value):
                        yield value
                        reply = None
                    case Listen(request):
                        reply = ear.listen(_httpx.built(self._http, request))
                    case Hear():
                        reply = ear.hear()
                    case _:
                        reply = self._take(step)

    def _take(self, step: Step) -> Any:
        match step:
            case Send(request):
                return self._send(_httpx.built(self._http, request))
            case Pause(seconds):
                time.sleep(seconds)
            case Renew(stale):
                with self._renewing:
                    self._run(self._do.renewal(stale))
        return None

    def _send(self, request: httpx.Request) -> Outcome:
        try:
            response = self._http.send(request)
        except httpx.TransportError as error:
            return _httpx.lost(error)
        return _httpx.answer(response, response.content)


class _Ear:
    """At most one open event stream; listening to another closes it."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._response: httpx.Response | None = None
        self._pieces: Iterator[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def listen(self, request: httpx.Request) -> Outcome:
        self._close()
        try:
            response = self._http.send(request, stream=True)
            self._response = response
            if response.is_success:
                self._pieces = response.iter_bytes()
                return _httpx.answer(response, b"")
            return _httpx.answer(response, response.read())
        except httpx.TransportError as error:
            return _httpx.lost(error)

    def hear(self) -> bytes | None:
        try:
            return next(self._pieces, None) if self._pieces else None
        except httpx.TransportError:
            return None

    def _close(self) -> None:
        response, self._response, self._pieces = self._response, None, None
        if response is not None:
            response.close()
