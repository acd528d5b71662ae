"""All reading of a Mission object: from the JSON of a watch to the few values that decisions need."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from mission_contracts.mission import MissionId, MissionState
from mission_contracts.resources import ConditionStatus, MissionCondition
from mission_operator.objects import Since, conditions_shown


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What an object's status shows; the ledger's numbers never start below it."""

    state: MissionState
    sequence: int = 0
    epoch: int = 0
    attempt: int = 0
    finished_at: datetime | None = None
    conditions: Mapping[str, Since] = {}

    @property
    def is_accepted(self) -> bool:
        accepted = self.conditions.get(MissionCondition.ACCEPTED)
        return accepted is not None and accepted.status is ConditionStatus.TRUE


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a Mission object."""

    mission_id: MissionId
    namespace: str
    name: str
    generation: int = 1
    resource_version: int = 0
    shown: Shown | None = None
    is_deleting: bool = False
    """Somebody asked for its deletion; a finalizer (none of ours) may still hold it."""
    is_gone: bool = False
    suspend: bool = False
    cancel: bool = False
    ttl_seconds: int | None = None

    @property
    def is_final(self) -> bool:
        return self.shown is not None and self.shown.state.is_final


def observe(body: Mapping[str, Any], *, is_gone: bool = False) -> Observed:
    """Read an object; KeyError or ValueError when it is no Mission that the API server could have stored."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    return Observed(
        mission_id=MissionId(metadata["uid"]),
        namespace=metadata["namespace"],
        name=metadata["name"],
        generation=metadata.get("generation", 1),
        resource_version=int(metadata.get("resourceVersion") or 0),
        shown=_shown(body.get("status")),
        is_deleting="deletionTimestamp" in metadata,
        is_gone=is_gone,
        suspend=spec.get("suspend", False),
        cancel=spec.get("cancel", False),
        ttl_seconds=spec.get("ttlSecondsAfterFinished"),
    )


def shows_end(body: Mapping[str, Any]) -> bool:
    """Tell whether an object's status is final, without reading the rest of it."""
    state = (body.get("status") or {}).get("state")
    return state is not None and MissionState.from_camel(state).is_final


def _shown(status: Mapping[str, Any] | None) -> Shown | None:
    if not status or "state" not in status:
        return None
    return Shown(
        state=MissionState.from_camel(status["state"]),
        sequence=status.get("sequence", 0),
        epoch=status.get("epoch", 0),
        attempt=status.get("attempt", 0),
        finished_at=_moment(status.get("finishedAt")),
        conditions=conditions_shown(status),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
