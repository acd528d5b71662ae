"""RabbitMQ's users by its management API: the only use that is made of it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import httpx
import msgspec

from mission_commander.services.broker_users import UsersAwayError
from mission_contracts.broker_rights import Rights

TIMEOUT_SECONDS: Final = 5.0


class _Permission(msgspec.Struct, frozen=True):
    user: str
    configure: str
    write: str
    read: str


_permissions: Final = msgspec.json.Decoder(tuple[_Permission, ...])


class ManagementApi:
    """Makes users with rights in one virtual host; made by `connect`."""

    def __init__(self, http: httpx.AsyncClient, vhost: str) -> None:
        self._http = http
        self._vhost = quote(vhost, safe="")

    async def rights(self) -> Mapping[str, Rights]:
        answer = await self._ask("GET", f"/api/vhosts/{self._vhost}/permissions")
        try:
            found = _permissions.decode(answer.content)
        except msgspec.MsgspecError as error:
            raise UsersAwayError(f"the list of permissions cannot be read: {error}") from error
        return {one.user: Rights(configure=one.configure, write=one.write, read=one.read) for one in found}

    async def put(self, name: str, password: str, rights: Rights) -> None:
        user = quote(name, safe="")
        await self._ask("PUT", f"/api/users/{user}", {"password": password, "tags": ""})
        await self._ask("PUT", f"/api/permissions/{self._vhost}/{user}", msgspec.structs.asdict(rights))

    async def remove(self, name: str) -> None:
        await self._ask("DELETE", f"/api/users/{quote(name, safe='')}")

    async def _ask(self, method: str, path: str, body: Mapping[str, str] | None = None) -> httpx.Response:
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


@asynccontextmanager
async def connect(url: str, broker_url: str) -> AsyncIterator[ManagementApi]:
    """Speak to the API at `url`, which holds user and password, about the virtual host of the broker's address."""
    parts = urlsplit(url)
    own = (unquote(parts.username or ""), unquote(parts.password or ""))
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    async with httpx.AsyncClient(base_url=place, auth=own, timeout=TIMEOUT_SECONDS, trust_env=False) as http:
        yield ManagementApi(http, _vhost_of(broker_url))


def _vhost_of(broker_url: str) -> str:
    """`amqp://host` and `amqp://host/` both mean the virtual host `/`, as they do for the connection."""
    return unquote(urlsplit(broker_url).path.removeprefix("/")) or "/"
