"""The routes of pools."""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mission_commander.api import bodies, watching
from mission_commander.api.answers import ProblemError, json_answer
from mission_commander.api.doors import PEOPLE, Doors, path_of
from mission_commander.domain.rights import Rights
from mission_commander.services.pool_news import PoolNews
from mission_contracts.names import is_dns_label
from mission_contracts.rest import PoolDeclaration, Pools, PoolView
from mission_contracts.tokens import Role

QUIET_SECONDS: Final = 5.0
"""A comment is sent after so long without news, so that a watcher can tell quiet from dead."""

_STILL_HERE: Final = b": still here\n\n"
_declaration = msgspec.json.Decoder(PoolDeclaration)


def routes(doors: Doors) -> list[Route]:
    """All routes under /pools."""

    async def declare(request: Request) -> Response:
        doors.gate.admit(request, Role.OPERATOR, Role.ADMIN)
        commander = doors.loaded()
        namespace, name = _key(request)
        declared = await bodies.read_as(request, _declaration, bodies.ONE_MISSION_BYTES, counted=False)
        return json_answer(await commander.pools.declare(namespace, name, declared))

    async def remove(request: Request) -> Response:
        doors.gate.admit(request, Role.OPERATOR, Role.ADMIN)
        await doors.loaded().pools.remove(*_key(request))
        return Response(status_code=204)

    async def show(request: Request) -> Response:
        rights = doors.permits.of(doors.gate.admit(request, *PEOPLE))
        return json_answer(Pools(pools=_usable(rights, doors.loaded().pools.views())))

    async def events(request: Request) -> Response:
        rights = doors.permits.of(doors.gate.admit(request, *PEOPLE))
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        texts = _texts(doors.loaded().pool_news, rights, lambda: watching.is_admitted(doors.gate, request))
        return StreamingResponse(texts, media_type="text/event-stream", headers=headers)

    return [
        Route("/pools", show, methods=["GET"]),
        Route("/pools/events", events, methods=["GET"]),
        Route("/pools/{namespace}/{name}", declare, methods=["PUT"]),
        Route("/pools/{namespace}/{name}", remove, methods=["DELETE"]),
    ]


def _usable(rights: Rights, views: Iterable[PoolView]) -> tuple[PoolView, ...]:
    """Show the pools that the caller may use; of others it learns nothing."""
    return tuple(view for view in views if rights.may_use_pool(view.namespace, view.name))


async def _texts(news: PoolNews, rights: Rights, is_admitted: Callable[[], bool]) -> AsyncIterator[bytes]:
    with news.watching() as watch:
        yield _STILL_HERE  # only now: whoever has read this misses nothing of what follows
        async for views in watch.views(quiet_seconds=QUIET_SECONDS):
            if not is_admitted():
                return  # a watcher with a fresh token comes back, by then with its new rights
            told = [b"event: pool\ndata: %b\n\n" % msgspec.json.encode(view) for view in _usable(rights, views)]
            yield b"".join(told) or _STILL_HERE


def _key(request: Request) -> tuple[str, str]:
    namespace, name = path_of(request, "namespace"), path_of(request, "name")
    if not is_dns_label(namespace) or not is_dns_label(name):
        raise ProblemError(422, "BadName", "namespace and name of a pool are DNS labels: a-z, 0-9 and -, at most 63")
    return namespace, name
