"""The routes of users: in, out, and who there is."""

from typing import Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mission_commander.api import bodies
from mission_commander.api.answers import ProblemError, json_answer
from mission_commander.api.doors import PEOPLE, Doors, path_of
from mission_commander.api.grants import NEVER_STORED, answered, told
from mission_commander.api.limits import address_of
from mission_commander.domain import users
from mission_commander.domain.users import User
from mission_commander.services.users import NameTakenError, NoSuchUserError
from mission_contracts.rest import DeleteUserRequest, LoginRequest, LogoutRequest, RegisterRequest, UserChange, UserView
from mission_contracts.tokens import Claims, Role

USER_REQUEST_BYTES: Final = 4_096

_login: Final = msgspec.json.Decoder(LoginRequest)
_register: Final = msgspec.json.Decoder(RegisterRequest)
_delete: Final = msgspec.json.Decoder(DeleteUserRequest)
_change: Final = msgspec.json.Decoder(UserChange)
_logout: Final = msgspec.json.Decoder(LogoutRequest)


def routes(doors: Doors, *, registration: Literal["closed", "open"], first_admin: str) -> list[Route]:
    """All routes of users."""
    door = _UserDoor(doors, registration, first_admin)
    return [
        Route("/login", door.log_in, methods=["POST"]),
        Route("/logout", door.log_out, methods=["POST"]),
        Route("/register", door.register, methods=["POST"]),
        Route("/delete-user", door.delete, methods=["DELETE"]),
        Route("/users/{name}", door.change, methods=["PATCH"]),
    ]


class _UserDoor:
    def __init__(self, doors: Doors, registration: Literal["closed", "open"], first_admin: str) -> None:
        self._doors = doors
        self._users = doors.users
        self._is_open = registration == "open"
        self._first_admin = first_admin

    async def log_in(self, request: Request) -> Response:
        asked = await bodies.read_as(request, _login, USER_REQUEST_BYTES)
        address = address_of(request)
        self._doors.limits.admit(asked.username, address)
        async with answered():
            pair = await self._users.log_in(asked.username, asked.password)
        self._doors.limits.succeeded(asked.username, address)
        return json_answer(self._doors.issuer.pair(pair), headers=NEVER_STORED)

    async def log_out(self, request: Request) -> Response:
        asked = await bodies.read_as(request, _logout, USER_REQUEST_BYTES, empty=LogoutRequest())
        if asked.refresh_token is not None:
            await self._users.log_out_by(asked.refresh_token)
        else:
            await self._users.log_out(self._family(request))
        return Response(status_code=204)

    def _family(self, request: Request) -> str:
        family = self._doors.gate.admit(request, *Role).holder.family
        if family is None:
            detail = "this token is a machine's and belongs to no login: it ends by itself; change the client's secret"
            raise ProblemError(409, "NoLogin", detail)
        return family

    async def register(self, request: Request) -> Response:
        by = self._registrar(request)
        asked = await bodies.read_as(request, _register, USER_REQUEST_BYTES)
        _check(asked, is_admin=by is not None)
        self._check_rights(asked.rights)
        if by is None:  # hashing a password costs as much as checking one
            self._doors.limits.admit(asked.username, address_of(request))
        async with answered():
            try:
                who = by.subject if by else "oneself"
                user = await self._users.register(
                    asked.username, asked.password, asked.role, rights=asked.rights, by=who
                )
            except NameTakenError as error:
                raise ProblemError(409, "NameTaken", str(error), field="username") from error
        return json_answer(_shown(user), 201)

    def _registrar(self, request: Request) -> Claims | None:
        """Give the admin who asks; None for whoever registers himself, where that is allowed."""
        if self._is_open and "authorization" not in request.headers:
            return None
        return self._doors.gate.admit(request, Role.ADMIN)

    async def change(self, request: Request) -> Response:
        claims = self._doors.gate.admit(request, Role.ADMIN)
        asked = await bodies.read_as(request, _change, USER_REQUEST_BYTES)
        self._check_rights(asked.rights)
        try:
            user = await self._users.give_rights(path_of(request, "name"), asked.rights, by=claims.subject)
        except NoSuchUserError as error:
            raise ProblemError(404, "NoSuchUser", str(error)) from error
        return json_answer(_shown(user))

    def _check_rights(self, name: str) -> None:
        if name and not self._doors.permits.knows(name):
            detail = "there is no set of rights of this name: add it to COMMANDER_RIGHTS, or name one that is there"
            raise ProblemError(422, "BadField", detail, field="rights")

    async def delete(self, request: Request) -> Response:
        claims = self._doors.gate.admit(request, *PEOPLE)
        asked = await bodies.read_as(request, _delete, USER_REQUEST_BYTES)
        if claims.role is not Role.ADMIN:
            await self._check_own(claims, asked)
        if asked.username == self._first_admin:
            detail = "this is the first admin, whom the settings name: take the name out of the settings first"
            raise ProblemError(409, "FirstAdmin", detail, field="username")
        try:
            await self._users.delete(asked.username, by=claims.subject)
        except NoSuchUserError as error:
            raise ProblemError(404, "NoSuchUser", str(error), field="username") from error
        return Response(status_code=204)

    async def _check_own(self, claims: Claims, asked: DeleteUserRequest) -> None:
        """Who is no admin deletes nobody else, and proves to be there in person."""
        password = told(asked.password, "password")
        async with answered():
            is_right = await self._users.is_account(asked.username, password, claims.holder.account)
        if not is_right:
            detail = "only an admin deletes others, and you yourself need your password: check name and password"
            raise ProblemError(403, "NotYours", detail)


def _shown(user: User) -> UserView:
    return UserView(username=user.name, role=user.role, rights=user.rights)


def _check(asked: RegisterRequest, *, is_admin: bool) -> None:
    if not users.is_name(asked.username):
        detail = "a username has 2 to 63 of a-z, 0-9, dot, dash and underscore, and begins with a letter"
        raise ProblemError(422, "BadField", detail, field="username")
    if why := users.trouble_with_password(asked.password):
        raise ProblemError(422, "BadField", why, field="password")
    if asked.role not in users.ROLES:
        detail = "users are viewer, user or admin: operators and soldiers are machines, with clients in the settings"
        raise ProblemError(422, "BadField", detail, field="role")
    if asked.role is not Role.USER and not is_admin:
        raise ProblemError(403, "WrongRole", "only an admin gives another role than user: leave it out", field="role")
    if asked.rights and asked.role is Role.ADMIN:
        detail = "rights restrict users and viewers, not admins: leave them out"
        raise ProblemError(422, "BadField", detail, field="rights")
    if asked.rights and not is_admin:
        raise ProblemError(403, "WrongRole", "only an admin gives rights: leave them out", field="rights")
