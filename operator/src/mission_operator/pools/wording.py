"""The sentences that say why a pool has as many soldiers as it has."""

from mission_contracts.resources import Autoscaler
from mission_operator.pools.observing import Pool
from mission_operator.pools.scaling import Demand, Scaling


def soldiers(count: int) -> str:
    return "1 soldier" if count == 1 else f"{count} soldiers"


def demand_text(demand: Demand) -> str:
    """What there is to do."""
    parts = (
        _count(demand.ready, "waits", "wait"),
        _count(demand.in_flight, "runs", "run"),
        _count(demand.due_soon, "is due within a minute", "are due within a minute"),
    )
    said = ", ".join(part for part in parts if part)
    if said:
        return f"of its missions {said}"
    if demand.in_broker:
        return f"the broker has {demand.in_broker} orders that the ledger does not count"
    return "no mission waits, runs or is due soon"


def _count(number: int, one: str, many: str) -> str:
    if not number:
        return ""
    return f"1 {one}" if number == 1 else f"{number} {many}"


def step(before: int, after: int, why: str, demand: Demand | None) -> str:
    """One decision, for an Event."""
    oldest = demand.oldest_seconds if demand is not None and demand.oldest_seconds else 0
    waited = f"; the first has waited for {oldest:.0f} s" if oldest >= 1 and after > before else ""
    return f"{before} → {soldiers(after)}; {why}{waited}"


def reason_of_size(pool: Pool, chosen: Scaling, demand: Demand | None) -> str:
    """Why this number."""
    if pool.spec.replicas is not None:
        return f"spec.replicas pins {soldiers(chosen.desired)}; remove it to have the autoscaler choose"
    if pool.spec.paused:
        return f"paused: {soldiers(chosen.desired)} stay, and no mission is handed out"
    if pool.spec.autoscaler is not Autoscaler.BUILT_IN:
        return f"autoscaler {pool.spec.autoscaler}: the number of the Deployment is left as it is"
    if demand is None or chosen.needed is None:
        return f"{soldiers(chosen.desired)}, as before: the numbers are missing"
    return f"{soldiers(chosen.desired)} wanted: {demand_text(demand)}{_beyond(pool, chosen)}"


def _beyond(pool: Pool, chosen: Scaling) -> str:
    needed = chosen.needed or 0
    if not needed and chosen.desired > pool.spec.min_replicas:
        return f"; fewer are enough once that has been so for {pool.spec.idle_seconds} s"
    if not needed:
        return f"; minReplicas is {pool.spec.min_replicas}" if chosen.desired else ""
    worth = f", worth {needed} at {pool.per_soldier} per soldier"
    if needed > pool.spec.max_replicas:
        return f"{worth}; maxReplicas is {pool.spec.max_replicas}"
    if chosen.desired > max(needed, pool.spec.min_replicas):
        return f"{worth}; fewer are enough once they have been for {pool.spec.idle_seconds} s"
    if chosen.desired > needed:
        return f"{worth}; minReplicas is {pool.spec.min_replicas}"
    return worth
