"""What Missions and SoldierPools have in common as objects: conditions, moments, and how a status is replaced."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from mission_contracts.resources import ConditionStatus


class Since(msgspec.Struct, frozen=True):
    """A condition as the object shows it: what it says, and since when."""

    status: ConditionStatus
    at: datetime


def conditions_shown(status: Mapping[str, Any]) -> Mapping[str, Since]:
    """Read the conditions of a status."""
    return {one["type"]: _since(one) for one in status.get("conditions", ())}


def since(shown: Mapping[str, Since], kind: str, status: ConditionStatus, otherwise: datetime) -> datetime:
    """Say since when a condition has its status: a new reason or message does not move it."""
    before = shown.get(kind)
    return before.at if before is not None and before.status is status else otherwise


def moment_text(moment: datetime) -> str:
    """Write a moment as Kubernetes does, to the millisecond, in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def status_patch(uid: str, status: Mapping[str, Any]) -> bytes:
    """Replace the status of this very object.

    The `test` is what keeps it from hitting a new object of the same name: the API server ignores a `metadata.uid`
    in a merge patch on `/status` (it answers 200 and writes), and refuses this one.
    """
    return msgspec.json.encode(
        (
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": "/status", "value": status},
        )
    )


def _since(condition: Mapping[str, Any]) -> Since:
    return Since(ConditionStatus(condition["status"]), datetime.fromisoformat(condition["lastTransitionTime"]))
