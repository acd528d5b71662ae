"""Users in the ledger's Redis: one compare-and-write script, and a stream that tells every Commander who is out."""

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec

from mission_commander.adapters.redis_ledger import RedisSettings
from mission_commander.adapters.redis_nodes import Nodes
from mission_commander.adapters.redis_script import Script
from mission_commander.adapters.redis_wire import Command, Wire
from mission_commander.domain.users import Family, Revocation, User
from mission_contracts.tokens import LONGEST_TOKEN_SECONDS

CONNECTIONS: Final = 4
REMEMBERED_SECONDS: Final = 2 * LONGEST_TOKEN_SECONDS
"""How long a revocation stays readable: twice as long as any access token may live."""

_ABSENT: Final = ""
_ANY: Final = "*"
_NOTHING: Final = Revocation("", 0)
_FIRST: Final = "0-0"

T = TypeVar("T")


@asynccontextmanager
async def connect(settings: RedisSettings, *, client_name: str = "mission-users") -> AsyncIterator["RedisUsers"]:
    """Give the store. Redis need not be there yet: connections are made when they are needed."""
    nodes = Nodes(settings.urls, client_name=client_name)
    commands = Wire(nodes, connections=CONNECTIONS)
    # Who waits for revocations occupies a connection: a login must never wait for it.
    waiting = Wire(nodes, connections=1)
    try:
        yield RedisUsers(settings, commands, waiting)
    finally:
        await commands.close()
        await waiting.close()


class RedisUsers:
    """One Commander's way to the users in Redis. After the prefix, its keys are:

    user:<name>   hash     v: the account, r: the user with the hash of the password
    family:<id>   hash     v: the generation, r: the family; it goes when its last refresh token has ended
    logins:<account>  zset  ids of its families, by when they were used
    revocations   stream   i: an account or a family, u: until when its tokens are refused
    """

    def __init__(self, settings: RedisSettings, commands: Wire, waiting: Wire) -> None:
        self._settings = settings
        self._commands = commands
        self._waiting = waiting
        self._replace = Script("replace_record", commands)

    async def user(self, name: str) -> User | None:
        return await self._read(self._user_key(name), User)

    async def add_user(self, user: User) -> bool:
        return await self._write(self._user_key(user.name), _ABSENT, user.account, user)

    async def update_user(self, user: User) -> bool:
        return await self._write(self._user_key(user.name), user.account, user.account, user)

    async def replace_user(self, user: User, *, account: str, revocation: Revocation) -> bool:
        return await self._write(self._user_key(user.name), account, user.account, user, revocation=revocation)

    async def remove_user(self, name: str, *, account: str, revocation: Revocation) -> bool:
        return await self._write(self._user_key(name), account, revocation=revocation)

    async def family(self, family_id: str) -> Family | None:
        return await self._read(self._family_key(family_id), Family)

    async def add_family(self, family: Family, *, keep_seconds: float) -> None:
        key = self._family_key(family.id)
        await self._write(key, _ABSENT, str(family.generation), family, keep_seconds=keep_seconds)
        await self._note_login(family, keep_seconds)

    async def oldest_families(self, account: str, *, beyond: int) -> Sequence[str]:
        logins, seconds = self._logins_key(account), self._settings.operation_seconds
        [found] = await self._commands.ask(("ZRANGE", logins, 0, -(beyond + 1)), timeout_seconds=seconds)
        if found:
            await self._commands.ask(("ZREM", logins, *found), timeout_seconds=seconds)
        return [family_id.decode() for family_id in found]

    async def advance_family(self, family: Family, *, expected: int, keep_seconds: float) -> bool:
        key = self._family_key(family.id)
        if not await self._write(key, str(expected), str(family.generation), family, keep_seconds=keep_seconds):
            return False
        await self._note_login(family, keep_seconds)
        return True

    async def end_family(self, family_id: str, revocation: Revocation) -> None:
        await self._write(self._family_key(family_id), _ANY, revocation=revocation)

    async def revocations(self, after: str, *, wait_seconds: float) -> tuple[str, Sequence[Revocation]]:
        block = max(1, math.ceil(wait_seconds * 1000))  # BLOCK 0 would wait for ever
        read: Command = ("XREAD", "BLOCK", block, "STREAMS", self._key("revocations"), after or _FIRST)
        deadline = wait_seconds + self._settings.operation_seconds
        [found] = await self._waiting.ask(read, timeout_seconds=deadline)
        if not found:
            return after, ()
        [(_, entries)] = found
        return entries[-1][0].decode(), [_revocation_of(fields) for _, fields in entries]

    async def _note_login(self, family: Family, keep_seconds: float) -> None:
        logins = self._logins_key(family.account)
        note: Command = ("ZADD", logins, repr(family.rotated_at), family.id)
        keep: Command = ("PEXPIRE", logins, math.ceil(keep_seconds * 1000))
        await self._commands.ask(note, keep, timeout_seconds=self._settings.operation_seconds)

    async def _read(self, key: str, kind: type[T]) -> T | None:
        [record] = await self._commands.ask(("HGET", key, "r"), timeout_seconds=self._settings.operation_seconds)
        return None if record is None else msgspec.json.decode(record, type=kind)

    async def _write(
        self,
        key: str,
        expected: str,
        version: str = "",
        record: msgspec.Struct | None = None,
        *,
        keep_seconds: float = 0,
        revocation: Revocation = _NOTHING,
    ) -> bool:
        text = b"" if record is None else msgspec.json.encode(record)
        arguments: tuple[str | bytes | int, ...] = (
            expected, version, text, math.ceil(keep_seconds * 1000),
            revocation.revoked, repr(revocation.until), REMEMBERED_SECONDS * 1000,
        )  # fmt: skip
        seconds = self._settings.operation_seconds
        keys = (key, self._key("revocations"))
        return bool(await self._replace.run(arguments, keys=keys, timeout_seconds=seconds))

    def _user_key(self, name: str) -> str:
        return self._key(f"user:{name}")

    def _family_key(self, family_id: str) -> str:
        return self._key(f"family:{family_id}")

    def _logins_key(self, account: str) -> str:
        return self._key(f"logins:{account}")

    def _key(self, name: str) -> str:
        return f"{self._settings.prefix}{name}"


def _revocation_of(fields: Sequence[Any]) -> Revocation:
    _, revoked, _, until = fields
    return Revocation(revoked.decode(), float(until))
