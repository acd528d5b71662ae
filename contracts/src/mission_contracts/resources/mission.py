"""The Mission object: its status, and what the API server holds of its life."""

import math
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from mission_contracts.mission import MissionState
from mission_contracts.resources.conditions import MAX_CONDITIONS, Condition
from mission_contracts.resources.definition import Column, Resource, Rule, unchanged
from mission_contracts.spec import MissionSpec, Model

CHANGEABLE: Final = frozenset({"suspend", "cancel", "ttlSecondsAfterFinished"})
"""All that a living Mission's spec may change."""

FINAL_STATES: Final = tuple(state.camel for state in MissionState if state.is_final)


def _read_state(value: object) -> object:
    return MissionState.from_camel(value) if isinstance(value, str) else value


CamelState = Annotated[
    MissionState,
    BeforeValidator(_read_state),
    PlainSerializer(lambda state: state.camel),
    WithJsonSchema({"type": "string", "enum": [state.camel for state in MissionState]}),
]
"""A state that is read and written in the custom resource's spelling."""


class MissionStatus(Model):
    """Where the mission stands. Only the operator writes it; the API server keeps it from moving backwards."""

    state: Annotated[
        CamelState,
        Field(
            description="Queued, InProgress, Completed, Failed or Cancelled. The last three are final: "
            "a final state never changes."
        ),
    ]
    sequence: Annotated[
        int,
        Field(
            ge=0,
            description="Counts the recorded changes of this mission, with gaps. It never falls, "
            "and the same number always means the same state.",
        ),
    ]
    reason: Annotated[
        str | None,
        Field(
            max_length=128,
            description="One word that says why it is in this state. While it waits, what it waits for: "
            "NoPool, NoHandler, PoolScalingUp, PoolAtMax, WaitingForSoldier, RetryBackoff, Scheduled, LaneBusy, "
            "LaneGap, Suspended, LeaseLost, Released, and CommanderUnreachable or AdmissionPending before "
            "it is accepted. At the end: Completed, GaveUp, AttemptsExhausted, DeadlineExceeded, LanePassed, "
            "Refused, StatusRefused, Cancelled or Deleted.",
        ),
    ] = None
    message: Annotated[
        str | None,
        Field(max_length=32768, description="One sentence for people that says more than the reason."),
    ] = None
    mission_id: Annotated[
        str | None,
        Field(max_length=64, description="The mission's id at the Commander: this object's metadata.uid."),
    ] = None
    attempt: Annotated[
        int | None,
        Field(
            ge=0,
            description="How many attempts have started, counting the one that runs; 0 before the first. "
            "spec.retry.maxAttempts bounds it.",
        ),
    ] = None
    epoch: Annotated[
        int | None,
        Field(
            ge=0,
            description="The fencing number of the newest hand-out to the soldiers. It only grows; "
            "reports of a smaller one are refused.",
        ),
    ] = None
    progress: Annotated[
        int | None,
        Field(
            ge=0,
            le=100,
            description="How much of the attempt is done, in whole percent from 0 to 100, as its handler said. "
            "Absent until it says so.",
        ),
    ] = None
    soldier: Annotated[
        str | None,
        Field(
            max_length=253, description="The soldier that runs it, or ran its last attempt. Absent before the first."
        ),
    ] = None
    queued_at: Annotated[datetime | None, Field(description="When the Commander accepted it.")] = None
    started_at: Annotated[
        datetime | None, Field(description="When its newest attempt was claimed by a soldier. Absent before the first.")
    ] = None
    finished_at: Annotated[datetime | None, Field(description="When its state became final. Absent until then.")] = None
    duration: Annotated[
        str | None,
        Field(
            max_length=32,
            description="How long the last attempt ran, from startedAt to finishedAt, such as 1.23s, 4m05s or 2h03m. "
            "Absent until it is final, and where nothing ever ran.",
        ),
    ] = None
    result: Annotated[
        Any,
        Field(
            description="What the handler returned, as JSON: at most 16 KiB. A handler with more to say stores it "
            "elsewhere and returns a reference. Absent when it returned nothing."
        ),
    ] = None
    trace_id: Annotated[
        str | None, Field(max_length=64, description="The trace (W3C) that its logs and spans belong to.")
    ] = None
    observed_generation: Annotated[
        int | None, Field(ge=0, description="The metadata.generation of the spec that this status answers to.")
    ] = None
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=MAX_CONDITIONS,
            description="Accepted: the Commander took it (False: it was refused). Finished: the state is final, "
            "whichever it is. Succeeded: it is Completed (False: Failed or Cancelled). Wait for Finished, which comes "
            "in every case.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()


