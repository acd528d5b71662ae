"""Our own requests to the Kubernetes API: raw JSON over kept connections, because statuses are written by the hundred.

The generated client builds and checks a model per request and prints the whole object back; here bodies are encoded
once, and answers are asked for in their short form (metadata only) wherever nothing else is read.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import aiohttp
import msgspec
from kubernetes.aio.client import Configuration

from mission_contracts.patience import Patience
from mission_operator import login, screening

GROUP_PATH: Final = "/apis/missioncontrol.dev/v1alpha1"
FIELD_MANAGER: Final = "mission-operator"
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
_METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
_FIRST_SECONDS: Final = 4.0
"""An API server that died without a word leaves connections on which no answer comes; a new one may reach another."""
_MOST_SECONDS: Final = 15.0
_LIST_TIMEOUT_SECONDS: Final = 60.0
"""An API server below 1.34 reads all there is from its store to select a few."""
_CONNECT_SECONDS: Final = 3.0
_PAGE: Final = 500
_WATCH_SECONDS: Final = 240
_WATCH_SILENCE_SECONDS: Final = 90.0
"""The API server sends a bookmark each minute."""
_BAD_REQUEST: Final = 400
_GONE: Final = 410

_T = TypeVar("_T")


class KubeAwayError(Exception):
    """The API server did not answer; it is worth trying again."""


class WatchExpiredError(Exception):
    """A watch cannot go on from where it was: what it is about has to be listed again."""


class _Details(msgspec.Struct, frozen=True):
    name: str = ""


class _Problem(msgspec.Struct, frozen=True):
    details: _Details = _Details()


class Answer(msgspec.Struct, frozen=True):
    """What the API server said, in full: a refusal is an answer too."""

    status: int
    body: bytes
    retry_after_seconds: float | None = None

    @property
    def is_ok(self) -> bool:
        return self.status < 300

    @property
    def names_no_object(self) -> bool:
        """Tell whether the API server looked for one object and found none.

        A 404 without a name says something else: it does not serve this kind at the moment.
        """
        if self.status != 404:
            return False
        try:
            return bool(self.read(_Problem).details.name)
        except msgspec.MsgspecError:
            return False

    def json(self) -> Any:
        return msgspec.json.decode(screening.shallow(self.body))

    def object(self) -> dict[str, Any] | None:
        """Return the object that was read, without its spec if that is unreadable; None if all of it is."""
        return screening.read_object(self.body)

    def read(self, model: type[_T]) -> _T:
        return msgspec.json.decode(screening.shallow(self.body), type=model)

    @property
    def message(self) -> str:
        """The API server's own sentence, for logs and errors."""
        try:
            return str(self.json().get("message", ""))[:1024]
        except (msgspec.DecodeError, AttributeError):
            return self.body[:256].decode(errors="replace")


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """The part of an object's metadata that is read here."""

    name: str = ""
    uid: str = ""
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Partial(msgspec.Struct, frozen=True):
    """Any object, down to its metadata."""

    metadata: Metadata


class Listing(msgspec.Struct, frozen=True):
    """What existed at one moment."""

    uids: frozenset[str]
    resource_version: int


class _PartialList(msgspec.Struct, frozen=True):
    metadata: Metadata
    items: tuple[Partial, ...] | None = None


