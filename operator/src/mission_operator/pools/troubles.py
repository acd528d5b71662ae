"""What keeps soldiers from coming up, in one sentence, from what the cluster says of the Deployment and its pods."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from mission_contracts.resources import PoolReason
from mission_operator.pools.pods import Pod, Terminated, Waiting

_IMAGE: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
_CONTAINER: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_NO_MEMORY: Final = "OOMKilled"
_LAST_WORDS: Final = 400
_IMAGE_ADVICE: Final = "correct spec.image, or see that nodes may pull it (spec.template.imagePullSecrets)"


class Trouble(msgspec.Struct, frozen=True):
    """Why a soldier does not come up."""

    reason: PoolReason
    message: str


def find(pods: Sequence[Pod], deployment: Mapping[str, Any]) -> Trouble | None:
    """Name the worst trouble; None when soldiers are merely on their way."""
    found = [(pod, trouble) for pod in pods if pod.is_active and (trouble := _of(pod)) is not None]
    if found:
        pod, trouble = min(found, key=lambda one: (_GRAVITY.index(one[1].reason), one[0].name))
        alike = sum(other.reason is trouble.reason for _, other in found)
        others = f" (and {alike - 1} more like it)" if alike > 1 else ""
        return Trouble(trouble.reason, f"pod {pod.name}{others}: {trouble.message}")
    return _of_deployment(deployment)


_GRAVITY: Final = (
    PoolReason.SOLDIERS_CRASHING,
    PoolReason.IMAGE_UNAVAILABLE,
    PoolReason.CONTAINER_REFUSED,
    PoolReason.UNSCHEDULABLE,
)


def _of(pod: Pod) -> Trouble | None:
    if pod.unschedulable:
        return Trouble(PoolReason.UNSCHEDULABLE, f"no node takes it: {pod.unschedulable}")
    if pod.state is None or pod.is_ready:
        return None
    waiting = pod.state.waiting
    if waiting is not None and waiting.reason in _IMAGE:
        return Trouble(PoolReason.IMAGE_UNAVAILABLE, f"{_worded(waiting)}; {_IMAGE_ADVICE}")
    if waiting is not None and waiting.reason in _CONTAINER:
        return Trouble(PoolReason.CONTAINER_REFUSED, f"{_worded(waiting)}; correct the pool's template")
    ended = pod.state.terminated or pod.last_state.terminated
    if ended is None or ended.exit_code == 0:
        return None
    return Trouble(PoolReason.SOLDIERS_CRASHING, _crash(pod, waiting, ended))


def _crash(pod: Pod, waiting: Waiting | None, ended: Terminated) -> str:
    state = waiting.reason if waiting is not None and waiting.reason else ended.reason or "Error"
    why = f"{ended.reason}, " if ended.reason and ended.reason != state else ""
    again = "1 restart" if pod.restarts == 1 else f"{pod.restarts} restarts"
    return f"{state} ({why}exit code {ended.exit_code}, {again}); {_hint(pod, ended)}"


def _hint(pod: Pod, ended: Terminated) -> str:
    if ended.reason == _NO_MEMORY:
        return "it used more memory than it may: raise spec.resources.limits.memory"
    last = _last_line(ended.message)
    return f'it last said: "{last}"' if last else f"see kubectl logs {pod.name} --previous"


def _worded(waiting: Waiting) -> str:
    return f"{waiting.reason}: {_last_line(waiting.message)}" if waiting.message else waiting.reason


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][-_LAST_WORDS:] if lines else ""


def _of_deployment(status: Mapping[str, Any]) -> Trouble | None:
    for condition in status.get("conditions", ()):
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            why = f"{condition.get('reason', '')}: {condition.get('message', '')}"
            return Trouble(PoolReason.PODS_REFUSED, f"the cluster refuses its pods: {why}")
    return None
