"""The clients: they ask until they are answered, always with the same key, and write down what they were promised."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import aiohttp
import msgspec
from benchmarks.kube import ApiError, KubeClient, Object

from chaos.errors import ChaosError
from chaos.history import Accepted, Answered, Asked, Kind, Request, Status
from mission_contracts.mission import MissionState
from mission_contracts.resources import API_VERSION, MISSION
from mission_contracts.rest import IDEMPOTENCY_KEY_HEADER, MAX_BATCH, BatchAnswer, BatchItem, LookupAnswer, MissionView

RETRY_SECONDS: Final = 0.1
ANSWER_SECONDS: Final = 6.0
SUBMISSIONS: Final = frozenset({"/missions", "/missions/batch"})
AGAIN: Final = frozenset({401, 429, 499, 500, 502, 503, 504})
"""Answers that promise nothing: the client asks again. 500 is one too many, and is counted."""
RETRY: Final = {"initial_delay_seconds": 0.1, "max_delay_seconds": 0.5}

_view: Final = msgspec.json.Decoder(MissionView)
_batch: Final = msgspec.json.Decoder(BatchAnswer)
_lookup: Final = msgspec.json.Decoder(LookupAnswer)


class Answer(msgspec.Struct, frozen=True):
    """What a Commander said."""

    status: int
    body: bytes
    says_when: bool = False


class RestDoor:
    """REST clients of one identity."""

    def __init__(self, session: aiohttp.ClientSession, client_id: str, secret: str) -> None:
        self._session = session
        self._credentials = {"client_id": client_id, "client_secret": secret}
        self._token = ""
        self.surprises: list[str] = []
        """Answers 500: each is a defect."""
        self._answers: list[Answered] = []

    def take_answers(self) -> list[Answered]:
        """What was answered since this was asked last."""
        taken, self._answers = self._answers, []
        return taken

    async def submit(self, asked: Asked) -> Accepted:
        """Ask for one mission until it is accepted."""
        body = msgspec.json.encode(_submission(asked))
        answer = await self.persist("POST", "/missions", body, {IDEMPOTENCY_KEY_HEADER: asked.key})
        if answer.status != 202:
            raise ChaosError(f"a good mission was refused with {answer.status}: {answer.body[:300]!r}")
        return Accepted(key=asked.key, mission_id=_view.decode(answer.body).mission_id, at=time.time())

    async def submit_batch(self, asked: Sequence[Asked]) -> list[Accepted]:
        """Ask for many in one request, until each is accepted."""
        items = [_submission(one) | {"idempotency_key": one.key} for one in asked]
        body = msgspec.json.encode({"missions": items})
        while True:
            answer = await self.persist("POST", "/missions/batch", body)
            if answer.status != 200:
                raise ChaosError(f"a good batch was refused with {answer.status}: {answer.body[:300]!r}")
            results = _batch.decode(answer.body).results
            refused = [one for one in results if one.mission is None]
            self._note_parts(refused)
            if not refused:
                now = time.time()
                return [
                    Accepted(key=one.key, mission_id=result.mission.mission_id, at=now)
                    for one, result in zip(asked, results, strict=True)
                    if result.mission is not None
                ]
            if any(one.status not in AGAIN for one in refused):
                raise ChaosError(f"a good mission in a batch was refused: {refused[0]}")
            await asyncio.sleep(RETRY_SECONDS)

    async def offer(self, body: Mapping[str, Any]) -> int:
        """Send something until there is an answer that says something; give its status."""
        return (await self.persist("POST", "/missions", msgspec.json.encode(body))).status

    async def cancel(self, mission_id: str) -> bool:
        """Cancel; tell whether the Commander knew it."""
        return (await self.persist("POST", f"/missions/{mission_id}/cancel")).status == 200

    async def knows(self, mission_id: str) -> bool | None:
        """Ask once; None when nobody can tell now."""
        answer = await self._ask("GET", f"/missions/{mission_id}")
        if answer is None or answer.status in AGAIN:
            return None
        return answer.status != 404

    async def look_up(self, ids: Sequence[str]) -> dict[str, Status]:
        """How these missions are told; those that nobody knows are left out."""
        found: dict[str, Status] = {}
        for start in range(0, len(ids), MAX_BATCH):
            body = msgspec.json.encode({"ids": ids[start : start + MAX_BATCH]})
            answer = await self.persist("POST", "/missions/lookup", body)
            found |= {one.mission_id: _status(one) for one in _lookup.decode(answer.body).missions if one is not None}
        return found

    async def persist(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send the same again until there is an answer that says something. Whoever calls bounds the time."""
        while True:
            answer = await self._ask(method, path, body, headers)
            if answer is not None and answer.status not in AGAIN:
                return answer
            await asyncio.sleep(RETRY_SECONDS)

    async def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer | None:
        asked_at = time.time()
        try:
            if not self._token:
                self._token = await self._log_in()
            sent = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json", **(headers or {})}
            async with self._session.request(method, path, data=body, headers=sent) as response:
                answer = Answer(response.status, await response.read(), "Retry-After" in response.headers)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
        self._note(method, path, answer, asked_at)
        if answer.status == 401:
            self._token = ""
        if answer.status == 500:
            self.surprises.append(f"{method} {path}: {answer.body[:300]!r}")
        return answer

    def _note(self, method: str, path: str, answer: Answer, asked_at: float) -> None:
        request = _request(method, path)
        if request is None or answer.status == 401:
            return
        mission_id = path.rpartition("/")[2] if request is Request.READ else ""
        self._answers.append(
            Answered(
                request=request,
                status=answer.status,
                asked_at=asked_at,
                says_when=answer.says_when,
                mission_id=mission_id,
            )
        )

    def _note_parts(self, refused: Sequence[BatchItem]) -> None:
        """Of a batch, each mission has its own answer."""
        for one in refused[:1]:
            says_when = one.problem is not None and one.problem.retry_after_seconds is not None
            self._answers.append(
                Answered(request=Request.SUBMIT, status=one.status, asked_at=time.time(), says_when=says_when)
            )

    async def _log_in(self) -> str:
        async with self._session.post("/token", json=self._credentials) as response:
            if response.status != 200:
                return ""
            return str((await response.json())["access_token"])


