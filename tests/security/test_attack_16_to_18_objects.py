"""Attacks 16 to 18: Missions that name what is not theirs, that are too much, and statuses that a user makes up.

What refuses them is the API server, by the CRD's schema, its rules and RBAC: the operator never sees them.
"""

import json
import secrets
from collections.abc import Iterator
from typing import Any, Final

import pytest
from support.ability import unless, why_no_api_server
from tools import stack
from tools.installation import MANIFESTS
from tools.stack import StackError

from mission_contracts.resources import API_VERSION, MISSION

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]

Object = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack.ApiServer]:
    unless(why_no_api_server())
    with stack.api_server(tmp_path_factory.mktemp("attacked")) as one:
        one.kubectl("apply", "-f", str(MANIFESTS / "crds"), "-f", str(MANIFESTS / "base" / "admission-policy.yaml"))
        one.kubectl("wait", "--for=condition=Established", f"crd/{MISSION.full_name}", "--timeout=30s")
        yield one


def a_mission(**spec: Any) -> Object:
    name = f"attack-{secrets.token_hex(4)}"
    body = {"type": "noop", "payload": {}} | spec
    return {"apiVersion": API_VERSION, "kind": "Mission", "metadata": {"name": name}, "spec": body}


def create(server: stack.ApiServer, mission: Object) -> None:
    server.kubectl("create", "-f", "-", stdin=json.dumps(mission))


NOT_A_NAME: Final = [
    pytest.param("../other", id="a way up"),
    pytest.param("elsewhere/default", id="another namespace"),
    pytest.param("elsewhere.default", id="another namespace by a dot"),
    pytest.param("%2e%2e%2fother", id="percent escapes"),
    pytest.param("dеfault", id="a look-alike letter"),  # noqa: RUF001 - that is the point
    pytest.param("default\u202e", id="a mark that turns the text around"),
    pytest.param("default\n", id="a line's end"),
    pytest.param("missions.dead", id="a queue of ours"),
    pytest.param("#", id="a pattern"),
    pytest.param("a" * 64, id="longer than a label"),
    pytest.param("", id="nothing"),
]


@pytest.mark.parametrize("name", NOT_A_NAME)
def test_attack_16_a_pool_that_is_no_name_is_refused(server: stack.ApiServer, name: str) -> None:
    with pytest.raises(StackError, match=r"Invalid value|should match|should be at"):
        create(server, a_mission(pool=name))


@pytest.mark.parametrize("field", ["namespace", "queue", "exchange", "serviceAccountName", "missionId", "subject"])
def test_attack_16_a_field_that_would_reach_further_does_not_exist(server: stack.ApiServer, field: str) -> None:
    with pytest.raises(StackError, match="unknown field"):
        create(server, a_mission(**{field: "elsewhere"}))


@pytest.mark.parametrize(
    "mission",
    [
        pytest.param(lambda: a_mission(payload={"x": "y" * 1_600_000}), id="1.6 MB"),
        pytest.param(lambda: a_mission(type="x" * 100_000), id="a type of 100 kB"),
        pytest.param(lambda: a_mission(orderingKey="k" * 100_000), id="a key of 100 kB"),
        pytest.param(lambda: a_mission(payload=[1] * 10), id="a list for an object"),
        pytest.param(lambda: a_mission(retry={"maxAttempts": 10**9}), id="attempts without end"),
        pytest.param(lambda: a_mission(timeoutSeconds=10**12), id="a timeout of ages"),
        pytest.param(lambda: labelled(30_000), id="30,000 labels"),
        pytest.param(lambda: annotated(300_000), id="annotations of 300 kB"),
    ],
)
def test_attack_17_too_much_is_refused_and_nothing_of_it_stays(server: stack.ApiServer, mission: Any) -> None:
    asked = mission()
    with pytest.raises(StackError):
        create(server, asked)
    left = server.kubectl("get", "missions", "-o", "name", "--ignore-not-found", asked["metadata"]["name"])
    assert left == ""


def labelled(count: int) -> Object:
    mission = a_mission()
    mission["metadata"]["labels"] = {f"label-{number}": "x" * 60 for number in range(count)}
    return mission


def annotated(size: int) -> Object:
    mission = a_mission()
    mission["metadata"]["annotations"] = {"note": "x" * size}
    return mission


@pytest.fixture(scope="module")
def user(server: stack.ApiServer) -> str:
    """Somebody who may do with Missions all that users are given, which is nothing on their status."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "missions-of-ones-own", "namespace": "default"},
        "rules": [
            {
                "apiGroups": ["missioncontrol.dev"],
                "resources": ["missions"],
                "verbs": ["get", "list", "create", "update", "patch", "delete"],
            }
        ],
    }
    server.kubectl("apply", "-f", "-", stdin=json.dumps(role))
    server.kubectl("create", "rolebinding", "anna", "--role=missions-of-ones-own", "--user=anna")
    return "--as=anna"


def status(state: str, sequence: int) -> str:
    return json.dumps({"status": {"state": state, "sequence": sequence}})


def shown(server: stack.ApiServer, name: str) -> Object:
    found: Object = json.loads(server.kubectl("get", "mission", name, "-o", "json"))
    return dict(found.get("status", {}))


def test_attack_18_a_user_cannot_write_a_status(server: stack.ApiServer, user: str) -> None:
    mission = a_mission()
    name = mission["metadata"]["name"]
    create(server, mission)
    with pytest.raises(StackError, match="orbidden"):
        server.kubectl(
            "patch", "mission", name, "--type=merge", "--subresource=status", "-p", status("Completed", 9), user
        )
    server.kubectl("patch", "mission", name, "--type=merge", "-p", status("Completed", 9), user)
    assert shown(server, name) == {}, "by the main resource it is dropped"


def test_attack_18_a_status_comes_with_no_creation(server: stack.ApiServer, user: str) -> None:
    mission = a_mission() | {"status": {"state": "Completed", "sequence": 7}}
    server.kubectl("create", "--validate=false", "-f", "-", user, stdin=json.dumps(mission))
    assert shown(server, mission["metadata"]["name"]) == {}


def test_attack_18_not_even_an_administrator_rolls_a_status_back(server: stack.ApiServer) -> None:
    mission = a_mission()
    name = mission["metadata"]["name"]
    create(server, mission)

    def write(state: str, sequence: int) -> None:
        server.kubectl("patch", "mission", name, "--type=merge", "--subresource=status", "-p", status(state, sequence))

    write("InProgress", 8)
    for state, sequence in (("InProgress", 7), ("Queued", 7), ("Completed", 8)):
        with pytest.raises(StackError, match=r"[Ss]tatus|sequence|state"):
            write(state, sequence)
    write("Completed", 9)
    with pytest.raises(StackError, match=r"final|state"):
        write("Failed", 10)
    assert shown(server, name)["state"] == "Completed"


def test_attack_18_annotations_change_no_spec(server: stack.ApiServer, user: str) -> None:
    mission = a_mission()
    name = mission["metadata"]["name"]
    create(server, mission)
    server.kubectl("annotate", "mission", name, "missioncontrol.dev/state=Completed", user)
    assert shown(server, name) == {}
    for change in ({"type": "other"}, {"payload": {"x": 1}}, {"pool": "other"}):
        with pytest.raises(StackError, match=r"immutable|cannot|change"):
            server.kubectl("patch", "mission", name, "--type=merge", "-p", json.dumps({"spec": change}), user)
