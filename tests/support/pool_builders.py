"""Values for tests of pools: pools as the operator sees them, their pods, and their soldiers as the Commander does."""

from typing import Any

from mission_contracts.rest import PoolView, SoldierView
from mission_operator.pools.deployment import Installation
from mission_operator.pools.observing import Pool, observe
from mission_operator.pools.pods import ContainerState, Pod, Terminated, Waiting

RUNNING = ContainerState(running={})
INSTALLATION = Installation(
    image="soldier:1",
    commander_url="http://commander",
    client_id="soldier",
    secret_name="s",
    rabbitmq_secret_name="broker",
    service_account="default",
)


def a_pool(name: str = "render", *, status: dict[str, Any] | None = None, **spec: Any) -> Pool:
    metadata = {"uid": "u1", "namespace": "shop", "name": name, "generation": 2}
    return observe({"metadata": metadata, "spec": spec, "status": status})


def a_pod(name: str = "p0", **fields: Any) -> Pod:
    """A pod whose soldier runs, unless its fields say otherwise."""
    told: dict[str, Any] = {"node": "n1", "state": RUNNING, "template": "t1"} | fields
    return Pod(name=name, **told)


def waiting(reason: str, message: str = "") -> ContainerState:
    return ContainerState(waiting=Waiting(reason=reason, message=message))


def ended(exit_code: int, reason: str = "Error", message: str = "") -> ContainerState:
    return ContainerState(terminated=Terminated(exit_code=exit_code, reason=reason, message=message))


def a_soldier_view(pod: str = "p0", *, busy: int = 0, taking: bool = True, beat: int = 1, **fields: Any) -> SoldierView:
    told: dict[str, Any] = {"instance": f"{pod}-i", "slots": 16} | fields
    return SoldierView(pod=pod, busy=busy, taking=taking, beat=beat, **told)


def a_pool_view(*soldiers: SoldierView, **fields: Any) -> PoolView:
    told: dict[str, Any] = {"queued": 0, "waiting": 0, "in_flight": 0, "in_broker": 0} | fields
    return PoolView(namespace="shop", name="render", paused=False, soldiers=soldiers, **told)
