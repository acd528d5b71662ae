"""All reading of a Mission object: from the JSON of a watch to the few values that decisions need."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from mission_contracts.mission import GREATEST_NUMBER, MissionId, MissionState
from mission_contracts.resources import ConditionStatus, MissionCondition
from mission_contracts.spec import YEAR_SECONDS
from mission_operator.objects import Since, conditions_shown

_STATES: Final = {state.camel: state for state in MissionState}


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
    """Read an object, whatever an older definition let somebody store in it; what is odd counts as absent."""
    metadata, spec = body["metadata"], _mapping(body.get("spec"))
    return Observed(
        mission_id=MissionId(metadata["uid"]),
        namespace=metadata["namespace"],
        name=metadata["name"],
        generation=_count(metadata.get("generation"), otherwise=1),
        resource_version=int(metadata.get("resourceVersion") or 0),
        shown=_shown(_mapping(body.get("status"))),
        is_deleting="deletionTimestamp" in metadata,
        is_gone=is_gone,
        suspend=spec.get("suspend") is True,
        cancel=spec.get("cancel") is True,
        ttl_seconds=_ttl(spec.get("ttlSecondsAfterFinished")),
    )


def shows_end(body: Mapping[str, Any]) -> bool:
    """Whether an object's status is final, without reading the rest of it."""
    state = _state(_mapping(body.get("status")))
    return state is not None and state.is_final


def sequence_shown(body: Mapping[str, Any]) -> int:
    """Return the sequence of an object's status, without reading the rest of it; -1 where there is none."""
    return _count(_mapping(body.get("status")).get("sequence"), otherwise=-1)


def _shown(status: Mapping[str, Any]) -> Shown | None:
    state = _state(status)
    if state is None:
        return None
    return Shown(
        state=state,
        sequence=_count(status.get("sequence")),
        epoch=_count(status.get("epoch")),
        attempt=_count(status.get("attempt")),
        finished_at=_moment(status.get("finishedAt")),
        conditions=conditions_shown(status),
    )


def _state(status: Mapping[str, Any]) -> MissionState | None:
    return _STATES.get(status["state"]) if isinstance(status.get("state"), str) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: object, otherwise: int = 0) -> int:
    return value if type(value) is int and 0 <= value <= GREATEST_NUMBER else otherwise


def _ttl(value: object) -> int | None:
    return min(value, YEAR_SECONDS) if type(value) is int and value >= 0 else None


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
