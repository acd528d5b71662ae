"""From the Commander's view to the object's status."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from support.operator_builders import NAME, NAMESPACE, NOON, UID, a_mission, a_status, a_view

from mission_contracts.mission import MissionState, Reason
from mission_contracts.resources import ConditionStatus, MissionStatus
from mission_contracts.rest import MissionView
from mission_operator.missions import status
from mission_operator.missions.observing import observe
from mission_operator.missions.submitting import submission
from mission_operator.objects import Since, status_patch

COMPLETED = a_view(
    MissionState.COMPLETED, 9, reason=Reason.COMPLETED, attempt=2, epoch=5, progress=99.9, soldier="s1",
    started_at=NOON + timedelta(seconds=1), duration_seconds=0.25,
    result=msgspec.Raw(b'{"size":3}'), trace_id="t", message="done",
)  # fmt: skip


def _status_of(view: MissionView, shown: dict[str, Since] | None = None) -> dict[str, Any]:
    rendered = status.status_of(view, generation=4, shown=shown or {}, now=NOON)
    written: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(rendered))
    return written


def _truths(written: dict[str, Any]) -> dict[str, str]:
    return {one["type"]: one["status"] for one in written["conditions"]}


def test_a_status_has_every_field_that_the_view_has() -> None:
    written = _status_of(COMPLETED)
    conditions = written.pop("conditions")
    assert written == {
        "state": "Completed",
        "reason": "Completed",
        "message": "done",
        "missionId": UID,
        "attempt": 2,
        "epoch": 5,
        "sequence": 9,
        "progress": 99,
        "soldier": "s1",
        "queuedAt": "2026-11-21T12:00:00.000Z",
        "startedAt": "2026-11-21T12:00:01.000Z",
        "finishedAt": "2026-11-21T12:00:01.250Z",
        "duration": "0.25s",
        "result": {"size": 3},
        "traceId": "t",
        "observedGeneration": 4,
    }
    assert [one["lastTransitionTime"] for one in conditions] == [
        "2026-11-21T12:00:00.000Z",
        "2026-11-21T12:00:01.250Z",
        "2026-11-21T12:00:01.250Z",
    ]


@pytest.mark.parametrize(
    "view",
    [
        a_view(),
        COMPLETED,
        status.unreachable(UID, NAMESPACE, NAME),
        status.refused(UID, NAMESPACE, NAME, "no", sequence=1, now=NOON),
    ],
    ids=["queued", "completed", "unreachable", "refused"],
)
def test_a_status_is_one_that_the_contract_knows(view: MissionView) -> None:
    MissionStatus.model_validate(_status_of(view))


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (a_view(), ("True", "False", "Unknown")),
        (a_view(MissionState.IN_PROGRESS), ("True", "False", "Unknown")),
        (COMPLETED, ("True", "True", "True")),
        (a_view(MissionState.FAILED, reason=Reason.GAVE_UP), ("True", "True", "False")),
        (a_view(MissionState.CANCELLED, reason=Reason.CANCELLED), ("True", "True", "False")),
        (status.unreachable(UID, NAMESPACE, NAME), ("False", "False", "Unknown")),
        (status.refused(UID, NAMESPACE, NAME, "no", sequence=1, now=NOON), ("False", "True", "False")),
    ],
    ids=["queued", "running", "completed", "failed", "cancelled", "unreachable", "refused"],
)
def test_conditions(view: MissionView, expected: tuple[str, str, str]) -> None:
    assert _truths(_status_of(view)) == dict(zip(("Accepted", "Finished", "Succeeded"), expected, strict=True))


def test_a_conditions_moment_stays_while_its_status_does() -> None:
    earlier = NOON - timedelta(hours=1)
    shown = {
        "Accepted": Since(ConditionStatus.TRUE, earlier),
        "Finished": Since(ConditionStatus.FALSE, earlier),
    }
    accepted, finished, _ = _status_of(COMPLETED, shown)["conditions"]
    assert accepted["lastTransitionTime"] == "2026-11-21T11:00:00.000Z"
    assert finished["lastTransitionTime"] == "2026-11-21T12:00:01.250Z"


def test_a_minimal_status_keeps_the_truth_and_none_of_what_could_be_refused() -> None:
    rendered = status.minimal_status_of(COMPLETED, generation=4, shown={}, now=NOON)
    assert (rendered["state"], rendered["sequence"], rendered["reason"]) == ("Completed", 9, "StatusRefused")
    assert not {"result", "soldier", "progress", "traceId"} & set(rendered)
    assert _truths(rendered)["Succeeded"] == "True"


def test_a_patch_tests_that_it_hits_the_very_object() -> None:
    test, add = msgspec.json.decode(status_patch(UID, {"state": "Queued"}))
    assert test == {"op": "test", "path": "/metadata/uid", "value": UID}
    assert add == {"op": "add", "path": "/status", "value": {"state": "Queued"}}


def test_a_submission_is_the_spec_in_the_rest_spelling_with_the_objects_identity() -> None:
    body = a_mission(startAfter="2026-11-22T00:00:00Z", retry={"maxAttempts": 1}, payload={"maxAttempts": 5})
    pending = submission(observe(body), body["spec"])
    assert msgspec.json.decode(pending.body) == {
        "type": "noop",
        "payload": {"maxAttempts": 5},
        "start_after": "2026-11-22T00:00:00Z",
        "retry": {"max_attempts": 1},
        "namespace": NAMESPACE,
        "name": NAME,
        "mission_id": UID,
        "door": "cluster",
    }


def test_a_submission_carries_what_the_object_shows_already() -> None:
    body = a_mission(status=a_status("InProgress", 8, epoch=3, attempt=2))
    floor = msgspec.json.decode(submission(observe(body), body["spec"]).body)["floor"]
    assert floor == {"state": "IN_PROGRESS", "epoch": 3, "sequence": 8, "attempt": 2}


def test_a_field_that_nobody_knows_reaches_the_commander_which_refuses_it() -> None:
    body = a_mission(colour="blue")
    assert msgspec.json.decode(submission(observe(body), body["spec"]).body)["colour"] == "blue"
