"""The routes of pools."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mission_commander.api import bodies
from mission_commander.api.answers import ProblemError, json_answer
from mission_commander.api.doors import PEOPLE, Doors, path_of
from mission_contracts.names import is_dns_label
from mission_contracts.rest import PoolDeclaration
from mission_contracts.tokens import Role

_declaration = msgspec.json.Decoder(PoolDeclaration)


def routes(doors: Doors) -> list[Route]:
    """All routes under /pools."""

    async def declare(request: Request) -> Response:
        doors.gate.admit(request, Role.OPERATOR, Role.ADMIN)
        commander = doors.loaded()
        namespace, name = _key(request)
        declared = await bodies.read_as(request, _declaration, bodies.ONE_MISSION_BYTES)
        return json_answer(await commander.pools.declare(namespace, name, declared))

    async def remove(request: Request) -> Response:
        doors.gate.admit(request, Role.OPERATOR, Role.ADMIN)
        await doors.loaded().pools.remove(*_key(request))
        return Response(status_code=204)

    async def show(request: Request) -> Response:
        doors.gate.admit(request, *PEOPLE)
        return json_answer({"pools": doors.loaded().pools.views()})

    return [
        Route("/pools", show, methods=["GET"]),
        Route("/pools/{namespace}/{name}", declare, methods=["PUT"]),
        Route("/pools/{namespace}/{name}", remove, methods=["DELETE"]),
    ]


def _key(request: Request) -> tuple[str, str]:
    namespace, name = path_of(request, "namespace"), path_of(request, "name")
    if not is_dns_label(namespace) or not is_dns_label(name):
        raise ProblemError(422, "BadName", "namespace and name of a pool are DNS labels: a-z, 0-9 and -, at most 63")
    return namespace, name
