"""How a pool is doing: the Commander's numbers, the Deployment, and what went wrong with either. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from mission_contracts.resources import ConditionStatus, PoolCondition, PoolReason
from mission_contracts.rest import PoolView
from mission_operator.objects import moment_text, since
from mission_operator.pools.deployment import selector_text
from mission_operator.pools.observing import Pool


class Outcome(msgspec.Struct, frozen=True):
    """What became of telling somebody about a pool."""

    reason: PoolReason
    message: str = ""

    @property
    def is_good(self) -> bool:
        return self.reason in {PoolReason.DECLARED, PoolReason.DEPLOYED}


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a pool at one moment."""

    declared: Outcome
    deployed: Outcome
    view: PoolView | None = None
    deployment: Mapping[str, Any] = {}
    """The stored Deployment's status."""

    @property
    def ready(self) -> int:
        """Soldiers that take missions; by the Deployment's word while the Commander's is not to be had."""
        if self.view is None:
            return int(self.deployment.get("readyReplicas", 0))
        return sum(soldier.taking for soldier in self.view.soldiers)


def status_of(pool: Pool, situation: Situation, now: datetime) -> dict[str, Any]:
    """Render the whole status."""
    return {
        "replicas": situation.deployment.get("replicas", 0),
        "ready": situation.ready,
        "desired": pool.wanted,
        "selector": selector_text(pool.name),
        "observedGeneration": pool.generation,
        "conditions": _conditions(pool, situation, now),
    } | _numbers(situation.view)


def _numbers(view: PoolView | None) -> dict[str, Any]:
    if view is None:
        return {}
    return {
        "busy": sum(soldier.busy > 0 for soldier in view.soldiers),
        "queued": view.queued,
        "inFlight": view.in_flight,
    }


def _conditions(pool: Pool, situation: Situation, now: datetime) -> list[dict[str, Any]]:
    found = (
        (PoolCondition.DECLARED, situation.declared, situation.declared.is_good),
        (PoolCondition.DEPLOYED, situation.deployed, situation.deployed.is_good),
        (PoolCondition.READY, *_readiness(pool, situation)),
    )
    return [_condition(pool, kind, outcome, holds, now) for kind, outcome, holds in found]


def _readiness(pool: Pool, situation: Situation) -> tuple[Outcome, bool]:
    if pool.spec.paused:
        return Outcome(PoolReason.PAUSED, "the pool is paused: its missions wait; set spec.paused to false"), False
    if pool.wanted == 0:
        return Outcome(PoolReason.SCALED_TO_ZERO, "no soldier is wanted; missions wait until there is one"), True
    if situation.ready >= pool.wanted:
        return Outcome(PoolReason.SOLDIERS_READY, f"{situation.ready} of {pool.wanted} soldiers take missions"), True
    message = f"{situation.ready} of {pool.wanted} soldiers take missions; look at the Deployment's pods for why"
    return Outcome(PoolReason.SOLDIERS_STARTING, message), False


def _condition(pool: Pool, kind: PoolCondition, outcome: Outcome, holds: bool, now: datetime) -> dict[str, Any]:
    status = ConditionStatus.TRUE if holds else ConditionStatus.FALSE
    return {
        "type": kind.value,
        "status": status.value,
        "reason": outcome.reason.value,
        "message": outcome.message,
        "lastTransitionTime": moment_text(since(pool.conditions, kind, status, otherwise=now)),
        "observedGeneration": pool.generation,
    }
