"""What one can ask for: one model, read in camelCase from a Mission object and in snake_case over REST."""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from mission_contracts.clock import utc_text
from mission_contracts.mission import Priority, RunPolicy
from mission_contracts.names import DNS_LABEL_PATTERN, MOMENT_PATTERN, SENTENCES, TYPE_PATTERN

MAX_PAYLOAD_BYTES: Final = 256 * 1024
MAX_STORED_BYTES: Final = 1024 * 1024
"""Of an object's payload and annotations, as the cluster stores them: `<`, `>` and `&` take six bytes each there.

The store takes 1.5 MiB per object. What is left is for the status, the result in it, and who wrote which field.
"""
MAX_RESULT_BYTES: Final = 16 * 1024
DAY_SECONDS: Final = 86_400
YEAR_SECONDS: Final = 366 * DAY_SECONDS

_MOMENT: Final = re.compile(MOMENT_PATTERN)


def _moment(value: object) -> object:
    """Read the texts that the API server takes, and nothing else: not 1700000000, nor a date without its zone."""
    if not isinstance(value, str):
        return value
    if not _MOMENT.fullmatch(value):
        raise ValueError(SENTENCES[MOMENT_PATTERN])
    return datetime.fromisoformat(value.upper())


def _whole(value: object) -> object:
    """Read 5.0 as the integer 5, as the API server does, also where types are strict."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE: Final = BeforeValidator(_whole)
"""Behind the bounds of an integer: 5.0 is 5."""

Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "pattern": MOMENT_PATTERN, "maxLength": 35}, mode="validation"),
]
"""A moment in an object's spec. Not `format: date-time`: the API server admits texts by that format which its rules
cannot read (2030-01-31t08:00:00z), and then refuses every later update of the object, that of its status included."""


class Model(BaseModel):
    """A frozen value that knows both spellings of its fields and refuses unknown ones."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, frozen=True, extra="forbid"
    )


class RetryPolicy(Model):
    """How often a mission is tried, and how long it waits between two attempts."""

    max_attempts: Annotated[int, Field(ge=1, le=100), WHOLE] = Field(
        default=3, description="How many attempts a mission has before it fails. Default 3, from 1 to 100."
    )
    initial_delay_seconds: Annotated[float, Field(ge=0, le=DAY_SECONDS)] = Field(
        default=1,
        description="Longest wait before the second attempt, in seconds. Default 1, from 0 to 86400. "
        "Waits are drawn at random between 0 and this bound, so that retries do not arrive together.",
    )
    multiplier: Annotated[float, Field(ge=1, le=10)] = Field(
        default=2, description="The bound grows by this factor with each attempt. Default 2, from 1 to 10."
    )
    max_delay_seconds: Annotated[float, Field(ge=0, le=DAY_SECONDS)] = Field(
        default=300, description="The bound never exceeds this many seconds. Default 300, from 0 to 86400."
    )


class Callback(Model):
    """Whom to tell when the mission is final."""

    url: Annotated[
        HttpUrl,
        Field(
            description="An http or https address that the final status is sent to, by POST. "
            "At most 2083 characters. The mission's outcome does not depend on the answer."
        ),
    ]


