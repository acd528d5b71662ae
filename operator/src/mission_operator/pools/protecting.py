"""Keeping nodes from being taken away under busy soldiers, with as few writes as that needs.

A soldier that is busy at every look for a while is protected; one that is idle at every look for a longer while is
not any more. Short missions change nothing: a soldier that is told to leave has time to finish those.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

BUSY_SECONDS: Final = 5.0
IDLE_SECONDS: Final = 30.0
ANNOTATIONS: Final = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}
"""What the two common node autoscalers heed."""


class Guard(msgspec.Struct, frozen=True):
    """Whether a pod is protected, and since when its soldier has been the other way than that."""

    is_protected: bool
    differs_since: float | None = None


Guards = Mapping[str, Guard]


def shows_protection(annotations: Mapping[str, str]) -> bool:
    return all(annotations.get(name) == value for name, value in ANNOTATIONS.items())


def watch(guards: Guards, busy: Mapping[str, bool], now: float) -> Guards:
    """Look at who is busy; pods that nobody speaks of keep what they have."""
    return {pod: _next(guards.get(pod, Guard(False)), busy.get(pod), now) for pod in {**guards, **busy}}


def changes(before: Guards, after: Guards) -> Mapping[str, bool]:
    """Which pods are to be protected or freed."""
    return {
        pod: guard.is_protected
        for pod, guard in after.items()
        if guard.is_protected is not before.get(pod, Guard(False)).is_protected
    }


def _next(guard: Guard, is_busy: bool | None, now: float) -> Guard:
    if is_busy is None or is_busy is guard.is_protected:
        return Guard(guard.is_protected)
    since = now if guard.differs_since is None else guard.differs_since
    patience = BUSY_SECONDS if is_busy else IDLE_SECONDS
    return Guard(is_busy) if now - since >= patience else Guard(guard.is_protected, since)
