"""Missions that are refused without asking the Commander, and how a refusal is worded on an object. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from mission_contracts.errors import Problem
from mission_contracts.resources import MISSION
from mission_contracts.spec import MAX_STORED_BYTES, RetryPolicy
from mission_contracts.strict_json import MAX_PAYLOAD_DEPTH, is_deeper_than
from mission_operator.screening import UNREADABLE

_ELSEWHERE: Final = "store the data elsewhere and give a reference to it"
_ESCAPED: Final = (b"<", b">", b"&")
_ESCAPE_BYTES: Final = len(b"\\u003c")
_LINE_BREAKS: Final = ("\u2028".encode(), "\u2029".encode())

_CAMEL: Final = {
    name: field.alias
    for model in (MISSION.spec, RetryPolicy)
    for name, field in model.model_fields.items()
    if field.alias is not None and field.alias != name
}
_QUOTED_OR_FIELD: Final = re.compile(rf'"[^"]*"|\b(?:{"|".join(_CAMEL)})\b')


def why_unfit(body: Mapping[str, Any]) -> str:
    """Say why an object cannot be handed to the Commander as it is; empty when it can."""
    if why := body.get(UNREADABLE):
        return f"spec: cannot be read ({why}); make a new Mission without that value"
    payload = (body.get("spec") or {}).get("payload")
    encoded = msgspec.json.encode(payload)
    if is_deeper_than(encoded, MAX_PAYLOAD_DEPTH):
        return (
            f"payload: has more than {MAX_PAYLOAD_DEPTH} objects and arrays within each other, "
            "which is as deep as readers of JSON are sure to go: flatten it, or send the inner part as text"
        )
    stored = stored_bytes(encoded)
    if stored > MAX_STORED_BYTES:
        return (
            f"payload: takes {stored} bytes of the cluster's store, where <, > and & take six each, "
            f"and may take {MAX_STORED_BYTES}: {_ELSEWHERE}"
        )
    return ""


def stored_bytes(encoded: bytes) -> int:
    """Count JSON as the API server writes it: its encoder (Go's) escapes what is special in HTML and JavaScript."""
    escapes = sum(encoded.count(one) for one in _ESCAPED) * (_ESCAPE_BYTES - 1)
    return len(encoded) + escapes + sum(encoded.count(one) * (_ESCAPE_BYTES - len(one)) for one in _LINE_BREAKS)


def sentence(problem: Problem) -> str:
    """Say what the Commander said, in the object's own spelling, and the field's name once."""
    if problem.field is None:
        return _in_camel_case(problem.detail)
    field, detail = problem.field, problem.detail.removeprefix(f"{problem.field}: ")
    if field.split(".")[0] == "payload":
        return f"{field}: {detail}"
    return f"{_in_camel_case(field)}: {_in_camel_case(detail)}"


def _in_camel_case(text: str) -> str:
    """Respell the fields that are named; what is quoted is the user's own."""
    return _QUOTED_OR_FIELD.sub(lambda found: _CAMEL.get(found[0], found[0]), text)
