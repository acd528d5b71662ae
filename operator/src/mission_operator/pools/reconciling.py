"""Pools, made true: each is looked at when it changed, when work came to it, and every two seconds.

There are few pools, so nothing is clever here. What is already as it should be costs a read and no write.
"""

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Protocol

import structlog

from mission_contracts.clock import Clock
from mission_contracts.resources import SOLDIER_POOL
from mission_contracts.rest import PoolView
from mission_operator.announcing import Regarding
from mission_operator.commander.client import CommanderAwayError, CommanderRefusedError
from mission_operator.kube import KubeAwayError
from mission_operator.pools import keeping
from mission_operator.pools.deployment import Installation
from mission_operator.pools.keeping import PoolKeeper, Telling
from mission_operator.pools.observing import Pool, UnfitPoolError, observe

_log: Final = structlog.get_logger()
_EVERY_SECONDS: Final = 2.0


class PoolsOfCommander(keeping.PoolsOfCommander, Protocol):
    """The Commander, as far as pools go."""

    async def forget_pool(self, namespace: str, name: str) -> None: ...
    async def pools(self) -> Sequence[PoolView]: ...


class PoolObjects(keeping.PoolObjects, Protocol):
    """The API server, as far as pools go."""

    @property
    def namespace(self) -> str: ...
    async def names(self) -> AbstractSet[str]: ...


class PoolReconciler:
    """Has a keeper for each pool, tells it the news, and forgets it when its pool is deleted."""

    def __init__(
        self,
        commander: PoolsOfCommander,
        objects: PoolObjects,
        installation: Installation,
        announcer: Telling,
        clock: Clock,
        *,
        every_seconds: float = _EVERY_SECONDS,
    ) -> None:
        self._commander = commander
        self._objects = objects
        self._installation = installation
        self._announcer = announcer
        self._clock = clock
        self._every_seconds = every_seconds
        self._keepers: dict[str, PoolKeeper] = {}
        self._to_forget: set[tuple[str, str]] = set()
        self._changed = asyncio.Event()
        self._ask_now = asyncio.Event()

    def look(self, body: Mapping[str, Any], *, is_gone: bool = False) -> None:
        """Look at a pool. What is there for one that cannot be deployed is left as it is."""
        try:
            pool = observe(body)
        except UnfitPoolError as error:
            self._refuse(body["metadata"], str(error))
            return
        except Exception as error:  # noqa: BLE001 - one object must not end the service of all others
            _log.error("a pool was passed over", why=repr(error))
            return
        if is_gone or "deletionTimestamp" in body["metadata"]:
            self._forget(pool)
        else:
            self._see(pool)
            self._to_forget.discard((pool.namespace, pool.name))
        self._changed.set()

    def _refuse(self, metadata: Mapping[str, Any], why: str) -> None:
        _log.error("a pool's spec is not one that this version can deploy", pool=metadata["name"], why=why)
        self._announcer.tell(
            Regarding(SOLDIER_POOL.kind, metadata["namespace"], metadata["name"], metadata["uid"]),
            "Refused",
            why,
            is_bad=True,
        )

    def declare_again(self) -> None:
        """The Commander may have forgotten every pool."""
        for keeper in self._keepers.values():
            keeper.declare_again()
        self._changed.set()

    def take_view(self, view: PoolView) -> None:
        """Work came to a pool."""
        if keeper := self._keeper_of(view):
            keeper.take(view)
            self._changed.set()

    def ask(self) -> None:
        """Ask the Commander for its numbers now: news may have been missed."""
        self._ask_now.set()

    async def run(self) -> None:
        """Reconcile until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep())
            group.create_task(self._follow_numbers())

    def _see(self, pool: Pool) -> None:
        keeper = self._keepers.get(pool.name)
        if keeper is None or keeper.pool.uid != pool.uid:
            self._keepers[pool.name] = PoolKeeper(
                pool, self._commander, self._objects, self._installation, self._announcer, self._clock
            )
        else:
            keeper.pool = pool

    def _forget(self, pool: Pool) -> None:
        known = self._keepers.get(pool.name)
        if known is not None and known.pool.uid != pool.uid:
            return
        self._keepers.pop(pool.name, None)
        self._to_forget.add((pool.namespace, pool.name))

    def _keeper_of(self, view: PoolView) -> PoolKeeper | None:
        keeper = self._keepers.get(view.name)
        return keeper if keeper is not None and keeper.pool.namespace == view.namespace else None

    # Numbers, on their own: a Commander that hangs must not keep the cluster's side waiting.

    async def _follow_numbers(self) -> None:
        while True:
            self._ask_now.clear()
            await self._ask()
            hurries = any(keeper.is_in_transition for keeper in self._keepers.values())
            await _happens(self._ask_now, self._every_seconds / 2 if hurries else self._every_seconds)

    async def _ask(self) -> None:
        asked = tuple(keeper for keeper in self._keepers.values() if keeper.is_declared)
        try:
            views = await self._commander.pools()
        except (CommanderAwayError, CommanderRefusedError):
            return
        shown = {id(keeper) for view in views if (keeper := self._keeper_of(view))}
        for view in views:
            if keeper := self._keeper_of(view):
                keeper.take(view)
        for keeper in asked:
            if id(keeper) not in shown:
                keeper.declare_again()
        await self._find_deleted(views)
        self._changed.set()

    # Pools.

    async def _keep(self) -> None:
        while True:
            self._changed.clear()
            await asyncio.gather(*(self._look_at(keeper) for keeper in tuple(self._keepers.values())))
            await self._forget_all()
            await _happens(self._changed, self._every_seconds)

    async def _look_at(self, keeper: PoolKeeper) -> None:
        was_declared = keeper.is_declared
        try:
            await keeper.look()
        except KubeAwayError as error:
            _log.warning("a pool waits: the API server is away", pool=keeper.pool.name, why=str(error))
        except Exception as error:  # noqa: BLE001 - one pool must not end the service of all others
            _log.error("a pool could not be kept", pool=keeper.pool.name, why=repr(error))
        if keeper.is_declared and not was_declared:
            self._changed.set()  # with its first numbers, it may look quite different

    async def _forget_all(self) -> None:
        for namespace, name in tuple(self._to_forget):
            try:
                await self._commander.forget_pool(namespace, name)
            except CommanderAwayError:
                return
            except CommanderRefusedError as error:
                _log.warning("the Commander keeps a deleted pool", pool=name, why=str(error))
            self._to_forget.discard((namespace, name))

    async def _find_deleted(self, views: Sequence[PoolView]) -> None:
        """A pool that was deleted while no operator lived is known to the Commander alone."""
        namespace = self._objects.namespace
        unknown = {view.name for view in views if view.namespace == namespace} - self._keepers.keys()
        if not unknown:
            return
        try:
            there = await self._objects.names()
        except KubeAwayError:
            return
        for name in unknown - there:
            _log.info("a pool's object is gone; the Commander forgets it", pool=name)
            self._to_forget.add((namespace, name))


async def _happens(event: asyncio.Event, within_seconds: float) -> None:
    try:
        async with asyncio.timeout(within_seconds):
            await event.wait()
    except TimeoutError:
        pass
