"""A value leaves missionctl as it is, or not at all: nothing becomes null, or half of it, on the way."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import Result

from missionctl.client import MissionControlSync, NotJsonError, Submission
from missionctl.testing import FakeCommander

Run = Callable[..., Result]

LOST = [
    pytest.param({"items": [1, {"price": math.nan}]}, "payload.items[1].price: NaN is not a JSON number", id="NaN"),
    pytest.param({"n": -math.inf}, "payload.n: -Infinity is not a JSON number", id="Infinity"),
    pytest.param({"n": 10**5_000}, "payload.n: an integer of more than 4,300 digits", id="digits without end"),
    pytest.param({"name": "caf\udce9"}, "payload.name: the text has half of a surrogate pair", id="half a pair"),
    pytest.param({"x": object()}, "payload.x: a value of type object has no JSON form", id="an object"),
    pytest.param({"v": json.loads("[" * 70 + "]" * 70)}, "payload: objects and arrays are nested", id="too deep"),
]


@pytest.fixture
def commander() -> FakeCommander:
    return FakeCommander()


@pytest.fixture
def control(commander: FakeCommander) -> MissionControlSync:
    return MissionControlSync(commander.url, transport=commander.transport)


@pytest.mark.parametrize(("payload", "sentence"), LOST)
def test_the_client_refuses_what_json_cannot_carry(
    control: MissionControlSync, commander: FakeCommander, payload: dict[str, Any], sentence: str
) -> None:
    submission = Submission(type="noop", payload=payload)
    for send in (control.submit, lambda one: control.submit_many([one])):
        with pytest.raises(NotJsonError) as refused:
            send(submission)
        assert str(refused.value).startswith(sentence)
    assert not commander.missions


def test_the_client_sends_dates_and_large_integers_as_they_are(
    control: MissionControlSync, commander: FakeCommander
) -> None:
    moment = datetime(2030, 1, 31, 8, tzinfo=UTC)
    control.submit(Submission(type="noop", payload={"at": moment, "big": 2**64, "none": None, "key": {1: (1, 2)}}))
    sent = json.loads(commander.sent("POST", "/missions")[0].content)
    assert sent["payload"] == {"at": "2030-01-31T08:00:00Z", "big": 2**64, "none": None, "key": {"1": [1, 2]}}


@pytest.mark.parametrize(
    "payload", ['{"n": NaN}', '{"n": 1e400}', '{"n": 1, "n": 2}', '{"n": "\\ud800"}', '{"n": "\udce9"}']
)
def test_run_refuses_what_is_not_strict_json(run: Run, commander: FakeCommander, payload: str) -> None:
    result = run("run", "noop", "--payload", payload)
    assert result.exit_code == 2
    assert "payload.n" in result.stderr
    assert not commander.missions


@pytest.mark.parametrize("value", [".inf", ".nan", "-.Inf", "1e400", "!!float .inf"])
def test_apply_refuses_a_number_that_json_cannot_carry(run: Run, commander: FakeCommander, value: str) -> None:
    head = "apiVersion: missioncontrol.dev/v1alpha1\nkind: Mission\nmetadata: {name: one}\n"
    result = run("apply", "-f", "-", input=f"{head}spec:\n  type: noop\n  payload: {{n: {value}}}\n")
    assert result.exit_code == 2
    assert "line 6" in result.stderr
    assert not commander.missions
