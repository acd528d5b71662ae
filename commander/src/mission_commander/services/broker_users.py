"""A RabbitMQ user for each pool, with its soldiers' rights: made, made again when it was lost, gone with its pool."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

import structlog

from mission_commander.domain.memory import PoolKey
from mission_contracts import broker_rights
from mission_contracts.broker_rights import POOL_LIMITS, PoolUsers, Rights, UserLimits
from mission_contracts.topology import QUEUE_BOUNDS, QueueBound

LOOK_SECONDS: Final = 10.0
LOOKS_UNTIL_REMOVED: Final = 3
"""So often in a row is a user found to have no pool before it goes: a Commander may not have heard of a new one."""
WAIT_SECONDS: Final = 0.75
"""How long a registration waits for its pool's user: less than a soldier waits for the answer."""


class UsersAwayError(Exception):
    """RabbitMQ's management API did not answer, or not as it should."""


class UserDesk(Protocol):
    """Where RabbitMQ's users are made. Every method raises UsersAwayError."""

    async def rights(self) -> Mapping[str, Rights]:
        """Who may do what in our virtual host."""
        ...

    async def limits(self) -> Mapping[str, UserLimits]:
        """How much each user may have open."""
        ...

    async def put(self, name: str, password: str, rights: Rights, limits: UserLimits) -> None: ...

    async def bound(self, queues: Sequence[QueueBound]) -> None:
        """Make sure that queues are bounded as these say."""
        ...

    async def remove(self, name: str) -> None: ...


class BrokerUsers:
    """Level-triggered: each look compares the users that RabbitMQ has with the pools that are known."""

    def __init__(
        self,
        desk: UserDesk,
        names: PoolUsers,
        pools: Callable[[], Iterable[PoolKey]],
        *,
        urls: Sequence[str],
        namespaces: Collection[str],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`urls` are the broker's nodes, as this Commander reaches them; `namespaces` are those that it serves."""
        self._desk = desk
        self._names = names
        self._pools = pools
        self._urls = urls
        self._beginnings = tuple(f"soldiers.{namespace}." for namespace in namespaces)
        self._look_seconds = look_seconds
        self._made: frozenset[str] = frozenset()
        self._strange: Counter[str] = Counter()
        self._is_wanted = asyncio.Event()
        self._looked = asyncio.Event()
        self._away = ""
        self._log = structlog.get_logger("broker_users")

    async def urls_of(self, pool: PoolKey) -> tuple[str, ...]:
        """Give the broker's addresses with a pool's user in them; that user is there, or comes when its API is back."""
        if self._names.name_of(*pool) not in self._made:
            await self._look_soon()
        user, password = self._names.name_of(*pool), self._names.password_of(*pool)
        return tuple(_as_user(url, user, password) for url in self._urls)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._try_to_look()
            self._looked.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_seconds):
                    await self._is_wanted.wait()
            self._is_wanted.clear()

    async def look(self) -> None:
        """Make the users that are missing or have other rights, and remove those whose pool is gone for long enough."""
        await self._desk.bound(QUEUE_BOUNDS)
        found, limits = await self._desk.rights(), await self._desk.limits()
        wanted = {self._names.name_of(*pool): pool for pool in self._pools()}
        for name, pool in wanted.items():
            rights = broker_rights.of_pool(*pool).rights()
            # Not only where something is missing: nobody tells whether the password is still ours.
            is_right = found.get(name) == rights and limits.get(name) == POOL_LIMITS
            if name not in self._made or not is_right:
                await self._desk.put(name, self._names.password_of(*pool), rights, POOL_LIMITS)
        self._made = frozenset(wanted)
        await self._remove(name for name in found if self._is_ours(name) and name not in wanted)

    async def _remove(self, strange: Iterable[str]) -> None:
        self._strange = Counter({name: self._strange[name] + 1 for name in strange})
        for name in [name for name, looks in self._strange.items() if looks >= LOOKS_UNTIL_REMOVED]:
            await self._desk.remove(name)
            self._log.info("a pool is gone, and its RabbitMQ user with it", user=name)

    def _is_ours(self, name: str) -> bool:
        return self._names.is_ours(name) and name.startswith(self._beginnings)

    async def _look_soon(self) -> None:
        self._looked.clear()
        self._is_wanted.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                await self._looked.wait()

    async def _try_to_look(self) -> None:
        try:
            await self.look()
        except UsersAwayError as error:
            if not self._away:
                self._log.warning(
                    "RabbitMQ's users cannot be looked after now: pools that have theirs go on, new ones wait",
                    why=str(error),
                )
            self._away = str(error)
        else:
            if self._away:
                self._log.info("RabbitMQ's users are looked after again")
            self._away = ""


def _as_user(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}:{password}@{place}"))
