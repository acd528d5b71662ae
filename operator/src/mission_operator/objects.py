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
    """Read the conditions of a status; one that is none in form is passed over."""
    listed = status.get("conditions")
    read = [_since(one) for one in (listed if isinstance(listed, list) else ()) if isinstance(one, Mapping)]
    return dict(one for one in read if one is not None)


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


def _since(condition: Mapping[str, Any]) -> tuple[str, Since] | None:
    try:
        at = datetime.fromisoformat(condition["lastTransitionTime"])
        return str(condition["type"]), Since(ConditionStatus(condition["status"]), at)
    except (KeyError, TypeError, ValueError):
        return None
