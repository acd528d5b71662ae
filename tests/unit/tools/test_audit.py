"""What the comparison of granted with seen counts, by hand-made lines of an audit log."""

import json
from pathlib import Path
from typing import Any

import pytest
from tools.stack import audit
from tools.stack.audit import Verb

OPERATOR = "system:serviceaccount:shop:mission-operator"


def line(verb: str, resource: str, *, user: str = OPERATOR, decision: str = "allow", **more: Any) -> str:
    what = {"resource": resource, "apiGroup": "apps"} | more.pop("what", {})
    annotations = {"authorization.k8s.io/decision": decision}
    return json.dumps({"verb": verb, "user": {"username": user}, "objectRef": what, "annotations": annotations} | more)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([line("get", "deployments")], {Verb("apps", "deployments", "get")}, id="what it asked for"),
        pytest.param([line("get", "deployments", user="anna")], set(), id="not what others asked for"),
        pytest.param([line("get", "secrets", decision="forbid")], set(), id="not what it was refused"),
        pytest.param(
            [line("patch", "missions", what={"subresource": "status", "apiGroup": "missioncontrol.dev"})],
            {Verb("missioncontrol.dev", "missions/status", "patch")},
            id="a subresource is another resource",
        ),
        pytest.param(
            [line("patch", "deployments", responseStatus={"code": 201})],
            {Verb("apps", "deployments", "patch"), Verb("apps", "deployments", "create")},
            id="an apply that makes its object needs both",
        ),
        pytest.param(
            [line("patch", "deployments", responseStatus={"code": 200})],
            {Verb("apps", "deployments", "patch")},
            id="one that changes it does not",
        ),
        pytest.param([line("create", "selfsubjectreviews")], set(), id="what everybody may"),
    ],
)
def test_seen(tmp_path: Path, lines: list[str], expected: set[Verb]) -> None:
    log = tmp_path / "audit.log"
    log.write_text("".join(f"{one}\n" for one in lines))
    assert audit.seen(log, "shop:mission-operator") == expected
    assert audit.seen(log, ":mission-operator") == expected, "in whichever namespace"


def test_granted_names_each_pair() -> None:
    rules = [{"apiGroups": ["", "apps"], "resources": ["pods"], "verbs": ["list", "patch"]}]
    assert audit.granted(rules) == {Verb(group, "pods", verb) for group in ("", "apps") for verb in ("list", "patch")}


def test_the_table_says_what_is_unused_and_what_goes_beyond() -> None:
    one, other = Verb("apps", "deployments", "get"), Verb("", "pods", "list")
    said = audit.table(frozenset({one}), frozenset({other}))
    assert "UNUSED  get     deployments.apps" in said
    assert "BEYOND  list    pods" in said
