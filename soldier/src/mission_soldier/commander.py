"""The Commander as a soldier needs it: three calls, over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, Protocol, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import structlog

from mission_broker.trust import tls_context
from mission_contracts import bounds
from mission_contracts.errors import Problem
from mission_contracts.mission import Instance
from mission_contracts.patience import Patience
from mission_contracts.rest import TokenAnswer
from mission_contracts.soldiering import (
    Claim,
    ClaimAnswer,
    ClaimAnswers,
    ClaimRequest,
    Heartbeat,
    HeartbeatAnswer,
    Registered,
    Registration,
    Verdict,
)
from mission_soldier.tokens import Credential, Tokens

CALL_TIMEOUT_SECONDS: Final = 1.5
MOST_CALL_TIMEOUT_SECONDS: Final = 6.0
"""What a call may take at first, and once it took too long: a frozen Commander is given up soon, a slow one is not."""
BEAT_TIMEOUT_SECONDS: Final = 1.0
"""A beat that takes longer is worth less than the next one."""
TOKEN_TIMEOUT_SECONDS: Final = 2.0
UNKNOWN_SOLDIER: Final = "UnknownSoldier"
MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
"""Twice what 10,000 claims of each list in a heartbeat's answer take."""
UNREADABLE_WAIT_MS: Final = 1_000
"""How long an order waits before it is claimed again, when the answer on it cannot be read."""

log = structlog.get_logger(__name__)


class CommanderAwayError(Exception):
    """The Commander did not answer, or not in a way that helps; ask again."""


class UnknownSoldierError(Exception):
    """The Commander does not know this instance; register, then ask again."""


class Commander(Protocol):
    """Every call raises CommanderAwayError; all but `register` also UnknownSoldierError."""

    async def register(self, registration: Registration) -> Registered: ...

    async def claim(self, instance: Instance, claims: Sequence[Claim]) -> Sequence[ClaimAnswer]:
        """One answer per claim, in order."""
        ...

    def beat(self, instance: Instance, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """Called in the heartbeat's own thread, so that a blocked event loop does not silence it."""
        ...


_T = TypeVar("_T")


class _AnswersApart(msgspec.Struct, frozen=True):
    """ClaimAnswers that are not read yet."""

    answers: tuple[msgspec.Raw, ...]


_encoder: Final = msgspec.json.Encoder()
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_registered: Final = msgspec.json.Decoder(Registered)
_claim_answers: Final = msgspec.json.Decoder(ClaimAnswers)
_claim_answer: Final = msgspec.json.Decoder(ClaimAnswer)
_answers_apart: Final = msgspec.json.Decoder(_AnswersApart)
_heartbeat_answer: Final = msgspec.json.Decoder(HeartbeatAnswer)
_token_answer: Final = msgspec.json.Decoder(TokenAnswer)
_problem: Final = msgspec.json.Decoder(Problem)
_JSON: Final = {"Content-Type": "application/json", "Accept-Encoding": "identity"}


class _Line(Protocol):
    """A way to post a body and get status and body back: over the network, or inside this process."""

    async def post(self, path: str, body: bytes, token: str | None, timeout_seconds: float) -> tuple[int, bytes]: ...
    def post_in_thread(
        self, path: str, body: bytes, token: str | None, timeout_seconds: float
    ) -> tuple[int, bytes]: ...


class RegistrationTooLargeError(Exception):
    """The Commander takes no registration of this size; one without schemas may do."""


class HttpCommander:
    """Speaks to a Commander's address. Open it with `connect` or `connect_in_process`."""

    def __init__(self, line: _Line, secret: Credential | None) -> None:
        self._line = line
        self._tokens = Tokens(self._fetch_token, secret) if secret is not None else None
        self._patience = Patience(first_seconds=CALL_TIMEOUT_SECONDS, most_seconds=MOST_CALL_TIMEOUT_SECONDS)

    async def register(self, registration: Registration) -> Registered:
        return _read(await self._call("/soldiers", registration), _registered)

    async def claim(self, instance: Instance, claims: Sequence[Claim]) -> Sequence[ClaimAnswer]:
        request = ClaimRequest(claims=tuple(claims))
        body = await self._call(f"/soldiers/{quote(instance, safe='')}/claims", request)
        answers = _answers(body)
        if len(answers) != len(claims):
            raise CommanderAwayError(
                f"{len(claims)} claims got {len(answers)} answers: the Commander's answer is wrong"
            )
        return answers

    def beat(self, instance: Instance, heartbeat: Heartbeat) -> HeartbeatAnswer:
        path = f"/soldiers/{quote(instance, safe='')}/heartbeat"
        with _unforeseen():
            token = self._tokens.renewed() if self._tokens else None
            status, answer = self._line.post_in_thread(path, _encoder.encode(heartbeat), token, BEAT_TIMEOUT_SECONDS)
            self._note_refusal(status, token)
            return _read(_accepted(status, answer), _heartbeat_answer)

    async def _call(self, path: str, message: msgspec.Struct) -> bytes:
        with _unforeseen():
            token = await self._token()
            status, answer = await self._post(path, _encoder.encode(message), token)
            self._note_refusal(status, token)
            return _accepted(status, answer)

    async def _post(self, path: str, body: bytes, token: str | None) -> tuple[int, bytes]:
        seconds = self._patience.seconds
        try:
            answer = await self._line.post(path, body, token, seconds)
        except CommanderAwayError as error:
            if isinstance(error.__cause__, httpx.TimeoutException):
                self._patience.ran_out(seconds)
            raise
        self._patience.answered()
        return answer

    async def _token(self) -> str | None:
        if self._tokens is None:
            return None
        return self._tokens.valid() or await asyncio.to_thread(self._tokens.renewed)

    def _note_refusal(self, status: int, token: str | None) -> None:
        # 403 too: a token from a Commander of an older version does not say whose it is.
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN) and self._tokens and token:
            self._tokens.refused(token)

    def _fetch_token(self, secret: Credential) -> TokenAnswer:
        try:
            body = _encoder.encode(secret.request())
        except OSError as error:
            raise CommanderAwayError(f"this soldier cannot say who it is: {error}") from error
        return _read(_accepted(*self._line.post_in_thread("/token", body, None, TOKEN_TIMEOUT_SECONDS)), _token_answer)


