"""How each sample mission should end: a demo that shows something else has failed, however pretty it was."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

ENDINGS: Final[Mapping[str, tuple[str, str]]] = {
    "hello": ("Completed", "Completed"),
    "progress-1": ("Completed", "Completed"),
    "progress-2": ("Completed", "Completed"),
    "progress-3": ("Completed", "Completed"),
    "urgent": ("Completed", "Completed"),
    "retry": ("Failed", "AttemptsExhausted"),
    "fails": ("Failed", "AttemptsExhausted"),
    "bounded": ("Failed", "AttemptsExhausted"),
    "cancelled": ("Cancelled", "Cancelled"),
    "refused": ("Failed", "Refused"),
    "account-7-open": ("Completed", "Completed"),
    "account-7-deposit": ("Completed", "Completed"),
    "account-7-close": ("Completed", "Completed"),
}
"""State and reason of every mission in manifests/samples."""


def surprises(objects: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name every sample that ended otherwise, or is not there."""
    found = {one["metadata"]["name"]: _ending(one.get("status", {})) for one in objects}
    return [
        f"{name} should end as {' '.join(wanted)}, but is {' '.join(found.get(name, ('absent',)))}"
        for name, wanted in ENDINGS.items()
        if found.get(name) != wanted
    ]


def _ending(status: Mapping[str, Any]) -> tuple[str, str]:
    return status.get("state", "without a state"), status.get("reason", "and without a reason")
