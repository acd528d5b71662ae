"""Objects of any shape: one that nobody foresaw stays its own affair."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import hostile
from support.operator_builders import NAMESPACE, UID, a_mission, a_status

from mission_contracts.errors import Problem
from mission_contracts.spec import MAX_PAYLOAD_BYTES, MAX_STORED_BYTES
from mission_operator.missions import refusing
from mission_operator.missions.deciding import decide
from mission_operator.missions.index import UNKNOWN
from mission_operator.missions.observing import observe, shows_end
from mission_operator.missions.submitting import submission

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    ["state", "sequence", "epoch", "attempt", "finishedAt", "conditions",
     "suspend", "cancel", "ttlSecondsAfterFinished", "payload", "retry", "type"]
)  # fmt: skip
NAMED = {"name": "odd", "namespace": NAMESPACE, "uid": UID, "resourceVersion": "5"}


@settings(deadline=None)
@given(spec=JSON | st.dictionaries(FIELDS, JSON), status=JSON | st.dictionaries(FIELDS, JSON))
def test_whatever_an_object_holds_it_is_read_decided_on_and_submitted(spec: Any, status: Any) -> None:
    body = {"metadata": NAMED, "spec": spec, "status": status}
    observed = observe(body)
    decide(observed, UNKNOWN)
    assert shows_end(body) == observed.is_final
    if isinstance(spec, dict):
        refusing.why_unfit(body)
        msgspec.json.decode(submission(observed, spec).body)


@pytest.mark.parametrize("moment", ["yesterday", "2026-11-30T06:00:00", 5, None, [], "9999-12-31T23:59:59Z"])
def test_an_end_at_an_odd_moment_is_an_end(moment: Any) -> None:
    observed = observe(a_mission(status=a_status("Completed", 5, finishedAt=moment), ttlSecondsAfterFinished=10))
    assert observed.is_final
    assert observed.shown is not None
    assert observed.shown.finished_at is None or observed.shown.finished_at.tzinfo is not None


@pytest.mark.parametrize("payload", [hostile.nested(63), hostile.nested(63, '{"v":', "}", "1")])
def test_a_payload_that_is_too_deep_is_refused_with_field_and_limit(payload: bytes) -> None:
    why = refusing.why_unfit(a_mission(payload={"v": msgspec.json.decode(payload)}))
    assert why.startswith("payload: ")
    assert "63" in why


def test_a_payload_of_the_greatest_depth_is_not_refused() -> None:
    assert refusing.why_unfit(a_mission(payload={"v": msgspec.json.decode(hostile.nested(62))})) == ""


@pytest.mark.parametrize("character", "<>&\u2028")
def test_a_payload_that_grows_beyond_the_store_is_refused(character: str) -> None:
    size = MAX_PAYLOAD_BYTES // len(character.encode()) - 16
    why = refusing.why_unfit(a_mission(payload={"t": character * size}))
    assert bool(why) == (size * 6 > MAX_STORED_BYTES)
    assert "takes" in why or not why


def test_the_largest_ordinary_payload_is_not_refused() -> None:
    assert refusing.why_unfit(a_mission(payload={"t": "x" * (MAX_PAYLOAD_BYTES - 8)})) == ""


@pytest.mark.parametrize(
    ("field", "detail", "says"),
    [
        (
            "start_after",
            "start_after: Input should be a valid datetime",
            "startAfter: Input should be a valid datetime",
        ),
        ("retry.max_attempts", "retry.max_attempts: too many", "retry.maxAttempts: too many"),
        ("payload", "the payload has 5 bytes", "payload: the payload has 5 bytes"),
        ("payload.max_attempts", "payload.max_attempts: NaN", "payload.max_attempts: NaN"),
        (None, "deadline_seconds is over", "deadlineSeconds is over"),
        ("ordering_key", 'ordering key "start_after" is used', 'orderingKey: ordering key "start_after" is used'),
    ],
)
def test_a_refusal_names_its_field_once_and_as_the_object_spells_it(field: str | None, detail: str, says: str) -> None:
    assert refusing.sentence(Problem(title="", status=422, code="BadField", field=field, detail=detail)) == says
