"""Missions at the API server, raw JSON over kept connections, so that the load costs little beside what it loads."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import msgspec
from tools.stack import ApiServer

from benchmarks.measures import BenchError
from mission_contracts.resources import API_VERSION, MISSION

CONNECTIONS: Final = 64
LONGEST_LINE: Final = 2**24


class ApiError(BenchError):
    """The API server refused."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Status(msgspec.Struct, frozen=True):
    """What is looked at of a status."""

    state: str = ""
    attempt: int = 0
    epoch: int = 0
    sequence: int = 0
    reason: str = ""


class Metadata(msgspec.Struct, frozen=True):
    """What is looked at of metadata."""

    name: str = ""
    uid: str = ""
    version: str = msgspec.field(name="resourceVersion", default="")


class Object(msgspec.Struct, frozen=True):
    """A Mission, down to what is looked at."""

    metadata: Metadata = Metadata()
    status: Status | str = Status()
    """An error's status is a word."""

    @property
    def state(self) -> str:
        return self.status.state if isinstance(self.status, Status) else ""

    @property
    def attempt(self) -> int:
        return self.status.attempt if isinstance(self.status, Status) else 0


class _List(msgspec.Struct, frozen=True):
    metadata: Mapping[str, Any]
    items: tuple[Object, ...]


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: Object


_events: Final = msgspec.json.Decoder(_Event)
_objects: Final = msgspec.json.Decoder(Object)
_lists: Final = msgspec.json.Decoder(_List)


def mission(name: str, *, ttl_seconds: int | None = None) -> bytes:
    """The smallest Mission there is; one that is deleted so many seconds after its end, where they are named."""
    spec: dict[str, object] = {"type": "noop", "payload": {}}
    if ttl_seconds is not None:
        spec["ttlSecondsAfterFinished"] = ttl_seconds
    body = {"apiVersion": API_VERSION, "kind": MISSION.kind, "metadata": {"name": name}, "spec": spec}
    return msgspec.json.encode(body)


class KubeClient:
    """The requests that a benchmark makes."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def create(self, namespace: str, body: bytes) -> None:
        await self._send("POST", _path(namespace), body, "application/json")

    async def made(self, namespace: str, body: bytes) -> Object:
        """Create, and give the object as it was made."""
        return _objects.decode(await self._send("POST", _path(namespace), body, "application/json"))

    async def get(self, namespace: str, name: str) -> Object:
        return _objects.decode(await self._send("GET", f"{_path(namespace)}/{name}"))

    async def patch_status(self, namespace: str, name: str, body: bytes) -> None:
        await self._send("PATCH", f"{_path(namespace)}/{name}/status", body, "application/merge-patch+json")

    async def missions(self, namespace: str) -> tuple[str, tuple[Object, ...]]:
        """The resource version of now, and all Missions."""
        listed = _lists.decode(await self._send("GET", _path(namespace)))
        return str(listed.metadata["resourceVersion"]), listed.items

    async def changes(self, namespace: str, since: str) -> AsyncIterator[Object]:
        """Every change of a Mission since a resource version, until the API server ends the watch."""
        query = {"watch": "1", "resourceVersion": since}
        async with self._session.get(_path(namespace), params=query) as response:
            async for line in response.content:
                event = _events.decode(line)
                if event.type == "ERROR":
                    return  # too old: who listens has to list anew
                yield event.object

    async def _send(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> bytes:
        headers = {"Content-Type": content_type} if content_type else {}
        async with self._session.request(method, path, data=body, headers=headers) as response:
            answer = await response.read()
        if response.status >= 300:
            sentence = f"the API server answered {method} {path} with {response.status}: {answer[:300]!r}"
            raise ApiError(response.status, sentence)
        return answer


@asynccontextmanager
async def connect(server: ApiServer) -> AsyncIterator[KubeClient]:
    """As the administrator."""
    context = ssl.create_default_context(cafile=str(server.certificate))
    connector = aiohttp.TCPConnector(ssl=context, limit=CONNECTIONS)
    headers = {"Authorization": f"Bearer {server.token}"}
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
    async with aiohttp.ClientSession(
        server.url, connector=connector, headers=headers, timeout=timeout, read_bufsize=LONGEST_LINE
    ) as session:
        yield KubeClient(session)


def _path(namespace: str) -> str:
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{MISSION.plural}"
