"""The command line against a fake Commander: what it prints, where, and with which exit code."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml
from typer.testing import Result

from mission_contracts.mission import MissionId, MissionState
from missionctl.cli import connecting
from missionctl.cli.app import hoisted
from missionctl.client import MissionControlSync, RejectedMessage, Retries
from missionctl.testing import FakeCommander

Run = Callable[..., Result]

MISSIONS = ("apply", "run", "get", "describe", "wait", "cancel", "events")
COMMANDS = (*MISSIONS, "pools", "rejected", "health", "login", "logout", "token", "config", "dev", "version")


def mission_yaml(name: str, **spec: object) -> str:
    body = {"type": "noop", "payload": {}} | spec
    return yaml.safe_dump(
        {"apiVersion": "missioncontrol.dev/v1alpha1", "kind": "Mission", "metadata": {"name": name}, "spec": body}
    )


def only(commander: FakeCommander) -> MissionId:
    [mission_id] = commander.missions
    return mission_id


# run


def test_run_prints_the_id_alone(run: Run, commander: FakeCommander) -> None:
    result = run("run", "resize", "--payload", '{"width": 3}', "--pool", "gpu", "--priority", "High")
    assert result.exit_code == 0
    assert result.stdout.split() == [only(commander)]
    sent = json.loads(commander.sent("POST", "/missions")[0].content)
    assert sent == {"type": "resize", "payload": {"width": 3}, "pool": "gpu", "priority": "High"}


def test_run_with_wait_prints_the_result(run: Run, commander: FakeCommander) -> None:
    commander.on_wait = lambda one: void(commander.finish(one, result={"answer": 42}))
    result = run("run", "noop", "--wait")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"answer": 42}
    assert "Completed" in result.stderr


def test_a_mission_that_failed_is_exit_code_1_and_says_why(run: Run, commander: FakeCommander) -> None:
    commander.on_wait = lambda one: void(commander.finish(one, MissionState.FAILED, message="no such image"))
    result = run("run", "noop", "--wait")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no such image" in result.stderr


def test_a_payload_comes_from_a_file_or_from_standard_input(run: Run, commander: FakeCommander) -> None:
    Path("payload.json").write_text('{"from": "file"}')
    run("run", "noop", "-p", "@payload.json")
    run("run", "noop", "-p", "-", input='{"from": "stdin"}')
    payloads = [json.loads(one.content)["payload"] for one in commander.sent("POST", "/missions")]
    assert payloads == [{"from": "file"}, {"from": "stdin"}]


@pytest.mark.parametrize("payload", ["{", "[1]", "@missing.json"])
def test_a_bad_payload_is_wrong_usage(run: Run, commander: FakeCommander, payload: str) -> None:
    assert run("run", "noop", "-p", payload).exit_code == 2
    assert not commander.requests


# apply


def test_apply_submits_every_document_of_every_file(run: Run, commander: FakeCommander) -> None:
    Path("two.yaml").write_text(mission_yaml("one") + "---\n" + mission_yaml("two"))
    Path("folder").mkdir()
    Path("folder/three.yml").write_text(mission_yaml("three"))
    Path("folder/notes.txt").write_text("not: [yaml")
    result = run("apply", "-f", "two.yaml", "-f", "folder")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["mission/one", "mission/two", "mission/three"]
    assert len(commander.missions) == 3


def test_the_same_object_again_is_the_same_mission(run: Run, commander: FakeCommander) -> None:
    run("apply", "-f", "-", input=mission_yaml("one", payload={"a": 1, "b": 2}))
    run("apply", "-f", "-", input=mission_yaml("one", payload={"b": 2, "a": 1}))
    assert len(commander.missions) == 1


@pytest.mark.parametrize(
    "other", [mission_yaml("two"), mission_yaml("one", payload={"a": 2}), mission_yaml("one", timeoutSeconds=5)]
)
def test_another_name_or_spec_is_another_mission(run: Run, commander: FakeCommander, other: str) -> None:
    run("apply", "-f", "-", input=mission_yaml("one"))
    run("apply", "-f", "-", input=other)
    assert len(commander.missions) == 2


def test_what_may_change_is_changed_in_the_same_mission(run: Run, commander: FakeCommander) -> None:
    reasons = []
    for spec in ({"suspend": True}, {"suspend": False}, {"cancel": True}):
        run("apply", "-f", "-", input=mission_yaml("one", **spec))
        reasons.append(commander.missions[only(commander)].reason)
    assert reasons == ["Suspended", "WaitingForSoldier", "Cancelled"]


def test_a_pool_is_declared_and_what_is_ignored_is_said(run: Run, commander: FakeCommander) -> None:
    pool = {
        "apiVersion": "missioncontrol.dev/v1alpha1",
        "kind": "SoldierPool",
        "metadata": {"name": "gpu", "namespace": "vision"},
        "spec": {"paused": True, "concurrency": 4},
    }
    result = run("apply", "-f", "-", input=yaml.safe_dump(pool))
    assert result.exit_code == 0
    assert commander.pools["vision", "gpu"].paused
    assert "spec.concurrency" in result.stderr
    assert "spec.paused" not in result.stderr


def test_a_refused_mission_is_exit_code_4_and_the_others_are_accepted(run: Run, commander: FakeCommander) -> None:
    commander.why_refused = lambda asked: "too late" if asked.type == "late" else None
    result = run("apply", "-f", "-", input=mission_yaml("bad", type="late") + "---\n" + mission_yaml("good"))
    assert result.exit_code == 4
    assert "mission/bad: too late" in result.stderr
    assert "1 of 2 missions were refused" in flat(result.stderr)
    assert result.stdout.startswith("mission/good")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(mission_yaml("ok") + "---\nkind: [\n", r"standard input, document 2, line \d+", id="no YAML"),
        pytest.param(
            "apiVersion: v1\nkind: Pod\n",
            "document 1, line 1: apiVersion must be missioncontrol.dev/v1alpha1",
            id="api",
        ),
        pytest.param(
            "apiVersion: missioncontrol.dev/v1alpha1\nkind: Campaign\n",
            'line 2: kind "Campaign" is not served here: Mission and SoldierPool are',
            id="kind",
        ),
        pytest.param(
            mission_yaml("x").replace("name: x", "generateName: x-"), "metadata.name is missing", id="no name"
        ),
        pytest.param(mission_yaml("Not_A_Name"), 'metadata.name "Not_A_Name" is no name', id="bad name"),
        pytest.param(
            "apiVersion: missioncontrol.dev/v1alpha1\nkind: Mission\nmetadata: {name: x}\nspec:\n"
            "  type: noop\n  payload: {}\n  retry:\n    maxAttempts: 0\n",
            r"line 8: spec\.retry\.maxAttempts: Input should be greater than or equal to 1",
            id="a bound",
        ),
        pytest.param(
            "apiVersion: missioncontrol.dev/v1alpha1\nkind: Mission\nmetadata: {name: x}\nspec:\n"
            "  type: noop\n  payload: {}\n  start_after: 2026-01-01T00:00:00Z\n",
            r"line 7: spec\.start_after: Extra inputs are not permitted",
            id="REST's spelling",
        ),
        pytest.param(
            "apiVersion: missioncontrol.dev/v1alpha1\nkind: Mission\nmetadata: {name: x}\nspec:\n  type: noop\n",
            r"line 4: spec\.payload: Field required",
            id="no payload",
        ),
        pytest.param(
            "apiVersion: missioncontrol.dev/v1alpha1\nkind: Mission\nkind: Mission\n",
            'line 3: "kind" is given twice',
            id="a key twice",
        ),
        pytest.param(mission_yaml("x") + "stat: {}\n", 'unknown field "stat"', id="unknown field"),
        pytest.param("- 1\n", "line 1: this is no object", id="a list"),
        pytest.param("", "nothing to apply", id="nothing"),
    ],
)
def test_a_mistake_in_a_file_names_its_place_and_changes_nothing(
    run: Run, commander: FakeCommander, text: str, complaint: str
) -> None:
    result = run("apply", "-f", "-", input=text)
    assert result.exit_code == 2
    assert_matches(complaint, result.stderr)
    assert not commander.requests


def test_yaml_means_what_it_means_to_kubectl(run: Run, commander: FakeCommander) -> None:
    text = mission_yaml("x").replace(
        "payload: {}", "payload: {time: 12:30, day: 2026-01-01, big: 1e3, on: yes, 1: one, octal: 0o7}"
    )
    assert run("apply", "-f", "-", input=text).exit_code == 0
    body = json.loads(commander.sent("POST", "/missions/batch")[0].content)
    expected = {"time": "12:30", "day": "2026-01-01", "big": 1000, "true": True, "1": "one", "octal": 7}
    assert body["missions"][0]["payload"] == expected


def test_two_namespaces_contradict_each_other(run: Run) -> None:
    text = mission_yaml("x").replace("name: x", "name: x, namespace: there").replace("metadata:\n  ", "metadata: {")
    text = text.replace("namespace: there", "namespace: there}")
    result = run("apply", "-n", "here", "-f", "-", input=text)
    assert result.exit_code == 2
    assert "leave one of them out" in flat(result.stderr)


def test_names_are_sent_by_an_operator_only(run: Run, commander: FakeCommander) -> None:
    run("apply", "-f", "-", input=mission_yaml("one"))
    assert commander.missions[only(commander)].name == ""


# get, describe


def test_get_shows_the_columns_of_kubectl(run: Run, commander: FakeCommander) -> None:
    run("run", "noop")
    commander.finish(only(commander))
    header, row = run("get").stdout.splitlines()
    assert header.split() == ["NAME", "STATE", "TYPE", "POOL", "ATTEMPT", "PROGRESS", "DURATION", "AGE"]
    assert row.split() == [only(commander), "Completed", "noop", "default", "0", "<none>", "1.50s", "0s"]


def test_get_wide_adds_reason_id_and_message(run: Run, commander: FakeCommander) -> None:
    run("run", "noop")
    commander.finish(only(commander), MissionState.FAILED, message="no such image")
    header, row = run("get", "-o", "wide").stdout.splitlines()
    assert header.split()[-3:] == ["REASON", "ID", "MESSAGE"]
    assert row.endswith("no such image")


def test_get_prints_the_newest_last(run: Run) -> None:
    ids = [run("run", "noop").stdout.strip() for _ in range(5)]
    assert [line.split()[0] for line in run("get").stdout.splitlines()[1:]] == ids
    limited = run("get", "--limit", "2")
    assert [line.split()[0] for line in limited.stdout.splitlines()[1:]] == ids[-2:]
    assert "raise --limit" in limited.stderr


def test_get_shows_only_the_states_that_were_asked_for(run: Run, commander: FakeCommander) -> None:
    first, second = [run("run", "noop").stdout.strip() for _ in range(2)]
    commander.finish(first)
    assert second in run("get", "--state", "Queued").stdout
    assert first not in run("get", "--state", "Queued").stdout
    assert run("get", "--state", "Done").exit_code == 2


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_get_speaks_to_programs(
    run: Run, commander: FakeCommander, form: str, read: Callable[[str], dict[str, object]]
) -> None:
    run("run", "noop")
    mission = read(run("get", only(commander), "-o", form).stdout)
    assert mission["state"] == "QUEUED"
    assert read(run("get", "-o", form).stdout) == {"missions": [mission]}


def test_get_without_missions_says_so_on_the_side(run: Run) -> None:
    result = run("get")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no missions" in result.stderr


def test_watch_prints_a_line_per_change(run: Run, commander: FakeCommander, monkeypatch: pytest.MonkeyPatch) -> None:
    run("run", "noop")
    watch = MissionControlSync.watch

    def two_changes(control: MissionControlSync, chosen: object) -> object:
        changes = watch(control, chosen)  # type: ignore[arg-type]
        yield next(changes)
        commander.finish(only(commander))
        yield next(changes)
        changes.close()

    monkeypatch.setattr(MissionControlSync, "watch", two_changes)
    lines = run("get", "-w").stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["STATE", "Queued", "Completed"]
    assert len({line.index(word) for line, word in zip(lines, ["STATE", "Queued", "Completed"], strict=True)}) == 1


def test_describe_tells_all_that_is_known(run: Run, commander: FakeCommander) -> None:
    run("run", "noop")
    commander.finish(only(commander), result={"answer": 42})
    text = run("describe", only(commander)).stdout
    assert [line for line in text.splitlines() if line.startswith("State:")] == ["State:      Completed"]
    assert '"answer": 42' in text
    assert "Retry of" not in text


def test_describe_tells_of_the_lane(run: Run, commander: FakeCommander) -> None:
    run("run", "noop", "--ordering-key", "device-3", "--sequence-number", "2")
    lines = run("describe", only(commander)).stdout.splitlines()
    assert "Lane:       device-3, number 2" in lines


def test_a_name_is_as_good_as_an_id(run: Run, commander: FakeCommander) -> None:
    run("run", "noop")
    commander.change(only(commander), name="hello")
    assert "hello" in run("describe", "mission/hello").stdout


def test_an_unknown_name_is_refused_with_a_sentence(run: Run) -> None:
    result = run("describe", "nobody")
    assert result.exit_code == 4
    assert "there is no mission nobody" in result.stderr


# wait, cancel


def test_wait_ends_well_when_all_completed(run: Run, commander: FakeCommander) -> None:
    commander.on_wait = lambda one: void(commander.finish(one))
    run("run", "noop")
    result = run("wait", "--all")
    assert result.exit_code == 0
    assert result.stdout.split() == [f"mission/{only(commander)}", "Completed"]


def test_wait_is_exit_code_1_when_one_failed(run: Run, commander: FakeCommander) -> None:
    run("run", "noop")
    commander.finish(only(commander), MissionState.FAILED, message="no such image")
    result = run("wait", only(commander))
    assert result.exit_code == 1
    assert "no such image" in result.stdout


def test_wait_is_exit_code_1_when_the_time_is_over(run: Run, commander: FakeCommander) -> None:
    run("run", "noop")
    result = run("wait", only(commander), "--timeout", "0")
    assert result.exit_code == 1
    assert "did not finish within 0 s" in flat(result.stderr)


@pytest.mark.parametrize("words", [[], ["x", "--all"]])
def test_wait_wants_either_names_or_all(run: Run, words: list[str]) -> None:
    assert run("wait", *words).exit_code == 2


def test_cancel_says_what_became_of_it(run: Run, commander: FakeCommander) -> None:
    run("run", "noop")
    result = run("cancel", only(commander))
    assert result.stdout.split() == [f"mission/{only(commander)}", "Cancelled"]


# The Commander


def test_pools_are_shown_with_their_soldiers(run: Run) -> None:
    text = "apiVersion: missioncontrol.dev/v1alpha1\nkind: SoldierPool\nmetadata: {name: gpu}\n"
    run("apply", "-f", "-", input=text)
    header, row = run("pools").stdout.splitlines()
    assert header.split()[:3] == ["NAME", "SOLDIERS", "SLOTS"]
    assert row.split()[:3] == ["gpu", "1", "16"]


def test_rejected_messages_are_shown_the_newest_last_and_cannot_move_the_cursor(
    run: Run, commander: FakeCommander
) -> None:
    commander.rejected = [
        a_rejected_message("it is \x1b[2J no JSON", body="\x1b[31mred\nline"),
        a_rejected_message("it is too large"),
    ]
    header, first, second = run("rejected", "-o", "wide").stdout.splitlines()
    assert header.split() == ["AGE", "QUEUE", "DEFECT", "BYTES", "REASON", "BODY"]
    assert "it is too large" in first
    assert "\\x1b[31mred\\nline" in second
    assert "\x1b[2J" not in second


def test_of_more_rejected_messages_than_asked_for_the_newest_are_shown(run: Run, commander: FakeCommander) -> None:
    commander.rejected = [a_rejected_message(f"reason {number}") for number in range(3)]
    result = run("rejected", "--limit", "2")
    assert [line.rpartition(" ")[2] for line in result.stdout.splitlines()] == ["REASON", "1", "0"]
    assert "the newest 2 of 3" in result.stderr


def test_without_rejected_messages_it_says_so(run: Run) -> None:
    result = run("rejected")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no message was rejected" in result.stderr


def a_rejected_message(reason: str, body: str = "?") -> RejectedMessage:
    return RejectedMessage(
        rejected_at=None, queue="missions.status", defect="not JSON", reason=reason, bytes=len(body), body=body
    )


def test_health_down_is_exit_code_1(run: Run, commander: FakeCommander) -> None:
    assert run("health").exit_code == 0
    commander.health = type(commander.health)(status="down", parts={"ledger": "down"}, durability="strong")
    result = run("health")
    assert result.exit_code == 1
    assert "ledger" in result.stdout


def test_token_prints_a_token_alone(run: Run, commander: FakeCommander) -> None:
    printed = run("token").stdout
    assert printed.split() == commander.tokens


def test_events_print_what_happens(run: Run, commander: FakeCommander) -> None:
    run("run", "noop")
    commander.finish(only(commander))
    refusals = [httpx.Response(500, text="enough")]
    heard = commander._stream

    def once(request: httpx.Request) -> httpx.Response:
        commander.fail_next(*refusals)
        return heard(request)

    commander._stream = once  # type: ignore[method-assign]
    result = run("events", "--after", "0-0", "-o", "json")
    states = [json.loads(line)["mission"]["state"] for line in result.stdout.splitlines()]
    assert states == ["QUEUED", "COMPLETED"]
    assert result.exit_code == 4  # what ended it


# Failures


def test_nobody_there_is_exit_code_3(run: Run, commander: FakeCommander, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "ASKING", Retries(patience_seconds=0))
    commander.fail_next(httpx.ConnectError("Connection refused"))
    result = run("get")
    assert (result.exit_code, result.stdout) == (3, "")
    assert flat(result.stderr).startswith("error: no Commander answers at http://commander.test")


def test_a_refusal_is_exit_code_4(run: Run) -> None:
    result = run("get", "00000000-0000-4000-8000-000000000009")
    assert result.exit_code == 4
    assert "there is no such mission" in result.stderr


def test_an_unknown_command_is_wrong_usage(run: Run) -> None:
    assert run("gett").exit_code == 2


def test_no_colour_where_nobody_looks(run: Run) -> None:
    run("run", "noop")
    assert "\x1b" not in run("get").output


def test_help_names_every_command_and_the_exit_codes(run: Run) -> None:
    text = run("--help").stdout
    assert [one for one in COMMANDS if f" {one} " not in text] == []
    assert "Exit codes" in text


def test_version_is_told_in_both_ways(run: Run) -> None:
    assert run("version").stdout == run("--version").stdout != ""


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["get", "--url", "u"], ["--url", "u", "get"]),
        (["get", "--url=u", "x"], ["--url=u", "get", "x"]),
        (["get", "--", "--url", "u"], ["get", "--", "--url", "u"]),
        (["--url"], ["--url"]),
    ],
)
def test_where_to_connect_may_be_said_anywhere(typed: list[str], meant: list[str]) -> None:
    assert hoisted(typed) == meant


def flat(text: str) -> str:
    return " ".join(text.split())


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern, flat(text)), text


def void(_: object) -> None:
    """Drop a value where a callback has none."""
