"""From the Commander's view of a mission to the status of its object. Pure.

The views that the operator makes itself (refused, Commander unreachable) take the same way.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from msgspec import structs

from mission_contracts.mission import MissionId, MissionState, Reason
from mission_contracts.resources import ConditionStatus, MissionCondition, duration_text, whole_percent
from mission_contracts.rest import MissionView
from mission_contracts.text import encodable, truncate
from mission_operator.objects import Since, moment_text, since

_MAX_MESSAGE_BYTES: Final = 1024
_STATUS_REFUSED: Final = "the API server refused the full status; ask the Commander for the result"
_NOT_ACCEPTED: Final = frozenset({Reason.REFUSED, Reason.COMMANDER_UNREACHABLE, Reason.ADMISSION_PENDING})

Status = dict[str, Any]


def status_of(view: MissionView, *, generation: int, shown: Mapping[str, Since], now: datetime) -> Status:
    """Render the whole status; what is absent in the view is absent in the object."""
    return _without_blanks(
        _identity(view)
        | {
            "soldier": view.soldier,
            "traceId": view.trace_id,
            "message": _message(view),
            "progress": whole_percent(view.progress),
            "result": view.result or None,
            "observedGeneration": generation or None,
            "conditions": _conditions(view, generation, shown, now),
        }
    )


def minimal_status_of(view: MissionView, *, generation: int, shown: Mapping[str, Since], now: datetime) -> Status:
    """Render what the API server cannot find fault with: it refused the whole status of this view."""
    return _without_blanks(
        _identity(view)
        | {
            "reason": Reason.STATUS_REFUSED.value,
            "message": _STATUS_REFUSED,
            "observedGeneration": generation or None,
            "conditions": _conditions(structs.replace(view, message=_STATUS_REFUSED), generation, shown, now),
        }
    )


def bare_status_of(view: MissionView, *, shown: Mapping[str, Since], now: datetime) -> Status:
    """Render what tools wait for and nothing else, some 200 bytes: the object has no room for more."""
    at = (view.finished_at if view.state.is_final else view.queued_at) or now
    finished = {
        "type": MissionCondition.FINISHED.value,
        "status": _truth(view.state.is_final).value,
        "reason": Reason.STATUS_REFUSED.value,
        "lastTransitionTime": moment_text(since(shown, MissionCondition.FINISHED, _truth(view.state.is_final), at)),
    }
    return {
        "state": view.state.camel,
        "reason": Reason.STATUS_REFUSED.value,
        "sequence": view.sequence,
        "conditions": [finished],
    }


def refused(mission_id: MissionId, namespace: str, name: str, why: str, *, sequence: int, now: datetime) -> MissionView:
    """Show a mission that the Commander will never take."""
    return MissionView(
        mission_id=mission_id,
        namespace=namespace,
        name=name,
        type="",
        pool="",
        state=MissionState.FAILED,
        reason=Reason.REFUSED,
        message=why,
        sequence=sequence,
        finished_at=now,
    )


def unreachable(mission_id: MissionId, namespace: str, name: str) -> MissionView:
    """Show a mission that waits for the Commander."""
    message = "the Commander cannot be reached; the mission is handed over as soon as it answers"
    return _not_accepted_yet(mission_id, namespace, name, Reason.COMMANDER_UNREACHABLE, message)


def not_admitted_yet(mission_id: MissionId, namespace: str, name: str, why: str) -> MissionView:
    """Show a mission that the Commander does not take for now."""
    message = f"{why}; the mission is submitted again by itself"
    return _not_accepted_yet(mission_id, namespace, name, Reason.ADMISSION_PENDING, message)


def _not_accepted_yet(mission_id: MissionId, namespace: str, name: str, reason: Reason, message: str) -> MissionView:
    """Sequence 0 is below any number that a ledger gives."""
    return MissionView(
        mission_id=mission_id,
        namespace=namespace,
        name=name,
        type="",
        pool="",
        state=MissionState.QUEUED,
        reason=reason,
        message=message,
        sequence=0,
    )


def _identity(view: MissionView) -> Status:
    return {
        "state": view.state.camel,
        "reason": str(view.reason),
        "missionId": view.mission_id,
        "attempt": view.attempt,
        "epoch": view.epoch or None,
        "sequence": view.sequence,
        "queuedAt": _text(view.queued_at),
        "startedAt": _text(view.started_at),
        "finishedAt": _text(view.finished_at),
        "duration": _duration(view),
    }


def _duration(view: MissionView) -> str | None:
    return None if view.duration_seconds is None else duration_text(view.duration_seconds)


def _conditions(view: MissionView, generation: int, shown: Mapping[str, Since], now: datetime) -> list[Status]:
    return [
        _condition(kind, status, at, view=view, generation=generation, shown=shown)
        for kind, status, at in _aspects(view, now)
    ]


def _aspects(view: MissionView, now: datetime) -> tuple[tuple[MissionCondition, ConditionStatus, datetime], ...]:
    is_accepted = view.reason not in _NOT_ACCEPTED
    queued_at, ended_at = view.queued_at or now, view.finished_at or now
    accepted = (MissionCondition.ACCEPTED, _truth(is_accepted), queued_at)
    if not view.state.is_final:
        return (
            accepted,
            (MissionCondition.FINISHED, ConditionStatus.FALSE, queued_at),
            (MissionCondition.SUCCEEDED, ConditionStatus.UNKNOWN, queued_at),
        )
    succeeded = _truth(view.state is MissionState.COMPLETED)
    return (
        accepted,
        (MissionCondition.FINISHED, ConditionStatus.TRUE, ended_at),
        (MissionCondition.SUCCEEDED, succeeded, ended_at),
    )


def _condition(
    kind: MissionCondition,
    status: ConditionStatus,
    at: datetime,
    *,
    view: MissionView,
    generation: int,
    shown: Mapping[str, Since],
) -> Status:
    last_changed = since(shown, kind, status, otherwise=at)
    is_told_here = kind is not MissionCondition.ACCEPTED or view.reason in _NOT_ACCEPTED
    return _without_blanks(
        {
            "type": kind.value,
            "status": status.value,
            "reason": str(view.reason) if is_told_here else Reason.ACCEPTED.value,
            "message": _message(view) if is_told_here else "",
            "lastTransitionTime": moment_text(last_changed),
            "observedGeneration": generation or None,
        }
    )


def _message(view: MissionView) -> str:
    return truncate(encodable(view.message), _MAX_MESSAGE_BYTES)


def _truth(value: bool) -> ConditionStatus:
    return ConditionStatus.TRUE if value else ConditionStatus.FALSE


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment_text(moment)


def _without_blanks(status: Status) -> Status:
    return {name: value for name, value in status.items() if value is not None and value != ""}