def _request(method: str, path: str) -> Request | None:
    if method == "GET" and path.startswith("/missions/"):
        return Request.READ
    return Request.SUBMIT if method == "POST" and path in SUBMISSIONS else None


def session(url: str) -> aiohttp.ClientSession:
    """Connections to the Commanders' Service."""
    return aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS))


class ObjectDoor:
    """Clients that create Mission objects, and look at them."""

    def __init__(self, kube: KubeClient, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace

    async def submit(self, asked: Asked) -> Accepted:
        """Create one until it is there: an answer may get lost, and then it is there already."""
        body = msgspec.json.encode(_object(asked))
        while True:
            try:
                return _created(asked, await self._kube.made(self._namespace, body))
            except ApiError as error:
                if error.status == 409:
                    return await self._found(asked)
                if error.status not in AGAIN:
                    raise ChaosError(f"a good object was refused: {error}") from error
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(RETRY_SECONDS)

    async def _found(self, asked: Asked) -> Accepted:
        while True:
            try:
                return _created(asked, await self._kube.get(self._namespace, asked.key))
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError):
                await asyncio.sleep(RETRY_SECONDS)

    async def look_up(self, ids: Iterable[str]) -> dict[str, Status]:
        """How these objects tell their missions, by uid."""
        wanted = set(ids)
        while wanted:
            try:
                _, listed = await self._kube.missions(self._namespace)
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError):
                await asyncio.sleep(RETRY_SECONDS)
            else:
                told = {one.metadata.uid: shown(one) for one in listed if one.metadata.uid in wanted}
                return {uid: status or Status(state=MissionState.QUEUED, sequence=0) for uid, status in told.items()}
        return {}


def shown(one: Object) -> Status | None:
    """Read an object's status; None before it has any."""
    status = one.status
    if isinstance(status, str) or not status.state:
        return None
    return Status(
        state=MissionState.from_camel(status.state),
        sequence=status.sequence,
        epoch=status.epoch,
        attempt=status.attempt,
        reason=status.reason,
    )


def _created(asked: Asked, made: Object) -> Accepted:
    return Accepted(key=asked.key, mission_id=made.metadata.uid, at=time.time())


def _submission(asked: Asked) -> dict[str, Any]:
    return {"type": asked.kind.value, "payload": {"seconds": asked.seconds}, "retry": RETRY}


def _object(asked: Asked) -> dict[str, Any]:
    retry = {"initialDelaySeconds": RETRY["initial_delay_seconds"], "maxDelaySeconds": RETRY["max_delay_seconds"]}
    spec = {"type": asked.kind.value, "payload": {"seconds": asked.seconds}, "retry": retry}
    return {"apiVersion": API_VERSION, "kind": MISSION.kind, "metadata": {"name": asked.key}, "spec": spec}


def _status(view: MissionView) -> Status:
    return Status(
        state=view.state,
        sequence=view.sequence,
        epoch=view.epoch,
        attempt=view.attempt,
        reason=view.reason,
        message=view.message,
    )


BAD_INPUT: Final[Sequence[Mapping[str, Any]]] = (
    {"type": "", "payload": {}},
    {"type": "work"},
    {"type": "work", "payload": {}, "pool": "No Pool"},
    {"type": "work", "payload": [1]},
    {"type": "work", "payload": {}, "nonsense": True},
    {"type": Kind.WORK.value, "payload": {}, "retry": {"max_attempts": 0}},
)
"""Each can never run, and is to be refused."""
