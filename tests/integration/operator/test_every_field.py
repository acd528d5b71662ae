"""Whatever a Mission's spec holds that the API server admits: it ends, takes a label, and goes when it is deleted."""

from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.operator_stage import Objects, Stage

from mission_contracts.resources import API_VERSION

pytestmark = [pytest.mark.kube, pytest.mark.timeout(300)]

Object = dict[str, Any]
FINALIZER = "example.com/held"
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)
NUMBERS = st.sampled_from([0, 1, 0.001, 1e-9, 5e-324, 86_400, 2_592_000, 31_622_400, 2**53, 2**63 - 1, 1e308, -1])
MOMENTS = [
    "2026-11-30t06:00:00z",
    "2030-02-31T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "2020-01-01T00:00:00.123456789+14:00",
]
KEYS = ["é" * 253, "\x00", "<&>", "x" * 253, " "]
RETRY = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(["maxAttempts", "initialDelaySeconds", "multiplier", "maxDelaySeconds"], NUMBERS)
)
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "pool": st.sampled_from(["default", "a" * 63, "no-such-pool"]),
    "startAfter": st.sampled_from(MOMENTS),
    "timeoutSeconds": NUMBERS,
    "deadlineSeconds": NUMBERS,
    "retry": RETRY,
    "priority": st.sampled_from(["Normal", "High"]),
    "orderingKey": TEXT | st.sampled_from(KEYS),
    "sequenceNumber": NUMBERS,
    "suspend": st.booleans(),
    "cancel": st.booleans(),
    "ttlSecondsAfterFinished": st.sampled_from([31_622_400, 86_400]),
    "runPolicy": st.sampled_from(["PerObject", "Once"]),
    "callback": st.fixed_dictionaries({"url": st.sampled_from(["https://example.com/", "http://[", "https://é"])}),
}
SPECS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["noop", "a/b", "x" * 128, "a.b_c-d"]),
        "payload": st.dictionaries(TEXT, JSON, max_size=4),
    },
    optional=OPTIONS,
)
FIELDS = {"type", "payload", *OPTIONS}
ONE_BY_ONE: list[Object] = [
    *({"startAfter": moment} for moment in MOMENTS),
    *({"orderingKey": key, "sequenceNumber": 2**53} for key in KEYS),
    *({"timeoutSeconds": number, "deadlineSeconds": number} for number in (5e-324, 1e-9, 2_592_000)),
    {"retry": {"maxAttempts": 100, "initialDelaySeconds": 0, "multiplier": 10, "maxDelaySeconds": 86_400}},
    *({"callback": {"url": url}} for url in ("https://example.com/", "http://[", "https://é", "http://")),
    {"runPolicy": "Once"},
]


def some_specs(count: int) -> list[Object]:
    """Specs that differ in every field."""
    specs: list[Object] = []

    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate])
    @given(SPECS)
    def collect(spec: Object) -> None:
        specs.append(spec)

    collect()
    return specs


async def test_it_ends_takes_a_label_and_goes(stage: Stage) -> None:
    stage.commander.finishes_at_once = True
    operator = await stage.operator()
    objects = stage.objects
    specs = dict(enumerate([*({"type": "noop", "payload": {}} | one for one in ONE_BY_ONE), *some_specs(150)]))
    admitted = {number: spec for number, spec in specs.items() if await _is_admitted(objects, f"m{number}", spec)}
    assert {field for spec in admitted.values() for field in spec} == FIELDS, "each field is there in one at least"
    for number in admitted:
        name = f"m{number}"
        await objects.until_status("missions", name, _is_finished, f"{name} is finished")
        await objects.patch("missions", name, {"metadata": {"labels": {"seen": "yes"}}})
        await objects.patch("missions", name, {"spec": {"cancel": True}})
        await objects.delete("missions", name)
        await objects.patch("missions", name, {"metadata": {"finalizers": []}})
    assert await objects.all("missions") == {}
    assert operator.is_running
    assert "passed over" not in operator.said


async def _is_admitted(objects: Objects, name: str, spec: Object) -> bool:
    metadata = {"name": name, "finalizers": [FINALIZER]}
    body = {"apiVersion": API_VERSION, "kind": "Mission", "metadata": metadata, "spec": spec}
    return await objects.store("missions", msgspec.json.encode(body))


def _is_finished(status: Object) -> bool:
    conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
    return conditions.get("Finished") == "True" and bool(status["state"])
