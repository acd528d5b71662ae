"""The routes of tokens: getting one, and the public keys that check them."""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mission_commander.api import bodies
from mission_commander.api.answers import json_answer
from mission_commander.api.doors import Doors
from mission_commander.api.grants import NEVER_STORED
from mission_commander.api.limits import address_of
from mission_contracts.rest import TokenRequest

TOKEN_REQUEST_BYTES: Final = 16_384
"""Room for a token that somebody else gave."""
KEYS_MAX_AGE_SECONDS: Final = 300

_token: Final = msgspec.json.Decoder(TokenRequest)


def routes(doors: Doors) -> list[Route]:
    """POST /token and the key set."""

    async def token(request: Request) -> Response:
        asked = await bodies.read_as(request, _token, TOKEN_REQUEST_BYTES)
        return json_answer(await doors.grants.issue(asked, address_of(request)), headers=NEVER_STORED)

    async def keys(_: Request) -> Response:
        headers = {"Cache-Control": f"public, max-age={KEYS_MAX_AGE_SECONDS}"}
        return json_answer(doors.keys.public(), headers=headers)

    return [
        Route("/token", token, methods=["POST"]),
        Route("/.well-known/jwks.json", keys, methods=["GET"]),
    ]
