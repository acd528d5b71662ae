"""The resources' models and rules, as far as they can be judged without an API server."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from mission_contracts.mission import MissionState
from mission_contracts.resources import (
    MISSION,
    SOLDIER_POOL,
    Condition,
    MissionStatus,
    PodTemplate,
    Resource,
    SoldierPoolSpec,
    duration_text,
    whole_percent,
)
from mission_contracts.resources.mission import CHANGEABLE
from mission_contracts.spec import MissionSpec

BOTH = pytest.mark.parametrize("resource", [MISSION, SOLDIER_POOL], ids=lambda resource: resource.kind)


class TestDurationText:
    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0, "0.00s"),
            (0.004, "0.00s"),
            (1.234, "1.23s"),
            (59.994, "59.99s"),
            (59.996, "1m00s"),
            (245, "4m05s"),
            (3599.9, "59m59s"),
            (7380, "2h03m"),
            (86_399, "23h59m"),
            (3 * 86_400 + 4 * 3600 + 59, "3d04h"),
        ],
    )
    def test_it_is_as_precise_as_people_want(self, seconds: float, text: str) -> None:
        assert duration_text(seconds) == text

    def test_a_clock_that_stepped_back_gives_no_negative_time(self) -> None:
        assert duration_text(-3) == "0.00s"


@pytest.mark.parametrize(
    ("progress", "percent"), [(None, None), (0, 0), (33.9, 33), (99.99, 99), (100, 100), (-1, 0), (250, 100)]
)
def test_progress_is_rounded_down_to_whole_percent(progress: float | None, percent: int | None) -> None:
    assert whole_percent(progress) == percent


class TestMissionStatus:
    WRITTEN: dict[str, Any] = {  # noqa: RUF012 - pytest makes an instance per test, nothing writes it
        "state": "InProgress",
        "sequence": 29_000_000_000_003,
        "missionId": "0b7e…",
        "queuedAt": "2026-01-01T00:00:00Z",
        "conditions": [
            {
                "type": "Accepted",
                "status": "True",
                "reason": "Accepted",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
    }

    def test_it_is_read_and_written_in_the_clusters_spelling(self) -> None:
        status = MissionStatus.model_validate(self.WRITTEN)
        assert status.state is MissionState.IN_PROGRESS
        assert status.model_dump(mode="json", by_alias=True, exclude_none=True) == self.WRITTEN

    @pytest.mark.parametrize("missing", ["state", "sequence"])
    def test_a_set_status_says_state_and_sequence(self, missing: str) -> None:
        with pytest.raises(ValidationError, match=missing):
            MissionStatus.model_validate({key: value for key, value in self.WRITTEN.items() if key != missing})

    def test_a_state_in_the_rest_spelling_is_understood_too(self) -> None:
        assert MissionStatus.model_validate({"state": "IN_PROGRESS", "sequence": 1}).state is MissionState.IN_PROGRESS


def test_every_field_of_a_missions_spec_is_held_or_may_change() -> None:
    rules = " ".join(rule.holds for rule in MISSION.rules if rule.at == ("spec",))
    held = set(re.findall(r"self\.(\w+) == oldSelf\.\1\b", rules))
    fields = {field.alias for field in MissionSpec.model_fields.values()}
    assert held | CHANGEABLE | {"payload"} == fields
    assert held.isdisjoint(CHANGEABLE)


@pytest.mark.parametrize("forbidden", ["hostNetwork", "securityContext", "containers", "terminationGracePeriodSeconds"])
def test_a_pool_cannot_undo_how_soldiers_are_secured(forbidden: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        PodTemplate.model_validate({forbidden: None})


def test_a_pools_defaults() -> None:
    spec = SoldierPoolSpec()
    assert (spec.replicas, spec.min_replicas, spec.max_replicas, spec.concurrency) == (None, 1, 10, 16)


@BOTH
def test_every_field_is_described(resource: Resource) -> None:
    for model in (resource.spec, resource.status, Condition):
        assert [name for name, field in model.model_fields.items() if not field.description] == []


@BOTH
def test_a_description_names_its_default(resource: Resource) -> None:
    """`kubectl explain` shows no defaults of its own."""
    for name, field in resource.spec.model_fields.items():
        if not field.is_required() and field.default_factory is None:
            assert "Default" in str(field.description), name


@BOTH
def test_columns_have_a_name_of_their_own(resource: Resource) -> None:
    names = [column.name for column in resource.columns]
    assert len(names) == len(set(names))


def test_the_words_of_the_cluster() -> None:
    assert (MISSION.full_name, MISSION.short_name) == ("missions.missioncontrol.dev", "msn")
    assert (SOLDIER_POOL.full_name, SOLDIER_POOL.short_name) == ("soldierpools.missioncontrol.dev", "pool")
