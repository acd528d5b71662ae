"""One pool, kept as its spec and its missions ask: each look reads what is, decides the next step, and takes it.

What is remembered between looks is only what cannot be read: how long fewer soldiers have been enough, who was asked
to retire, and who has been busy for how long. All of it may be lost with the process: then it begins anew, and until
it has grown again nothing scales in.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec
import structlog

from mission_contracts.clock import Clock
from mission_contracts.resources import SOLDIER_POOL, PoolReason
from mission_contracts.rest import PoolDeclaration, PoolView
from mission_operator.announcing import Regarding
from mission_operator.commander.client import CommanderAwayError, CommanderRefusedError
from mission_operator.kube import Answer
from mission_operator.objects import status_patch
from mission_operator.pools import freshness, pods, protecting, references, retiring, sizing, troubles, wording
from mission_operator.pools.deployment import (
    Installation,
    belongs_to,
    deployment_of,
    is_like,
    is_of_earlier,
    size_of,
)
from mission_operator.pools.freshness import Numbers
from mission_operator.pools.observing import Pool
from mission_operator.pools.pods import DELETION_COST, Pod
from mission_operator.pools.protecting import Guard, Guards
from mission_operator.pools.retiring import NOBODY, Plan
from mission_operator.pools.scaling import Calm, Scaling
from mission_operator.pools.status import Outcome, Situation, status_of

_log: Final = structlog.get_logger()
_PODS_EVERY_SECONDS: Final = 60.0
"""How often pods are listed although nothing is to be done with them: annotations may have been left by another."""
_PODS_AGAIN_SECONDS: Final = 4.0
"""How often while soldiers are missing, to find out why."""
_TELLING_SECONDS: Final = 3.0
"""A Commander that hangs must not keep the cluster's side of other pools waiting for longer."""


class PoolsOfCommander(Protocol):
    """The Commander, as far as one pool goes."""

    async def declare_pool(self, namespace: str, name: str, declaration: PoolDeclaration) -> PoolView: ...


class PoolObjects(Protocol):
    """The API server, as far as pools go."""

    async def read_deployment(self, pool: Pool) -> Answer: ...
    async def apply_deployment(self, pool: Pool, manifest: Mapping[str, Any]) -> Answer: ...
    async def list_pods(self, pool: Pool) -> Answer: ...
    async def annotate_pod(self, pool: Pool, name: str, annotations: Mapping[str, str | None]) -> Answer: ...
    async def patch_status(self, pool: Pool, patch: bytes) -> Answer: ...


class Telling(Protocol):
    """Events, as far as pools go."""

    def tell(self, regarding: Regarding, reason: str, note: str, *, is_bad: bool = False) -> None: ...


class Stored(msgspec.Struct, frozen=True):
    """The Deployment as it was found: `outcome` is set where it cannot be ours."""

    found: Mapping[str, Any] | None = None
    outcome: Outcome | None = None

    @property
    def size(self) -> int | None:
        return None if self.found is None else size_of(self.found)


