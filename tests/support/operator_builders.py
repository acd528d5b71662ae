"""Values for tests of the operator: objects as a watch shows them, views as the Commander tells them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from mission_contracts.mission import MissionId, MissionState, Reason
from mission_contracts.resources import API_VERSION
from mission_contracts.rest import MissionView

UID = MissionId("6f9619ff-8b86-4d01-b42d-00cf4fc964ff")
NAMESPACE = "shop"
NAME = "resize"
NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)

Object = dict[str, Any]


def a_mission(
    uid: str = UID,
    *,
    name: str = NAME,
    version: int = 10,
    generation: int = 1,
    status: Object | None = None,
    deleting: bool = False,
    **spec: Any,
) -> Object:
    """A Mission as the API server sends it."""
    metadata: Object = {
        "uid": uid,
        "name": name,
        "namespace": NAMESPACE,
        "generation": generation,
        "resourceVersion": str(version),
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    body: Object = {
        "apiVersion": API_VERSION,
        "kind": "Mission",
        "metadata": metadata,
        "spec": {"type": "noop", "payload": {}} | spec,
    }
    return body if status is None else body | {"status": status}


def a_status(state: str = "Queued", sequence: int = 1, **more: Any) -> Object:
    return {"state": state, "sequence": sequence, **more}


def a_view(
    state: MissionState = MissionState.QUEUED,
    sequence: int = 1,
    *,
    reason: str = Reason.WAITING_FOR_SOLDIER,
    mission_id: str = UID,
    **more: Any,
) -> MissionView:
    """A mission as the Commander shows it, accepted at noon; a final one ended 1.25 s later."""
    told: Object = {"name": NAME, "queued_at": NOON}
    if state.is_final:
        told["finished_at"] = NOON + timedelta(seconds=1.25)
    return MissionView(
        mission_id=MissionId(mission_id),
        namespace=NAMESPACE,
        type="noop",
        pool="default",
        state=state,
        reason=reason,
        sequence=sequence,
        **(told | more),
    )
