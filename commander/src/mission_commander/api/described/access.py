"""What the routes that give tokens promise."""

from collections.abc import Iterable
from typing import Final

from mission_commander.api.described import parameters
from mission_commander.api.described.operation import Answer, Body, Operation
from mission_commander.api.doors import PEOPLE
from mission_commander.api.tokens import TOKEN_REQUEST_BYTES
from mission_commander.api.users import USER_REQUEST_BYTES
from mission_contracts.rest import (
    DeleteUserRequest,
    LoginRequest,
    LogoutRequest,
    RegisterRequest,
    TokenAnswer,
    TokenRequest,
    UserChange,
    UserView,
)
from mission_contracts.signing_keys import KeySet
from mission_contracts.tokens import Role

GROUP: Final = "Access"
_ANNA: Final = {"username": "anna", "role": "user"}
_UNSURE: Final = "`RevocationsUnknown`: whether the login was ended cannot be known now."


def operations() -> Iterable[Operation]:
    yield Operation(
        method="POST",
        path="/token",
        name="getToken",
        group=GROUP,
        summary="Get an access token",
        text="`grant_type` says by which means; the default is `client_credentials`, with `client_id` and "
        "`client_secret`. `refresh_token` takes the `refresh_token` of a user's last answer, once, and gives the next "
        "pair; for a few seconds the same one gets the same pair again, later it ends the login. "
        "`service_account` takes as `assertion` the projected token of a pod of ours, where that is set up.",
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
            401: "`BadCredentials`: id or secret is wrong, the refresh token opens nothing any more, or the cluster "
            "does not vouch for the ServiceAccount's token.",
            403: "`Stranger`: the token is good, and of no pod that has business here.",
            503: "`ClusterAway`: the Kubernetes API cannot say now whose token that is.",
        },
    )
    yield from _of_users()
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


def _of_users() -> Iterable[Operation]:
    yield Operation(
        method="POST",
        path="/login",
        name="logIn",
        group=GROUP,
        summary="Log in as a user",
        body=Body(
            kind=LoginRequest,
            limit=USER_REQUEST_BYTES,
            example={"username": "anna", "password": "correct horse battery"},
        ),
        answers=(
            Answer(
                status=200,
                text="An access token, and a refresh token for the next one (`POST /token`).",
                kind=TokenAnswer,
                example={
                    "access_token": "eyJ…",
                    "expires_in": 300.0,
                    "refresh_token": "mcr.…",
                    "refresh_expires_in": 604800.0,
                },
            ),
        ),
        problems={
            401: "`BadCredentials`: the name or the password is wrong; which, is not said.",
            503: "`PasswordsBusy`: too many log in at once.",
        },
    )
    yield Operation(
        method="POST",
        path="/logout",
        name="logOut",
        group=GROUP,
        summary="End a login: all its tokens are refused, everywhere within a second",
        text="Of the refresh token in the body, which needs no other token; without a body, of the access token.",
        body=Body(kind=LogoutRequest, limit=USER_REQUEST_BYTES, example={"refresh_token": "mcr.…"}, is_required=False),
        answers=(Answer(status=204, text="It has ended, now or before."),),
        problems={
            401: "`NoToken`, `BadToken`, `Revoked`: there is neither a refresh token nor a valid access token.",
            409: "`NoLogin`: the token is a machine's and ends by itself.",
            503: _UNSURE,
        },
    )
    yield Operation(
        method="POST",
        path="/register",
        name="register",
        group=GROUP,
        summary="Register a user",
        text="For admins; without a token for everybody, where `COMMANDER_REGISTRATION` is `open`.",
        body=Body(
            kind=RegisterRequest,
            limit=USER_REQUEST_BYTES,
            example={"username": "anna", "password": "correct horse battery"},
        ),
        answers=(Answer(status=201, text="The user.", kind=UserView, example=_ANNA),),
        problems={
            401: "`NoToken`, `BadToken`, `Revoked`: there is no valid token, and not everybody may register.",
            403: "`WrongRole`: only an admin registers others, or gives a role or rights.",
            409: "`NameTaken`: somebody has this name.",
            503: f"{_UNSURE} `PasswordsBusy`: too many log in at once.",
        },
    )
    yield Operation(
        method="PATCH",
        path="/users/{name}",
        name="changeUser",
        group=GROUP,
        roles=(Role.ADMIN,),
        summary="Give a user another set of rights",
        text="An empty name stands for the default set. Tokens that the user has keep the old rights until they end.",
        parameters=(parameters.USER,),
        body=Body(kind=UserChange, limit=USER_REQUEST_BYTES, example={"rights": "shop"}),
        answers=(Answer(status=200, text="The user.", kind=UserView, example=_ANNA | {"rights": "shop"}),),
        problems={404: "`NoSuchUser`: there is none of this name."},
    )
    yield Operation(
        method="DELETE",
        path="/delete-user",
        name="deleteUser",
        group=GROUP,
        roles=PEOPLE,
        summary="Delete a user, who is out everywhere within a second",
        text="Oneself with the password; an admin anybody.",
        body=Body(
            kind=DeleteUserRequest,
            limit=USER_REQUEST_BYTES,
            example={"username": "anna", "password": "correct horse battery"},
        ),
        answers=(Answer(status=204, text="There is no such user any more."),),
        problems={
            403: "`NotYours`: another's name, or the wrong password.",
            404: "`NoSuchUser`: there was none.",
            409: "`FirstAdmin`: the settings name this one.",
            503: f"{_UNSURE} `PasswordsBusy`: too many log in at once.",
        },
    )