def duration_text(seconds: float) -> str:
    """Write a duration as people read it: 0.04s, 1.23s, 4m05s, 2h03m, 3d04h."""
    hundredths = round(max(seconds, 0) * 100)
    if hundredths < 60 * 100:
        return f"{hundredths / 100:.2f}s"
    minutes, second = divmod(hundredths // 100, 60)
    if minutes < 60:
        return f"{minutes}m{second:02d}s"
    hours, minute = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minute:02d}m"
    days, hour = divmod(hours, 24)
    return f"{days}d{hour:02d}h"


def whole_percent(progress: float | None) -> int | None:
    """Round a handler's progress down to what the status shows, so that 100 means all of it."""
    return None if progress is None else min(max(math.floor(progress), 0), 100)


_ANEW: Final = "make a new Mission with another name, or delete this one first (which cancels it)"
_IMMUTABLE: Final = {
    field.alias: field.default is None
    for name, field in MissionSpec.model_fields.items()
    if field.alias is not None and field.alias not in CHANGEABLE and name != "payload"
}
"""Fields, and whether they may be absent. The payload's fields are unknown to the schema, where `==` holds nothing:
the admission policy holds them."""

_RULES: Final = (
    unchanged(
        always=[field for field, may_be_absent in _IMMUTABLE.items() if not may_be_absent],
        optional=[field for field, may_be_absent in _IMMUTABLE.items() if may_be_absent],
        instead=_ANEW,
    ),
    Rule(
        at=("spec",),
        field="cancel",
        holds="!oldSelf.cancel || self.cancel",
        message="cannot be taken back: the mission may have stopped already; make a new Mission instead",
    ),
    Rule(
        at=("spec",),
        field="sequenceNumber",
        holds="!has(self.sequenceNumber) || has(self.orderingKey)",
        message="needs orderingKey: give the lane it counts in, or leave it out",
    ),
    Rule(
        at=("spec", "callback", "url"),
        holds="self.startsWith('https://') || self.startsWith('http://')",
        message="must begin with https:// or http://",
    ),
    Rule(
        holds="!has(oldSelf.status) || has(self.status)",
        field="status",
        message="cannot be removed: it is the record of what happened; delete the Mission to be rid of it",
    ),
    Rule(
        at=("status",),
        field="sequence",
        holds="!has(oldSelf.sequence) || self.sequence >= oldSelf.sequence",
        message="cannot fall: this status is older than the one recorded; read the object again",
    ),
    Rule(
        at=("status",),
        field="state",
        holds="!has(oldSelf.sequence) || self.sequence != oldSelf.sequence || self.state == oldSelf.state",
        message="cannot change while sequence stays the same: a new state needs a greater sequence",
    ),
    Rule(
        at=("status",),
        field="state",
        holds=f"!has(oldSelf.state) || !(oldSelf.state in {list(FINAL_STATES)}) || self.state == oldSelf.state",
        message="a final state cannot change: make a new Mission to run the work again",
    ),
)

MISSION: Final = Resource(
    kind="Mission",
    singular="mission",
    plural="missions",
    short_name="msn",
    description="A Mission is a piece of background work: a soldier of its pool runs the handler of its type with its "
    "payload, at least once, and status tells how it went. Deleting it cancels it.",
    spec=MissionSpec,
    status=MissionStatus,
    rules=_RULES,
    selectable=(".status.state", ".spec.ttlSecondsAfterFinished"),
    columns=(
        Column(name="State", path=".status.state", description="Queued, InProgress, Completed, Failed or Cancelled."),
        Column(name="Type", path=".spec.type", description="Which handler runs it."),
        Column(name="Pool", path=".spec.pool", description="The SoldierPool whose soldiers run it."),
        Column(name="Attempt", path=".status.attempt", kind="integer", description="Attempts that have started."),
        Column(name="Progress", path=".status.progress", kind="integer", description="Percent of the attempt done."),
        Column(name="Duration", path=".status.duration", description="How long its last attempt ran."),
        Column(name="Age", path=".metadata.creationTimestamp", kind="date", description="Since it was created."),
        Column(name="Reason", path=".status.reason", description="Why it is in this state.", wide=True),
        Column(name="Message", path=".status.message", description="The same in a sentence.", wide=True),
    ),
)
