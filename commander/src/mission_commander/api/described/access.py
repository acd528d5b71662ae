"""What the routes that give tokens promise."""

from collections.abc import Iterable
from typing import Final

from mission_commander.api.described.operation import Answer, Body, Operation
from mission_commander.api.tokens import TOKEN_REQUEST_BYTES
from mission_contracts.rest import TokenAnswer, TokenRequest
from mission_contracts.signing_keys import KeySet

GROUP: Final = "Access"


def operations() -> Iterable[Operation]:
    yield Operation(
        method="POST",
        path="/token",
        name="getToken",
        group=GROUP,
        summary="Get an access token",
        text="`grant_type` says by which means; the default is `client_credentials`, with `client_id` and "
        "`client_secret`.",
        needs_ledger=False,
        body=Body(kind=TokenRequest, limit=TOKEN_REQUEST_BYTES, example={"client_id": "anna", "client_secret": "…"}),
        answers=(
            Answer(
                status=200,
                text="Send it as `Authorization: Bearer …` until it expires.",
                kind=TokenAnswer,
                example={"access_token": "eyJ…", "expires_in": 300.0},
            ),
        ),
        problems={
            400: "`UnknownGrant`: there is no such `grant_type` here.",
            401: "`BadCredentials`: id or secret is wrong.",
        },
    )
    yield Operation(
        method="GET",
        path="/.well-known/jwks.json",
        name="getKeys",
        group=GROUP,
        summary="Show the public keys that tokens are checked with",
        needs_ledger=False,
        answers=(
            Answer(
                status=200,
                text="A JSON Web Key Set (RFC 7517).",
                kind=KeySet,
                example={"keys": [{"kid": "access-1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]},
            ),
        ),
    )
