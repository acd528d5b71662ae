"""How many soldiers a pool shall have, by whoever decides it: its spec, its autoscaler, or nobody. Pure."""

from mission_contracts.resources import Autoscaler
from mission_operator.pools import scaling
from mission_operator.pools.observing import Pool
from mission_operator.pools.scaling import Bounds, Calm, Demand, Scaling


def size(pool: Pool, current: int | None, demand: Demand | None, calm: Calm | None, now: float) -> Scaling:
    """Choose the number; `current` is the Deployment's, None before there is one."""
    before = pool.spec.min_replicas if current is None else current
    if pool.spec.replicas is not None:
        return Scaling(desired=pool.spec.replicas, needed=_needed(pool, demand))
    if pool.spec.paused or pool.spec.autoscaler is not Autoscaler.BUILT_IN:
        return Scaling(desired=before, needed=_needed(pool, demand))
    return scaling.decide(_bounds(pool), before, demand, calm, now)


def most(pool: Pool, chosen: Scaling) -> int:
    """How many soldiers there can be at most, as things are."""
    if pool.spec.replicas is not None or pool.spec.autoscaler is not Autoscaler.BUILT_IN:
        return chosen.desired
    return max(pool.spec.max_replicas, chosen.desired)


def _needed(pool: Pool, demand: Demand | None) -> int | None:
    return None if demand is None else demand.soldiers(pool.per_soldier)


def _bounds(pool: Pool) -> Bounds:
    return Bounds(
        least=pool.spec.min_replicas,
        most=pool.spec.max_replicas,
        per_soldier=pool.per_soldier,
        idle_seconds=pool.spec.idle_seconds,
    )
