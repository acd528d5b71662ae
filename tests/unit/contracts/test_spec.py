"""What one can ask for: read in both spellings, refused with the field's name."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from mission_contracts.envelope import Envelope, Retry
from mission_contracts.mission import MissionId, Priority, RunPolicy
from mission_contracts.spec import DAY_SECONDS, MissionSpec, RetryPolicy, refusal

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def a_spec(**fields: Any) -> MissionSpec:
    return MissionSpec.model_validate({"type": "noop", "payload": {}, **fields})


def test_both_spellings_are_read() -> None:
    camel = a_spec(timeoutSeconds=5, retry={"maxAttempts": 2}, orderingKey="a", sequenceNumber=1)
    snake = a_spec(timeout_seconds=5, retry={"max_attempts": 2}, ordering_key="a", sequence_number=1)
    assert camel == snake


def test_what_is_left_out_has_a_default() -> None:
    spec = a_spec()
    assert (spec.pool, spec.priority, spec.run_policy) == ("default", Priority.NORMAL, RunPolicy.PER_OBJECT)
    assert (spec.timeout_seconds, spec.deadline_seconds) == (3600, DAY_SECONDS)
    assert (spec.suspend, spec.cancel, spec.start_after) == (False, False, None)


def test_the_defaults_at_the_door_are_the_envelopes() -> None:
    envelope = Envelope(mission_id=MissionId("m"), namespace="n", pool="p", type="t", accepted_at=0)
    spec = a_spec()
    assert (spec.timeout_seconds, spec.deadline_seconds) == (envelope.timeout_seconds, envelope.deadline_seconds)
    assert Retry(**RetryPolicy().model_dump()) == envelope.retry


def test_a_spec_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        a_spec().pool = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "location"),
    [
        pytest.param({"colour": "red"}, "colour", id="an unknown field"),
        pytest.param({"type": "-noop"}, "type", id="a type"),
        pytest.param({"type": "t" * 129}, "type", id="a long type"),
        pytest.param({"pool": "Bad_Pool"}, "pool", id="a pool's name"),
        pytest.param({"payload": [1]}, "payload", id="a payload that is no object"),
        pytest.param({"timeoutSeconds": 0}, "timeoutSeconds", id="no time"),
        pytest.param({"retry": {"maxAttempts": 0}}, "retry.maxAttempts", id="no attempt"),
        pytest.param({"priority": "Urgent"}, "priority", id="a priority"),
        pytest.param({"startAfter": "2030-01-01T00:00:00"}, "startAfter", id="a moment without its zone"),
        pytest.param({"orderingKey": ""}, "orderingKey", id="an empty key"),
        pytest.param({"callback": {"url": "ftp://host"}}, "callback.url", id="another protocol"),
    ],
)
def test_a_bad_field_is_named(fields: dict[str, Any], location: str) -> None:
    with pytest.raises(ValidationError) as refused:
        a_spec(**fields)
    assert [".".join(map(str, error["loc"])) for error in refused.value.errors()] == [location]


def test_a_number_needs_a_lane() -> None:
    with pytest.raises(ValidationError, match="sequenceNumber needs orderingKey"):
        a_spec(sequenceNumber=1)


class TestRefusal:
    """What only the moment of acceptance can tell."""

    @pytest.mark.parametrize(
        "fields",
        [
            pytest.param({}, id="starts at once"),
            pytest.param({"startAfter": "2026-06-01T13:00:00Z"}, id="starts before the deadline"),
            pytest.param({"startAfter": "2020-01-01T00:00:00Z"}, id="a moment that has passed"),
            pytest.param({"orderingKey": "a", "sequenceNumber": 7}, id="a place in a lane"),
            pytest.param({"startAfter": "2026-06-02T13:59:59+02:00"}, id="a second before, in another zone"),
        ],
    )
    def test_what_can_start_is_accepted(self, fields: dict[str, Any]) -> None:
        assert refusal(a_spec(**fields), NOON.timestamp()) is None

    @pytest.mark.parametrize(
        "fields",
        [
            pytest.param({"startAfter": "2026-06-02T12:00:00Z"}, id="at the deadline"),
            pytest.param({"startAfter": "2100-01-01T00:00:00Z"}, id="long after the deadline"),
            pytest.param({"startAfter": "2026-06-01T12:00:10Z", "deadlineSeconds": 10}, id="a short deadline"),
        ],
    )
    def test_what_could_never_start_is_refused(self, fields: dict[str, Any]) -> None:
        assert refusal(a_spec(**fields), NOON.timestamp()) is not None

    def test_the_sentence_says_what_to_change(self) -> None:
        said = refusal(a_spec(startAfter="2100-01-01T00:00:00Z"), NOON.timestamp())
        assert said == (
            "startAfter 2100-01-01T00:00:00Z lies beyond the deadline 2026-06-02T12:00:00Z, so the mission could "
            "never start: name an earlier startAfter, or raise deadlineSeconds"
        )


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        pytest.param({"callback": {"url": "https://example.com/hook"}}, "callback", id="callbacks"),
        pytest.param({"runPolicy": "Once"}, "runPolicy Once", id="once"),
        pytest.param(
            {"callback": {"url": "https://example.com/hook"}, "runPolicy": "Once"},
            "callback nor runPolicy Once",
            id="two at once",
        ),
    ],
)
def test_what_this_release_does_not_serve_is_refused_and_never_ignored(fields: dict[str, Any], named: str) -> None:
    sentence = refusal(a_spec(**fields), NOON.timestamp())
    assert sentence == f"this release does not serve {named} yet: leave it out for now"
