"""Pools, made true: every look and every two seconds each pool is declared, deployed and described anew.

There are few pools, so nothing is clever here. What is already as it should be costs a read and no write.
"""

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import structlog
from pydantic import ValidationError

from mission_contracts.clock import Clock
from mission_contracts.resources import PoolReason
from mission_contracts.rest import PoolDeclaration, PoolView
from mission_operator.commander.client import CommanderAwayError, CommanderRefusedError
from mission_operator.kube import Answer, KubeAwayError
from mission_operator.objects import status_patch
from mission_operator.pools.deployment import Installation, belongs_to, deployment_of, is_like
from mission_operator.pools.observing import Pool, observe
from mission_operator.pools.status import Outcome, Situation, status_of

_log: Final = structlog.get_logger()
_EVERY_SECONDS: Final = 2.0


class PoolsOfCommander(Protocol):
    """The Commander, as far as pools go."""

    async def declare_pool(self, namespace: str, name: str, declaration: PoolDeclaration) -> None: ...
    async def forget_pool(self, namespace: str, name: str) -> None: ...
    async def pools(self) -> Sequence[PoolView]: ...


class PoolObjects(Protocol):
    """The API server, as far as pools go."""

    @property
    def namespace(self) -> str: ...
    async def names(self) -> AbstractSet[str]: ...
    async def read_deployment(self, pool: Pool) -> Answer: ...
    async def apply_deployment(self, pool: Pool, manifest: Mapping[str, Any]) -> Answer: ...
    async def patch_status(self, pool: Pool, patch: bytes) -> Answer: ...


class PoolReconciler:
    """Looks at pools, and keeps the Commander, their Deployments and their statuses like them."""

    def __init__(
        self,
        commander: PoolsOfCommander,
        objects: PoolObjects,
        installation: Installation,
        clock: Clock,
        *,
        every_seconds: float = _EVERY_SECONDS,
    ) -> None:
        self._commander = commander
        self._objects = objects
        self._installation = installation
        self._clock = clock
        self._every_seconds = every_seconds
        self._pools: dict[str, Pool] = {}
        self._declared: dict[str, PoolDeclaration] = {}
        self._to_forget: set[tuple[str, str]] = set()
        self._changed = asyncio.Event()

    def look(self, body: Mapping[str, Any], *, is_gone: bool = False) -> None:
        """Look at a pool."""
        try:
            pool = observe(body)
        except ValidationError as error:
            _log.error(
                "a pool's spec is not one that this version knows", pool=body["metadata"]["name"], why=str(error)
            )
            return
        if is_gone or "deletionTimestamp" in body["metadata"]:
            self._forget(pool)
        else:
            self._pools[pool.name] = pool
            self._to_forget.discard((pool.namespace, pool.name))
        self._changed.set()

    def declare_again(self) -> None:
        """The Commander may have forgotten every pool."""
        self._declared.clear()
        self._changed.set()

    async def run(self) -> None:
        """Reconcile until cancelled."""
        while True:
            self._changed.clear()
            await self._reconcile_all()
            await self._wait()

    def _forget(self, pool: Pool) -> None:
        known = self._pools.get(pool.name)
        if known is not None and known.uid != pool.uid:
            return
        self._pools.pop(pool.name, None)
        self._declared.pop(pool.name, None)
        self._to_forget.add((pool.namespace, pool.name))

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._every_seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _reconcile_all(self) -> None:
        pools = tuple(self._pools.values())
        declared = {pool.name: await self._declare(pool) for pool in pools}
        views = await self._views()
        await self._find_deleted(views)
        await self._forget_all()
        for pool in pools:
            try:
                await self._reconcile(pool, declared[pool.name], views.get((pool.namespace, pool.name)))
            except KubeAwayError as error:
                _log.warning("a pool waits: the API server is away", pool=pool.name, why=str(error))

    async def _declare(self, pool: Pool) -> Outcome:
        wanted = pool.declaration
        if self._declared.get(pool.name) == wanted:
            return Outcome(PoolReason.DECLARED)
        try:
            await self._commander.declare_pool(pool.namespace, pool.name, wanted)
        except CommanderAwayError as error:
            _log.warning("a pool is not declared yet", pool=pool.name, why=str(error))
            return Outcome(PoolReason.COMMANDER_UNREACHABLE, "the Commander cannot be reached; it is being tried again")
        except CommanderRefusedError as error:
            return Outcome(PoolReason.REFUSED, str(error))
        self._declared[pool.name] = wanted
        return Outcome(PoolReason.DECLARED)

    async def _forget_all(self) -> None:
        for namespace, name in tuple(self._to_forget):
            try:
                await self._commander.forget_pool(namespace, name)
            except CommanderAwayError:
                return
            except CommanderRefusedError as error:
                _log.warning("the Commander keeps a deleted pool", pool=name, why=str(error))
            self._to_forget.discard((namespace, name))

    async def _find_deleted(self, views: Mapping[tuple[str, str], PoolView]) -> None:
        """A pool that was deleted while no operator lived is known to the Commander alone."""
        unknown = {name for namespace, name in views if namespace == self._objects.namespace} - self._pools.keys()
        if not unknown:
            return
        try:
            there = await self._objects.names()
        except KubeAwayError:
            return
        for name in unknown - there:
            _log.info("a pool's object is gone; the Commander forgets it", pool=name)
            self._to_forget.add((self._objects.namespace, name))

    async def _views(self) -> Mapping[tuple[str, str], PoolView]:
        try:
            return {(view.namespace, view.name): view for view in await self._commander.pools()}
        except (CommanderAwayError, CommanderRefusedError):
            return {}

    async def _reconcile(self, pool: Pool, declared: Outcome, view: PoolView | None) -> None:
        deployed, deployment = await self._deploy(pool)
        situation = Situation(
            declared=declared, deployed=deployed, view=view, deployment=deployment.get("status") or {}
        )
        await self._describe(pool, situation)

    async def _deploy(self, pool: Pool) -> tuple[Outcome, Mapping[str, Any]]:
        wanted = deployment_of(pool, self._installation)
        stored = await self._objects.read_deployment(pool)
        if stored.is_ok:
            found: Mapping[str, Any] = stored.json()
            if not belongs_to(found, pool):
                return Outcome(PoolReason.NOT_OWNED, _not_owned(wanted["metadata"]["name"])), found
            if is_like(found, wanted):
                return Outcome(PoolReason.DEPLOYED), found
        elif not stored.names_no_object:
            return Outcome(PoolReason.REFUSED, stored.message), {}
        answer = await self._objects.apply_deployment(pool, wanted)
        if not answer.is_ok:
            return Outcome(PoolReason.REFUSED, answer.message), {}
        return Outcome(PoolReason.DEPLOYED), answer.json()

    async def _describe(self, pool: Pool, situation: Situation) -> None:
        status = status_of(pool, situation, datetime.fromtimestamp(self._clock.now(), UTC))
        if status == pool.status:
            return
        answer = await self._objects.patch_status(pool, status_patch(pool.uid, status))
        if not answer.is_ok and not answer.names_no_object:
            _log.warning("a pool's status was not written", pool=pool.name, why=answer.message)


def _not_owned(name: str) -> str:
    return f"a Deployment {name} exists and is not this pool's: delete or rename it, and this pool makes its own"
