"""Parameters that several routes share, with the bounds that the routes check."""

from typing import Final

from mission_commander.api.described.examples import INSTANCE, MISSION_ID
from mission_commander.api.described.operation import Parameter
from mission_commander.api.queries import DEFAULT_PAGE, LONGEST_PAGE
from mission_contracts.envelope import Door
from mission_contracts.mission import MissionState, Reason
from mission_contracts.names import DNS_LABEL_PATTERN
from mission_contracts.rest import IDEMPOTENCY_KEY_HEADER
from mission_contracts.watching import EVENT_ID_PATTERN

_LABEL: Final = {"type": "string", "pattern": DNS_LABEL_PATTERN}
_TRUTH: Final = {"type": "string", "enum": ["true", "false"], "default": "false"}

MISSION: Final = Parameter(name="id", place="path", text="The mission's id.", example=MISSION_ID)
SOLDIER: Final = Parameter(
    name="instance", place="path", text="The instance, as it registered itself.", example=INSTANCE
)
USER: Final = Parameter(name="name", place="path", text="The user's name.", example="anna")
POOL_NAMESPACE: Final = Parameter(
    name="namespace", place="path", text="The pool's namespace.", schema=_LABEL, example="default"
)
POOL_NAME: Final = Parameter(name="name", place="path", text="The pool's name.", schema=_LABEL, example="default")

IDEMPOTENCY_KEY: Final = Parameter(
    name=IDEMPOTENCY_KEY_HEADER,
    place="header",
    text="The same key and body by the same subject give the same mission, however often they are sent; "
    "the same key with another body is refused. Others' keys are others' own.",
    schema={"type": "string", "minLength": 1, "maxLength": 255},
    example="order-4711-thumbnail",
)
LAST_EVENT: Final = Parameter(
    name="Last-Event-ID",
    place="header",
    text="Go on after this event. One that is too old is answered with an event `reset`: read what is shown anew.",
    schema={"type": "string", "pattern": EVENT_ID_PATTERN},
    example="1788086400120-0",
)

NAMESPACE: Final = Parameter(
    name="namespace", place="query", text="Only of this namespace.", schema=_LABEL, example="default"
)
TYPE: Final = Parameter(name="type", place="query", text="Only of this type.", example="resize-image")
POOL: Final = Parameter(name="pool", place="query", text="Only of this pool.", schema=_LABEL, example="default")
STATE: Final = Parameter(
    name="state",
    place="query",
    text="Only in this state.",
    schema={"type": "string", "enum": [one.value for one in MissionState]},
    example="QUEUED",
)
ONE_MISSION: Final = Parameter(name="mission_id", place="query", text="Only of this mission.", example=MISSION_ID)
DOOR: Final = Parameter(
    name="door",
    place="query",
    text="Only those that came in by this door.",
    schema={"type": "string", "enum": [one.value for one in Door]},
    example="rest",
)
REASON: Final = Parameter(
    name="reason",
    place="query",
    text="Only those that ended for this reason.",
    schema={"type": "string", "enum": [one.value for one in Reason]},
    example="AttemptsExhausted",
)
SINCE: Final = Parameter(
    name="since",
    place="query",
    text="Only those that ended at this moment or later.",
    schema={"type": "string", "format": "date-time"},
    example="2026-08-30T08:00:00Z",
)
LIVE: Final = Parameter(name="live", place="query", text="Only those that are not final.", schema=_TRUTH)
UNACKNOWLEDGED: Final = Parameter(
    name="unacknowledged",
    place="query",
    text="Only ended missions of objects whose end nobody acknowledged yet.",
    schema=_TRUTH,
)
CURSOR: Final = Parameter(
    name="cursor", place="query", text="Where the last page stopped: its `cursor`, with the same filters."
)
WAIT: Final = Parameter(
    name="wait",
    place="query",
    text="Answer when the mission is final, or after so many seconds (at most 60), whichever comes first.",
    schema={"type": "string", "pattern": r"^[0-9]{1,6}(\.[0-9]{1,3})?s?$"},
    example="30s",
)
LIMIT: Final = Parameter(
    name="limit",
    place="query",
    text="How many on one page, at most.",
    schema={"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE, "default": DEFAULT_PAGE},
    example=20,
)
