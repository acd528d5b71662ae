"""Soldiers' pods as the API server lists them: only the fields that scaling and troubleshooting look at."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from mission_operator.kube import Answer

CONTAINER: Final = "soldier"
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_TEMPLATE_HASH: Final = "pod-template-hash"
_SOON_RUNNING: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
_OVER: Final = frozenset({"Succeeded", "Failed"})


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    deletion_timestamp: str | None = None


class Condition(msgspec.Struct, frozen=True):
    """A condition of a pod or a Deployment."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class Waiting(msgspec.Struct, frozen=True):
    """A container that does not run yet, or not again yet."""

    reason: str = ""
    message: str = ""


class Terminated(msgspec.Struct, frozen=True, rename="camel"):
    """How a container ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""
    finished_at: datetime | None = None


class ContainerState(msgspec.Struct, frozen=True):
    """One of the three."""

    waiting: Waiting | None = None
    running: dict[str, str] | None = None
    terminated: Terminated | None = None


class _ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()
    restart_count: int = 0


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str = ""


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = ""
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[_ContainerStatus, ...] = ()


class _Pod(msgspec.Struct, frozen=True):
    metadata: _Metadata
    spec: _Spec = _Spec()
    status: _Status = _Status()


class _PodList(msgspec.Struct, frozen=True):
    items: tuple[_Pod, ...] | None = None


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """One soldier's pod at one moment."""

    name: str
    node: str = ""
    phase: str = "Running"
    is_ready: bool = True
    is_leaving: bool = False
    template: str = ""
    """Which version of the Deployment's template it is made from."""
    annotations: Mapping[str, str] = {}
    state: ContainerState | None = None
    """The soldier's container; None while its kubelet has said nothing of it."""
    last_state: ContainerState = ContainerState()
    restarts: int = 0
    unschedulable: str = ""
    """Why no node takes it."""

    @property
    def is_active(self) -> bool:
        """Tell whether it counts as one of its Deployment's pods."""
        return not self.is_leaving and self.phase not in _OVER

    @property
    def cannot_be_busy(self) -> bool:
        """Tell whether its soldier is certain not to run, now or in the next moments.

        One whose container is being made, or has just ended, may run before the cluster has told it to leave, and a
        process that is told so in its first moments does not hear it.
        """
        if not self.node:
            return True
        waiting = self.state.waiting if self.state is not None else None
        return waiting is not None and waiting.reason not in _SOON_RUNNING

    @property
    def deletion_cost(self) -> int:
        try:
            return int(self.annotations.get(DELETION_COST, "0"))
        except ValueError:
            return 0


def read(answer: Answer) -> tuple[Pod, ...]:
    """Read a list of pods."""
    return tuple(_pod(one) for one in answer.read(_PodList).items or ())


def _pod(read: _Pod) -> Pod:
    soldier = next((one for one in read.status.container_statuses if one.name == CONTAINER), None)
    conditions = {one.type: one for one in read.status.conditions}
    ready, scheduled = conditions.get("Ready"), conditions.get("PodScheduled")
    return Pod(
        name=read.metadata.name,
        node=read.spec.node_name,
        phase=read.status.phase,
        is_ready=ready is not None and ready.status == "True",
        is_leaving=read.metadata.deletion_timestamp is not None,
        template=read.metadata.labels.get(_TEMPLATE_HASH, ""),
        annotations=read.metadata.annotations,
        state=soldier.state if soldier else None,
        last_state=soldier.last_state if soldier else ContainerState(),
        restarts=soldier.restart_count if soldier else 0,
        unschedulable=scheduled.message if scheduled is not None and scheduled.reason == "Unschedulable" else "",
    )