@asynccontextmanager
async def connect(
    url: str, secret: Credential | None = None, authority_file: Path | None = None
) -> AsyncIterator[HttpCommander]:
    """Give a Commander at an address; nothing is sent yet."""
    tls = tls_context(authority_file) if url.startswith("https://") else False
    async with AsyncExitStack() as stack:
        # The heartbeat has connections of its own: a queue of claims must not delay it.
        shared = await stack.enter_async_context(httpx.AsyncClient(base_url=url, verify=tls))
        own = stack.enter_context(httpx.Client(base_url=url, verify=tls, timeout=BEAT_TIMEOUT_SECONDS))
        yield HttpCommander(_NetworkLine(shared, own), secret)


@asynccontextmanager
async def connect_in_process(
    transport: httpx.AsyncBaseTransport, secret: Credential | None = None
) -> AsyncIterator[HttpCommander]:
    """Give a Commander that runs in this event loop, through httpx.ASGITransport, as `missionctl dev` has it."""
    async with httpx.AsyncClient(base_url="http://commander", transport=transport) as client:
        yield HttpCommander(_InProcessLine(client, asyncio.get_running_loop()), secret)


class _NetworkLine:
    def __init__(self, shared: httpx.AsyncClient, own: httpx.Client) -> None:
        self._shared = shared
        self._own = own

    async def post(self, path: str, body: bytes, token: str | None, timeout_seconds: float) -> tuple[int, bytes]:
        return await _post(self._shared, path, body, token, timeout_seconds)

    def post_in_thread(self, path: str, body: bytes, token: str | None, timeout_seconds: float) -> tuple[int, bytes]:
        try:
            with self._own.stream(
                "POST", path, content=body, headers=_headers(token), timeout=timeout_seconds
            ) as response:
                answer = bytearray()
                for chunk in response.iter_bytes():
                    _append(answer, chunk)
        except httpx.HTTPError as error:
            raise _away(error) from error
        return response.status_code, bytes(answer)


