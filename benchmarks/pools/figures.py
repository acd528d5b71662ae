"""What is measured of a pool, as values: seconds by one machine's clock, and what is made of them."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from benchmarks.machine import Machine

SCHEMA: Final = 1
"""Raised when a reader of older files would misread newer ones."""


class ColdStart(msgspec.Struct, frozen=True, kw_only=True):
    """One mission that woke a pool at zero: seconds after its acceptance."""

    pod_created: float
    pod_scheduled: float
    container_running: float
    claimed: float
    """The ledger has it InProgress; the handler's first line is next."""
    ended: float
    """A mission that does nothing has ended, so its handler's first line lies before."""
    pod_ready: float

    @property
    def pods_own(self) -> float:
        """What the pod itself took, from its creation to its readiness."""
        return self.pod_ready - self.pod_created


class ScaleOut(msgspec.Struct, frozen=True, kw_only=True):
    """Many missions at once for a pool at zero: seconds after the acceptance of the first."""

    missions: int
    mission_seconds: float
    soldiers: int
    """As many as maxReplicas allows."""
    concurrency: int
    """Missions at once in each."""
    first_pod_created: float
    all_pods_created: float
    all_pods_ready: float
    all_missions_ended: float


class ScaleIn(msgspec.Struct, frozen=True, kw_only=True):
    """The same pool, down to zero again: seconds after the end of the last mission."""

    idle_seconds: float
    """What the pool was told to wait for; it is part of the others."""
    first_pod_told: float
    last_pod_told: float
    last_pod_gone: float


class PoolFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `system` and `autoscaler` say whose figures they are."""

    schema: int = SCHEMA
    system: str
    autoscaler: str
    taken_at: str
    commit: str
    machine: Machine
    versions: Mapping[str, str]
    cold_starts: Sequence[ColdStart]
    scale_out: ScaleOut
    scale_in: ScaleIn


def spread(starts: Sequence[ColdStart], name: str) -> tuple[float, float]:
    """The median of a moment, and the worst."""
    seconds = [float(getattr(one, name)) for one in starts]
    return statistics.median(seconds), max(seconds)