class MissionSpec(Model):
    """The work asked for. All of it is immutable but suspend, cancel and ttlSecondsAfterFinished."""

    type: Annotated[
        str,
        Field(
            pattern=TYPE_PATTERN,
            max_length=128,
            description="Which handler runs the mission, by the name it was registered under. "
            "Letters, digits and -_./, at most 128 characters. "
            "A type that no soldier of the pool handles waits with reason NoHandler.",
        ),
    ]
    payload: Annotated[
        dict[str, Any],
        Field(
            description="The handler's input: any JSON object, at most 256 KiB. "
            "Required: {} when there is nothing to say. Larger input belongs in a store, with a reference here. "
            "(A key whose value is null gets lost in `kubectl apply`, but not in `kubectl apply --server-side`.)",
        ),
    ]
    pool: Annotated[str, Field(pattern=DNS_LABEL_PATTERN, max_length=63)] = Field(
        default="default",
        description="The SoldierPool of the same namespace whose soldiers run it: a DNS label, at most 63 characters. "
        "Default: default. A pool that does not exist yet is waited for with reason NoPool.",
    )
    start_after: Moment | None = Field(
        default=None,
        description="The earliest moment to start, in RFC 3339 with its zone, such as 2030-01-31T08:00:00Z. "
        "Default: at once. It waits with reason Scheduled. A moment beyond the deadline is refused.",
    )
    timeout_seconds: Annotated[float, Field(gt=0, le=30 * DAY_SECONDS)] = Field(
        default=3600,
        description="How long one attempt may run, in seconds. Default 3600, at most 2592000 (30 days). "
        "An attempt that takes longer is stopped and counts as failed.",
    )
    deadline_seconds: Annotated[float, Field(gt=0, le=YEAR_SECONDS)] = Field(
        default=DAY_SECONDS,
        description="How long the mission may take in all, in seconds from its acceptance: waiting, attempts, retries. "
        "Default 86400 (a day), at most 31622400. Then it fails with reason DeadlineExceeded.",
    )
    retry: RetryPolicy = Field(
        default_factory=RetryPolicy,
        description="How often it is tried, and how long it waits between attempts.",
    )
    priority: Priority = Field(
        default=Priority.NORMAL,
        description="High overtakes Normal in the same pool. Default: Normal.",
    )
    ordering_key: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        default=None,
        description="Missions of one pool with the same key run one at a time, in order; whoever has the turn keeps "
        "it until it is final, also while it is retried, suspended or scheduled. The others wait with reason "
        "LaneBusy. At most 253 characters. Default: no order.",
    )
    sequence_number: Annotated[int, Field(ge=1, le=2**53), WHOLE] | None = Field(
        default=None,
        description="The mission's place in its ordering key's lane, from 1. Needs orderingKey. "
        "A number that is missing is waited for with reason LaneGap, for 300 s unless the Commander is set otherwise; "
        "one that the lane has passed fails with reason LanePassed. "
        "Default: the order of arrival. One key uses numbers for all of its missions, or for none.",
    )
    suspend: bool = Field(
        default=False,
        description="true keeps a mission that has not started from starting; false lets it go on. Default: false.",
    )
    cancel: bool = Field(
        default=False,
        description="true cancels the mission: at once while it waits, as soon as its handler stops while it runs. "
        "It cannot be taken back. Default: false.",
    )
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=YEAR_SECONDS), WHOLE] | None = Field(
        default=None,
        description="Delete the object this many seconds after it finished. Default: keep it. At most 31622400.",
    )
    run_policy: RunPolicy = Field(
        default=RunPolicy.PER_OBJECT,
        description="PerObject: each object is work of its own, also one with an earlier object's name. "
        "Once: an object of this name in this namespace runs once, also when it is deleted and applied again. "
        "Default: PerObject.",
    )
    callback: Callback | None = Field(
        default=None, description="Whom to tell when the mission is final. Default: nobody."
    )

    @model_validator(mode="after")
    def _number_needs_a_lane(self) -> Self:
        if self.sequence_number is not None and self.ordering_key is None:
            raise ValueError("sequenceNumber needs orderingKey: give the lane it counts in, or leave it out")
        return self


def refusal(spec: MissionSpec, now: float) -> str | None:
    """Say why a mission that is well-formed cannot be accepted at this moment (Unix seconds); None when it can."""
    return _not_served(spec) or _never_starts(spec, now)


def _not_served(spec: MissionSpec) -> str | None:
    """A promise that this release cannot keep is refused, never ignored."""
    asked = {
        "callback": spec.callback is not None,
        "runPolicy Once": spec.run_policy is RunPolicy.ONCE,
    }
    names = [name for name, is_asked in asked.items() if is_asked]
    return f"this release does not serve {' nor '.join(names)} yet: leave it out for now" if names else None


def _never_starts(spec: MissionSpec, now: float) -> str | None:
    if spec.start_after is None:
        return None
    deadline = now + spec.deadline_seconds
    if spec.start_after.timestamp() < deadline:
        return None
    return (
        f"startAfter {utc_text(spec.start_after.timestamp())} lies beyond the deadline {utc_text(deadline)}, "
        "so the mission could never start: name an earlier startAfter, or raise deadlineSeconds"
    )