class Kube:
    """The Kubernetes API, as far as this operator needs it."""

    def __init__(self, session: aiohttp.ClientSession, found: Configuration) -> None:
        self._session = session
        self._configuration = found
        self._server = found.host.rstrip("/")
        self._patience = Patience(first_seconds=_FIRST_SECONDS, most_seconds=_MOST_SECONDS)

    async def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        params: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Answer:
        """Send one request. Raises KubeAwayError when there is no answer; any answer is returned as it is."""
        seconds = timeout_seconds or self._patience.seconds
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, _CONNECT_SECONDS))
        headers = await self._headers(content_type, accept)
        try:
            async with self._session.request(
                method, self._server + path, data=body, headers=headers, params=params, timeout=timeout
            ) as response:
                after = _seconds(response.headers.get("Retry-After"))
                answer = Answer(response.status, await response.read(), after)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if timeout_seconds is None and isinstance(error, TimeoutError):
                self._patience.ran_out(seconds)
            raise KubeAwayError(f"the Kubernetes API did not answer {method} {path}: {error!r}") from error
        self._patience.answered()
        return answer

    async def _headers(self, content_type: str, accept: str) -> dict[str, str]:
        headers = {"Accept": accept, "Content-Type": content_type, "User-Agent": FIELD_MANAGER}
        token = await login.token_of(self._configuration)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    async def json_patch(self, path: str, body: bytes) -> Answer:
        """Apply a JSON Patch; the answer holds the object's metadata only."""
        return await self.request(
            "PATCH", path, body,
            content_type="application/json-patch+json", accept=_METADATA_ONLY, params={"fieldManager": FIELD_MANAGER},
        )  # fmt: skip

    async def merge_patch(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Change these fields, and leave the others; the answer holds the object's metadata only."""
        return await self.request(
            "PATCH", path, msgspec.json.encode(body),
            content_type="application/merge-patch+json", accept=_METADATA_ONLY, params={"fieldManager": FIELD_MANAGER},
        )  # fmt: skip

    async def apply(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Server-side apply: own these fields, and no others."""
        return await self.request(
            "PATCH", path, msgspec.json.encode(body),
            content_type="application/apply-patch+yaml",
            params={"fieldManager": FIELD_MANAGER, "force": "true"},
        )  # fmt: skip

    async def pages(self, path: str, selector: str = "") -> AsyncIterator[tuple[dict[str, Any], ...]]:
        """List whole objects, a page at a time."""
        following = ""
        while True:
            asked = _page(following, selector)
            answer = await self.request("GET", path, params=asked, timeout_seconds=_LIST_TIMEOUT_SECONDS)
            if not answer.is_ok:
                raise KubeAwayError(f"the Kubernetes API would not list {path}: {answer.message}")
            page = await asyncio.to_thread(screening.read_list, answer.body)
            yield tuple(page.get("items") or ())
            following = page["metadata"].get("continue", "")
            if not following:
                return

    async def version(self, path: str) -> str:
        """Return the version that a watch can begin with."""
        answer = await self._list_nothing(path)
        if not answer.is_ok:
            raise KubeAwayError(f"the Kubernetes API would not list {path}: {answer.message}")
        return answer.read(_PartialList).metadata.resource_version

    async def can_select(self, path: str, selector: str) -> bool:
        """Whether the API server knows the fields of a selector."""
        answer = await self._list_nothing(path, selector)
        if answer.status not in {200, _BAD_REQUEST}:
            raise KubeAwayError(f"the Kubernetes API would not list {path}: {answer.message}")
        return answer.is_ok

    async def _list_nothing(self, path: str, *selectors: str) -> Answer:
        # By one name, so that the API server reads no other object for it, however many there are.
        asked = {"fieldSelector": ",".join(("metadata.name=nothing", *selectors))}
        return await self.request("GET", path, params=asked, accept=_METADATA_LIST)

    async def events(self, path: str, selector: str, version: str) -> AsyncIterator[dict[str, Any]]:
        """Watch until the API server ends it; raises WatchExpiredError when that version is too old."""
        asked = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
        params = asked | {"fieldSelector": selector, "timeoutSeconds": str(_WATCH_SECONDS)}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_WATCH_SILENCE_SECONDS)
        headers = await self._headers("application/json", "application/json")
        try:
            async with self._session.get(
                self._configuration.host + path, params=params, headers=headers, timeout=timeout
            ) as response:
                if response.status == _GONE:
                    raise WatchExpiredError(f"{path} can no longer be watched from version {version}")
                if response.status >= 300:
                    raise KubeAwayError(f"the Kubernetes API answered {response.status} to a watch of {path}")
                async for line in _lines(response.content):
                    yield _event(line)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise KubeAwayError(f"a watch of {path} broke: {error!r}") from error

    async def listing(self, path: str, selector: str = "") -> Listing:
        """List what exists, without the bodies."""
        uids: set[str] = set()
        following = version = ""
        while True:
            answer = await self.request(
                "GET",
                path,
                accept=_METADATA_LIST,
                params=_page(following, selector),
                timeout_seconds=_LIST_TIMEOUT_SECONDS,
            )
            if not answer.is_ok:
                raise KubeAwayError(f"the Kubernetes API would not list {path}: {answer.message}")
            page = answer.read(_PartialList)
            uids.update(item.metadata.uid for item in page.items or ())
            version = version or page.metadata.resource_version
            following = page.metadata.continue_
            if not following:
                return Listing(frozenset(uids), int(version))

    async def wait_served(self, plurals: frozenset[str], poll_seconds: float = 0.5) -> None:
        """Wait until the custom resources are defined: a chart may start us before they are."""
        while not plurals <= await self._served():  # noqa: ASYNC110 - nobody tells us; the server has to be asked
            await asyncio.sleep(poll_seconds)

    async def _served(self) -> set[str]:
        try:
            answer = await self.request("GET", GROUP_PATH)
        except KubeAwayError:
            return set()
        return {item["name"] for item in answer.json()["resources"]} if answer.is_ok else set()


def missions_path(namespace: str, name: str = "") -> str:
    return _path(f"{GROUP_PATH}/namespaces/{namespace}/missions", name)


def pools_path(namespace: str, name: str = "") -> str:
    return _path(f"{GROUP_PATH}/namespaces/{namespace}/soldierpools", name)


def deployments_path(namespace: str, name: str = "") -> str:
    return _path(f"/apis/apps/v1/namespaces/{namespace}/deployments", name)


def pods_path(namespace: str, name: str = "") -> str:
    return _path(f"/api/v1/namespaces/{namespace}/pods", name)


def leases_path(namespace: str, name: str = "") -> str:
    return _path(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", name)


def _path(collection: str, name: str) -> str:
    return f"{collection}/{name}" if name else collection


def _page(following: str, selector: str = "") -> dict[str, str]:
    chosen = {"fieldSelector": selector} if selector else {}
    return {"limit": str(_PAGE)} | chosen | ({"continue": following} if following else {})


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if readable := screening.read_event(line):
                yield readable


def _event(line: bytes) -> dict[str, Any]:
    event: dict[str, Any] = msgspec.json.decode(line)
    if event["type"] == "ERROR":
        raise WatchExpiredError(f"the Kubernetes API ended a watch: {event['object'].get('message')}")
    return event


def _seconds(header: str | None) -> float | None:
    return float(header) if header and header.isdigit() else None


@asynccontextmanager
async def connect(found: Configuration, *, connections: int) -> AsyncIterator[Kube]:
    """Keep a pool of connections to the API server while the context is open."""
    tls = (await login.connection(found)).as_ssl_context()
    connector = aiohttp.TCPConnector(ssl=tls, limit=connections, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Kube(session, found)
