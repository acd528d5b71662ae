"""The API's description: /openapi.json for programs, /docs for people. Both are made once, when first asked for."""

from functools import cached_property

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mission_commander.api import described

_WHOLE_BY_ITSELF = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


def routes() -> list[Route]:
    reference = _Reference()

    async def openapi(_: Request) -> Response:
        return Response(reference.document, media_type="application/json")

    async def docs(_: Request) -> Response:
        return Response(reference.page, media_type="text/html", headers={"Content-Security-Policy": _WHOLE_BY_ITSELF})

    return [Route("/openapi.json", openapi, methods=["GET"]), Route("/docs", docs, methods=["GET"])]


class _Reference:
    @cached_property
    def document(self) -> bytes:
        return msgspec.json.encode(described.document())

    @cached_property
    def page(self) -> bytes:
        return described.page().encode()
