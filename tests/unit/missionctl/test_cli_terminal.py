"""What others wrote reaches a terminal as text, never as orders: escapes, line breaks, marks that turn text around."""

import json
import re
from collections.abc import Callable

import pytest
import yaml
from typer.testing import Result

from mission_contracts.mission import MissionState
from missionctl.client import RejectedMessage
from missionctl.testing import FakeCommander

Run = Callable[..., Result]

OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]")
"""All that a terminal may obey, but for the line breaks that we print ourselves."""

ESCAPES = "\x1b[2J\x1b]0;mine\x07a\x00b\x7f\x9b31m"
BREAKS = "one\ntwo\r\nthree\x85four\u2028five"
TURNED = "user\u202etxt.exe\u2066\u2069\ufeff"
ALL = ESCAPES + BREAKS + TURNED


@pytest.fixture
def failed(run: Run, commander: FakeCommander) -> str:
    run("run", "noop")
    [mission_id] = commander.missions
    commander.change(mission_id, name=ALL, soldier=ALL, reason=ALL, ordering_key=ALL, trace_id=ALL, type=ALL, pool=ALL)
    commander.finish(mission_id, MissionState.FAILED, result={ALL: [ALL]}, message=ALL)
    return mission_id


@pytest.mark.parametrize(
    "words",
    [
        ["get"],
        ["get", "-o", "wide"],
        ["get", "-o", "json"],
        ["get", "-o", "yaml"],
        ["describe", "{id}"],
        ["wait", "{id}"],
        ["wait", "--all"],
        ["cancel", "{id}"],
    ],
    ids=" ".join,
)
def test_nothing_in_a_mission_moves_the_cursor(run: Run, failed: str, words: list[str]) -> None:
    result = run(*(word.replace("{id}", failed) for word in words))
    assert result.stdout
    assert not OBEYED.search(result.stdout + result.stderr)


def test_a_row_is_one_line(run: Run, failed: str) -> None:
    assert len(run("get", "-o", "wide").stdout.splitlines()) == 2


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_json_and_yaml_are_exact(run: Run, failed: str, form: str) -> None:
    text = run("get", failed, "-o", form).stdout
    read = json.loads(text) if form == "json" else yaml.safe_load(text)
    assert (read["message"], read["name"], read["result"]) == (ALL, ALL, {ALL: [ALL]})


def test_ordinary_unicode_stays_readable(run: Run, commander: FakeCommander) -> None:
    run("run", "noop")
    commander.finish(next(iter(commander.missions)), MissionState.FAILED, message="Größe 大 👩‍👩‍👧")
    for form in ("wide", "json", "yaml"):
        assert "Größe 大 👩‍👩‍👧" in run("get", "-o", form).stdout


def test_the_end_of_a_mission_that_was_waited_for_is_one_line(run: Run, commander: FakeCommander) -> None:
    def fail(mission_id: str) -> None:
        commander.finish(mission_id, MissionState.FAILED, message=ALL)

    commander.on_wait = fail
    result = run("run", "noop", "--wait")
    assert not OBEYED.search(result.stderr)
    assert len(result.stderr.splitlines()) == 2


def test_a_refusal_is_one_line(run: Run, commander: FakeCommander) -> None:
    commander.why_refused = lambda _: ALL
    result = run("run", "noop")
    assert (result.exit_code, len(result.stderr.splitlines())) == (4, 1)
    assert not OBEYED.search(result.stderr)


def test_a_word_that_was_typed_is_shown_without_being_obeyed(run: Run) -> None:
    result = run("describe", ALL)
    assert result.exit_code == 4
    assert not OBEYED.search(result.stderr)


def test_a_rejected_message_is_one_line(run: Run, commander: FakeCommander) -> None:
    message = RejectedMessage(rejected_at=None, queue=ALL, defect=ALL, reason=ALL, bytes=3, body=ALL)
    commander.rejected.append(message)
    result = run("rejected", "-o", "wide")
    assert len(result.stdout.splitlines()) == 2
    assert not OBEYED.search(result.stdout)
