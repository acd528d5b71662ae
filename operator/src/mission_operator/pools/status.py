"""How a pool is doing: the Commander's numbers, the Deployment, and what went wrong with either. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from mission_contracts.resources import Autoscaler, ConditionStatus, PoolCondition, PoolReason
from mission_contracts.rest import PoolView
from mission_operator.objects import moment_text, since
from mission_operator.pools import wording
from mission_operator.pools.deployment import name_of, selector_text
from mission_operator.pools.freshness import Numbers
from mission_operator.pools.observing import Pool
from mission_operator.pools.scaling import Scaling
from mission_operator.pools.troubles import Trouble

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


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
    numbers: Numbers
    scaling: Scaling
    waits_for: str = ""
    """Why there are more soldiers than wanted."""
    deployment: Mapping[str, Any] = {}
    """The stored Deployment's status."""
    trouble: Trouble | None = None

    @property
    def ready(self) -> int:
        """Soldiers that take missions; by the Deployment's word while the Commander's is not to be had."""
        view = self.numbers.view
        if view is None:
            return int(self.deployment.get("readyReplicas", 0))
        return sum(soldier.taking for soldier in view.soldiers)

    @property
    def is_short(self) -> bool:
        """Tell whether fewer soldiers take missions than are wanted."""
        return self.ready < self.scaling.desired


_Said = tuple[ConditionStatus, PoolReason, str]


def status_of(pool: Pool, situation: Situation, now: datetime) -> dict[str, Any]:
    """Render the whole status."""
    return {
        "replicas": situation.deployment.get("replicas", 0),
        "ready": situation.ready,
        "desired": situation.scaling.desired,
        "selector": selector_text(pool.name),
        "observedGeneration": pool.generation,
        "conditions": _conditions(pool, situation, now),
    } | _counted(situation.numbers.view)


def _counted(view: PoolView | None) -> dict[str, Any]:
    if view is None:
        return {}
    return {
        "busy": sum(soldier.busy > 0 for soldier in view.soldiers),
        "queued": view.queued,
        "inFlight": view.in_flight,
    }


def _conditions(pool: Pool, situation: Situation, now: datetime) -> list[dict[str, Any]]:
    found: Mapping[PoolCondition, _Said] = {
        PoolCondition.DECLARED: _outcome(situation.declared, "the Commander knows the pool, and its queues exist"),
        PoolCondition.DEPLOYED: _outcome(
            situation.deployed, f"the Deployment {name_of(pool.name)} is as the spec asks"
        ),
        PoolCondition.READY: _readiness(pool, situation),
        PoolCondition.ACTIVE: _activity(pool, situation),
        PoolCondition.SCALING_LIMITED: _limit(pool, situation),
        PoolCondition.METRICS_STALE: _staleness(situation.numbers),
    }
    return [_condition(pool, kind, said, now) for kind, said in found.items()]


def _outcome(outcome: Outcome, when_good: str) -> _Said:
    return (TRUE, outcome.reason, when_good) if outcome.is_good else (FALSE, outcome.reason, outcome.message)


def _readiness(pool: Pool, situation: Situation) -> _Said:
    ready, wanted = situation.ready, situation.scaling.desired
    if pool.spec.paused:
        return FALSE, PoolReason.PAUSED, "the pool is paused: its missions wait; set spec.paused to false"
    if wanted == 0:
        return TRUE, PoolReason.SCALED_TO_ZERO, "no soldier is wanted; missions wait until there is one"
    count = f"{ready} of {wanted} soldiers take missions"
    if not situation.is_short:
        return TRUE, PoolReason.SOLDIERS_READY, count
    if situation.trouble is not None:
        return FALSE, situation.trouble.reason, f"{count}; {situation.trouble.message}"
    return FALSE, PoolReason.SOLDIERS_STARTING, f"{count}; the others are on their way"


def _activity(pool: Pool, situation: Situation) -> _Said:
    demand = situation.numbers.demand
    why = wording.reason_of_size(pool, situation.scaling, demand)
    message = f"{why}; {situation.waits_for}" if situation.waits_for else why
    if demand is None:
        return UNKNOWN, situation.numbers.doubt or PoolReason.NUMBERS_OLD, message
    if demand.is_none:
        return FALSE, PoolReason.NOTHING_TO_DO, message
    return TRUE, PoolReason.MISSIONS_TO_RUN, message


_KEDA: Final = (
    "autoscaler KEDA is not served yet: the number of soldiers is left as it is; use BuiltIn, or set spec.replicas"
)
_NONE: Final = "autoscaler None: the number of soldiers is left as it is; set spec.replicas to change it"


def _limit(pool: Pool, situation: Situation) -> _Said:
    needed, spec = situation.scaling.needed, pool.spec
    if needed is None:
        return UNKNOWN, situation.numbers.doubt or PoolReason.NUMBERS_OLD, "what is needed is not known now"
    worth = f"the missions there are would be worth {wording.soldiers(needed)}"
    if spec.replicas is not None:
        if needed > spec.replicas:
            return TRUE, PoolReason.PINNED, f"{worth}; spec.replicas pins {spec.replicas}"
        return FALSE, PoolReason.WITHIN_BOUNDS, "as many as are needed are pinned"
    if spec.autoscaler is not Autoscaler.BUILT_IN:
        return FALSE, PoolReason.NOT_AUTOMATIC, _KEDA if spec.autoscaler is Autoscaler.KEDA else _NONE
    if needed > spec.max_replicas:
        return TRUE, PoolReason.AT_MAXIMUM, f"{worth}; maxReplicas is {spec.max_replicas}"
    return FALSE, PoolReason.WITHIN_BOUNDS, "no more are needed than maxReplicas allows"


def _staleness(numbers: Numbers) -> _Said:
    if numbers.doubt is None:
        return FALSE, PoolReason.NUMBERS_FRESH, "the Commander's numbers are fresh, and the broker's were asked for"
    return TRUE, numbers.doubt, numbers.message


def _condition(pool: Pool, kind: PoolCondition, said: _Said, now: datetime) -> dict[str, Any]:
    status, reason, message = said
    return {
        "type": kind.value,
        "status": status.value,
        "reason": reason.value,
        "message": message,
        "lastTransitionTime": moment_text(since(pool.conditions, kind, status, otherwise=now)),
        "observedGeneration": pool.generation,
    }