class _InProcessLine:
    """There is no second way into the same event loop: the thread's calls wait for the loop's turn."""

    def __init__(self, client: httpx.AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    async def post(self, path: str, body: bytes, token: str | None, timeout_seconds: float) -> tuple[int, bytes]:
        return await _post(self._client, path, body, token, timeout_seconds)

    def post_in_thread(self, path: str, body: bytes, token: str | None, timeout_seconds: float) -> tuple[int, bytes]:
        call = self.post(path, body, token, timeout_seconds)
        try:
            answer = asyncio.run_coroutine_threadsafe(call, self._loop)
        except RuntimeError as error:
            call.close()
            raise CommanderAwayError("the event loop that the Commander ran in is closed") from error
        try:
            return answer.result(timeout_seconds)
        except TimeoutError as error:
            answer.cancel()
            raise CommanderAwayError(f"no answer within {timeout_seconds:g} s") from error


async def _post(
    client: httpx.AsyncClient, path: str, body: bytes, token: str | None, timeout_seconds: float
) -> tuple[int, bytes]:
    try:
        async with client.stream(
            "POST", path, content=body, headers=_headers(token), timeout=timeout_seconds
        ) as response:
            answer = bytearray()
            async for chunk in response.aiter_bytes():
                _append(answer, chunk)
    except httpx.HTTPError as error:
        raise _away(error) from error
    return response.status_code, bytes(answer)


def _append(answer: bytearray, chunk: bytes) -> None:
    answer += chunk
    if len(answer) > MAX_ANSWER_BYTES:
        raise CommanderAwayError(f"the answer has more than {MAX_ANSWER_BYTES:,} bytes: nothing that long is expected")


def _headers(token: str | None) -> dict[str, str]:
    return _JSON if token is None else {**_JSON, "Authorization": f"Bearer {token}"}


def _away(error: httpx.HTTPError) -> CommanderAwayError:
    return CommanderAwayError(f"no answer: {type(error).__name__}: {error}")


def _accepted(status: int, body: bytes) -> bytes:
    """Return the body of an answer, or raise the error that says what to do."""
    if not 200 <= status < 300:
        raise _refusal(status, body)
    return body


def _read(body: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    try:
        return decoder.decode(body)
    except _UNREADABLE as error:
        raise CommanderAwayError(f"the answer cannot be read: {error}") from error


def _answers(body: bytes) -> Sequence[ClaimAnswer]:
    """Read the verdicts one by one where they cannot be read together: one that is odd costs its neighbours nothing."""
    try:
        return _claim_answers.decode(body).answers
    except _UNREADABLE:
        return [_answer(raw) for raw in _read(body, _answers_apart).answers]


def _answer(raw: msgspec.Raw) -> ClaimAnswer:
    try:
        return _claim_answer.decode(raw)
    except _UNREADABLE as error:
        log.warning("cannot read the answer to a claim; asking again", error=str(error))
        return ClaimAnswer(verdict=Verdict.WAIT, wait_ms=UNREADABLE_WAIT_MS)


@contextmanager
def _unforeseen() -> Iterator[None]:
    """Whatever goes wrong in a call, the caller asks again: no answer ends a soldier."""
    try:
        yield
    except (CommanderAwayError, UnknownSoldierError):
        raise
    except Exception as error:
        raise CommanderAwayError(f"the call failed: {type(error).__name__}: {error}") from error


def _refusal(status: int, body: bytes) -> Exception:
    try:
        problem = _problem.decode(body)
    except _UNREADABLE:
        return CommanderAwayError(f"refused with HTTP status {status} and no problem+json")
    if status == httpx.codes.NOT_FOUND and problem.code == UNKNOWN_SOLDIER:
        return UnknownSoldierError(problem.detail)
    if problem.code == bounds.REGISTRATION_TOO_LARGE:
        return RegistrationTooLargeError(problem.detail)
    return CommanderAwayError(f"refused with HTTP status {status}, {problem.code}: {problem.detail}")