class PoolKeeper:
    """Keeps one pool."""

    def __init__(
        self,
        pool: Pool,
        commander: PoolsOfCommander,
        objects: PoolObjects,
        installation: Installation,
        announcer: Telling,
        clock: Clock,
    ) -> None:
        self.pool = pool
        self._commander = commander
        self._objects = objects
        self._installation = installation
        self._announcer = announcer
        self._clock = clock
        self._told: PoolDeclaration | None = None
        self._declared = Outcome(PoolReason.COMMANDER_UNREACHABLE, "the Commander was not told of it yet")
        self._view: PoolView | None = None
        self._viewed_at = 0.0
        self._calm: Calm | None = None
        self._retirement = NOBODY
        self._pods: tuple[Pod, ...] = ()
        self._listed_at: float | None = None
        self._guards: Guards = {}
        self._is_short = False
        self._trouble = ""
        self.is_in_transition = False
        """More soldiers than wanted: the next look is due soon."""

    @property
    def is_declared(self) -> bool:
        return self._told is not None

    def take(self, view: PoolView) -> None:
        """Take the pool's numbers."""
        self._view = view
        self._viewed_at = self._clock.monotonic()

    def declare_again(self) -> None:
        """The Commander may have forgotten this pool."""
        self._told = None

    async def look(self) -> None:
        """Take one look, and the next step. Raises KubeAwayError."""
        pool, now = self.pool, self._clock.monotonic()
        stored = await self._read()
        found = self._numbers(now)
        chosen = sizing.size(pool, stored.size, found.demand, self._calm, now)
        self._calm = chosen.calm
        plan = await self._plan(stored, chosen, found, now)
        deployed, deployment = await self._deploy(stored, plan.replicas)
        if deployed.is_good:
            self._announce(stored.size, plan, chosen, found)
        has_first_numbers = await self._declare(chosen, plan)
        await self._mark(plan)
        await self._protect(found, now)
        if not has_first_numbers:  # with them the pool is looked at again at once, and described then
            await self._describe(chosen, plan, deployed, deployment)

    # Reading.

    def _numbers(self, now: float) -> Numbers:
        return freshness.judge(self._view, now - self._viewed_at)

    async def _read(self) -> Stored:
        installation = self._installation
        why = references.why_refused(self.pool.spec.template, installation.allowance, installation.service_account)
        if why:
            return Stored(outcome=Outcome(PoolReason.REFERENCE_REFUSED, why))
        answer = await self._objects.read_deployment(self.pool)
        if answer.names_no_object:
            return Stored()
        if not answer.is_ok:
            return Stored(outcome=Outcome(PoolReason.REFUSED, answer.message))
        found: Mapping[str, Any] = answer.json()
        if belongs_to(found, self.pool):
            return Stored(found)
        return Stored(outcome=_whose(found, self.pool))

    async def _list_pods(self, now: float) -> bool:
        answer = await self._objects.list_pods(self.pool)
        if not answer.is_ok:
            _log.warning("the pods of a pool were not listed", pool=self.pool.name, why=answer.message)
            return False
        self._pods, self._listed_at = pods.read(answer), now
        known = {pod.name: Guard(protecting.shows_protection(pod.annotations)) for pod in self._pods}
        self._guards = {pod: self._guards.get(pod, guard) for pod, guard in known.items()}
        return True

    # Deciding.

    async def _plan(self, stored: Stored, chosen: Scaling, found: Numbers, now: float) -> Plan:
        current = stored.size
        if current is None:
            return Plan(replicas=chosen.desired)
        shrinks = chosen.desired < current or (chosen.desired == current and self._retirement != NOBODY)
        is_listed = await self._list_pods(now) if shrinks or self._are_pods_due(now) else False
        if not shrinks:
            is_marked = is_listed or self._retirement != NOBODY
            return Plan(replicas=chosen.desired, unmark=retiring.marked(self._pods) if is_marked else ())
        if not is_listed:
            return Plan(replicas=current, retirement=self._retirement, waits_for="its pods could not be listed")
        crew = retiring.crew_of(found.view.soldiers if found.view else ())
        return retiring.plan(chosen.desired, current, self._pods, crew, self._retirement)

    def _are_pods_due(self, now: float) -> bool:
        if self._listed_at is None:
            return True
        return now - self._listed_at > (_PODS_AGAIN_SECONDS if self._is_short else _PODS_EVERY_SECONDS)

    # Acting.

    async def _deploy(self, stored: Stored, replicas: int) -> tuple[Outcome, Mapping[str, Any]]:
        if stored.outcome is not None:
            return stored.outcome, {}
        wanted = deployment_of(self.pool, self._installation, replicas)
        if stored.found is not None and is_like(stored.found, wanted):
            return Outcome(PoolReason.DEPLOYED), stored.found.get("status") or {}
        answer = await self._objects.apply_deployment(self.pool, wanted)
        if not answer.is_ok:
            return Outcome(PoolReason.REFUSED, answer.message), (stored.found or {}).get("status") or {}
        return Outcome(PoolReason.DEPLOYED), answer.json().get("status") or {}

    async def _declare(self, chosen: Scaling, plan: Plan) -> bool:
        """Tell the Commander what is new; True when it gave its first numbers."""
        pool, is_first = self.pool, self._told is None
        wanted = PoolDeclaration(
            paused=pool.spec.paused,
            replicas=chosen.desired,
            max_replicas=sizing.most(pool, chosen),
            retire=tuple(sorted(plan.retirement.asked)),
        )
        self._retirement = plan.retirement
        if self._told == wanted:
            return False
        try:
            async with asyncio.timeout(_TELLING_SECONDS):
                view = await self._commander.declare_pool(pool.namespace, pool.name, wanted)
        except (CommanderAwayError, TimeoutError) as error:
            _log.warning("a pool is not declared yet", pool=pool.name, why=str(error))
            message = "the Commander cannot be reached; it is being tried again"
            self._declared = Outcome(PoolReason.COMMANDER_UNREACHABLE, message)
        except CommanderRefusedError as error:
            self._declared = Outcome(PoolReason.REFUSED, str(error))
        else:
            self._told, self._declared = wanted, Outcome(PoolReason.DECLARED)
            self.take(view)
            return is_first
        return False

    async def _mark(self, plan: Plan) -> None:
        costs: Mapping[str, str | None] = {
            **dict.fromkeys(plan.mark, str(retiring.CHEAPEST)),
            **dict.fromkeys(plan.unmark, self.pool.annotations.get(DELETION_COST)),
        }
        await asyncio.gather(*(self._annotate(pod, {DELETION_COST: cost}) for pod, cost in costs.items()))

    async def _protect(self, found: Numbers, now: float) -> None:
        if found.view is None:
            return
        crew = retiring.crew_of(found.view.soldiers)
        busy = {pod: any(one.busy for one in soldiers) for pod, soldiers in crew.by_pod.items()}
        guards = protecting.watch(self._guards, busy, now)
        changes = protecting.changes(self._guards, guards)
        done = await asyncio.gather(*(self._guard(pod, is_protected) for pod, is_protected in changes.items()))
        failed = {pod for pod, is_done in zip(changes, done, strict=True) if not is_done}
        self._guards = {
            pod: self._guards.get(pod, Guard(False)) if pod in failed else one for pod, one in guards.items()
        }

    async def _guard(self, pod: str, is_protected: bool) -> bool:
        own = self.pool.annotations
        named = {name: value if is_protected else own.get(name) for name, value in protecting.ANNOTATIONS.items()}
        return await self._annotate(pod, named)

    async def _annotate(self, pod: str, annotations: Mapping[str, str | None]) -> bool:
        answer = await self._objects.annotate_pod(self.pool, pod, annotations)
        if not answer.is_ok and not answer.names_no_object:
            _log.warning("a pod was not annotated", pool=self.pool.name, pod=pod, why=answer.message)
        return answer.is_ok or answer.names_no_object

    # Telling.

    def _announce(self, before: int | None, plan: Plan, chosen: Scaling, found: Numbers) -> None:
        self.is_in_transition = bool(plan.waits_for)
        why = wording.reason_of_size(self.pool, chosen, found.demand)
        if before is not None and plan.replicas != before:
            reason = "ScaledOut" if plan.replicas > before else "ScaledIn"
            self._tell(reason, wording.step(before, plan.replicas, why, found.demand))
        if new := sorted(plan.retirement.asked.keys() - self._retirement.asked.keys()):
            self._tell("Retiring", f"{', '.join(new)}: told to finish and take nothing more; {why}")
        if kept := self._kept(plan):
            self._tell("RetirementTakenBack", f"{', '.join(kept)}: told to take missions again; {why}")

    def _kept(self, plan: Plan) -> list[str]:
        """Pods whose soldiers were to retire, and stay after all."""
        there = {pod.name for pod in self._pods if pod.is_active}
        return sorted(there & self._retirement.asked.keys() - plan.retirement.asked.keys())

    def _tell(self, reason: str, note: str, *, is_bad: bool = False) -> None:
        pool = self.pool
        _log.info("scaling", pool=pool.name, decision=reason, why=note)
        self._announcer.tell(
            Regarding(SOLDIER_POOL.kind, pool.namespace, pool.name, pool.uid), reason, note, is_bad=is_bad
        )

    async def _describe(self, chosen: Scaling, plan: Plan, deployed: Outcome, deployment: Mapping[str, Any]) -> None:
        pool = self.pool
        situation = Situation(
            declared=self._declared,
            deployed=deployed,
            numbers=self._numbers(self._clock.monotonic()),
            scaling=chosen,
            waits_for=plan.waits_for,
            deployment=deployment,
            trouble=troubles.find(self._pods, deployment),
        )
        self._is_short = situation.is_short
        self._tell_of_trouble(situation)
        status = status_of(pool, situation, datetime.fromtimestamp(self._clock.now(), UTC))
        if status == pool.status:
            return
        answer = await self._objects.patch_status(pool, status_patch(pool.uid, status))
        if not answer.is_ok and not answer.names_no_object:
            _log.warning("a pool's status was not written", pool=pool.name, why=answer.message)

    def _tell_of_trouble(self, situation: Situation) -> None:
        trouble = situation.trouble if situation.is_short else None
        reason = trouble.reason.value if trouble else ""
        if trouble is not None and reason != self._trouble:
            self._tell(reason, trouble.message, is_bad=True)
        self._trouble = reason


def _whose(found: Mapping[str, Any], pool: Pool) -> Outcome:
    name = found["metadata"]["name"]
    if is_of_earlier(found, pool):
        message = (
            f"the Deployment {name} of an earlier pool of this name is being removed; then this pool makes its own"
        )
        return Outcome(PoolReason.REPLACING, message)
    message = f"a Deployment {name} exists and is not this pool's: delete or rename it, and this pool makes its own"
    return Outcome(PoolReason.NOT_OWNED, message)
