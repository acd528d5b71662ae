"""RabbitMQ's users by its management API: the only use that is made of it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, unquote, urlsplit

import httpx
import msgspec

from mission_broker.trust import tls_context
from mission_commander.services.broker_users import UsersAwayError
from mission_contracts.broker_rights import Rights, UserLimits
from mission_contracts.topology import QueueBound

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 5.0


class _Permission(msgspec.Struct, frozen=True):
    user: str
    configure: str
    write: str
    read: str


class _UserLimits(msgspec.Struct, frozen=True):
    user: str
    value: dict[str, int]


class _Policy(msgspec.Struct, frozen=True):
    name: str
    pattern: str
    definition: dict[str, Any]
    priority: int


_permissions: Final = msgspec.json.Decoder(tuple[_Permission, ...])
_user_limits: Final = msgspec.json.Decoder(tuple[_UserLimits, ...])
_policies: Final = msgspec.json.Decoder(tuple[_Policy, ...])

_CONNECTIONS: Final = "max-connections"
_CHANNELS: Final = "max-channels"
_PRIORITY: Final = 10
"""Above an administrator's policy for all queues, of which RabbitMQ would apply one only."""


class ManagementApi:
    """Makes users with rights in one virtual host; made by `connect`."""

    def __init__(self, http: httpx.AsyncClient, vhost: str) -> None:
        self._http = http
        self._vhost = quote(vhost, safe="")

    async def rights(self) -> Mapping[str, Rights]:
        answer = await self._ask("GET", f"/api/vhosts/{self._vhost}/permissions")
        found = _read(_permissions, answer, "permissions")
        return {one.user: Rights(configure=one.configure, write=one.write, read=one.read) for one in found}

    async def limits(self) -> Mapping[str, UserLimits]:
        found = _read(_user_limits, await self._ask("GET", "/api/user-limits"), "user limits")
        return {
            one.user: UserLimits(connections=one.value.get(_CONNECTIONS, 0), channels=one.value.get(_CHANNELS, 0))
            for one in found
        }

    async def bound(self, queues: Sequence[QueueBound]) -> None:
        path = f"/api/policies/{self._vhost}"
        found = {one.name: one for one in _read(_policies, await self._ask("GET", path), "policies")}
        for queue in queues:
            wanted = _Policy(name=queue.name, pattern=queue.pattern, definition=queue.definition(), priority=_PRIORITY)
            if found.get(queue.name) != wanted:
                body = {"apply-to": "queues"} | {
                    key: value for key, value in msgspec.structs.asdict(wanted).items() if key != "name"
                }
                await self._ask("PUT", f"{path}/{quote(queue.name, safe='')}", body)

    async def put(self, name: str, password: str, rights: Rights, limits: UserLimits) -> None:
        user = quote(name, safe="")
        await self._ask("PUT", f"/api/users/{user}", {"password": password, "tags": ""})
        for limit, value in ((_CONNECTIONS, limits.connections), (_CHANNELS, limits.channels)):
            await self._ask("PUT", f"/api/user-limits/{user}/{limit}", {"value": value})
        await self._ask("PUT", f"/api/permissions/{self._vhost}/{user}", msgspec.structs.asdict(rights))

    async def remove(self, name: str) -> None:
        await self._ask("DELETE", f"/api/users/{quote(name, safe='')}")

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        try:
            answer = await self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise UsersAwayError(f"RabbitMQ's management API did not answer: {error!r}") from error
        is_gone = method == "DELETE" and answer.status_code == httpx.codes.NOT_FOUND
        if not answer.is_success and not is_gone:
            raise UsersAwayError(
                f"RabbitMQ's management API answered {method} {path.partition('?')[0]} with {answer.status_code}: "
                "the user of its address needs the tag administrator"
            )
        return answer


def _read(decoder: "msgspec.json.Decoder[T]", answer: httpx.Response, what: str) -> T:
    try:
        return decoder.decode(answer.content)
    except msgspec.MsgspecError as error:
        raise UsersAwayError(f"the list of {what} cannot be read: {error}") from error


@asynccontextmanager
async def connect(url: str, broker_url: str, authority_file: Path | None = None) -> AsyncIterator[ManagementApi]:
    """Speak to the API at `url`, which holds user and password, about the virtual host of the broker's address."""
    parts = urlsplit(url)
    own = (unquote(parts.username or ""), unquote(parts.password or ""))
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    tls = tls_context(authority_file) if parts.scheme == "https" else False
    async with httpx.AsyncClient(
        base_url=place, auth=own, timeout=TIMEOUT_SECONDS, verify=tls, trust_env=False
    ) as http:
        yield ManagementApi(http, _vhost_of(broker_url))


def _vhost_of(broker_url: str) -> str:
    """`amqp://host` and `amqp://host/` both mean the virtual host `/`, as they do for the connection."""
    return unquote(urlsplit(broker_url).path.removeprefix("/")) or "/"
