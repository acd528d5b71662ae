"""One installation, its control plane in a namespace of its own, two teams' missions and pools in theirs."""

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from support.cluster_door import a_mission, file_of
from support.installation import Installation, installed
from support.nodes import Node, make
from tools.stack import StackError

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

TEAMS: Final = ("team-a", "team-b")


@pytest.fixture(scope="module")
def node(a_node: Callable[[], Node]) -> Node:
    found = a_node()
    make("images")
    return found


@pytest.fixture(scope="module")
def teams(node: Node) -> Iterator[dict[str, str]]:
    """The teams' namespaces by their names in these tests: new ones, which refuse every pod that is not restricted."""
    ending = secrets.token_hex(3)
    names = {team: f"{team}-{ending}" for team in TEAMS}
    for name in names.values():
        node.kubectl("create", "namespace", name)
        node.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield names
    for name in names.values():
        node.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def installation(node: Node, teams: dict[str, str]) -> Iterator[Installation]:
    options = ("--take-ownership", "--set", f"namespaces={{{','.join(teams.values())}}}")
    with installed(node, f"mission-system-{secrets.token_hex(3)}", *options) as found:
        yield found


def of(installation: Installation, namespace: str) -> Installation:
    """The same cluster, seen from a team's namespace."""
    return Installation(installation.node, namespace)


async def test_missions_complete_in_both_namespaces_by_both_doors(
    installation: Installation, teams: dict[str, str]
) -> None:
    for namespace in teams.values():
        team = of(installation, namespace)
        team.kubectl("apply", "-f", "-", stdin=file_of(a_mission(f"one-{number}") for number in range(5)))
    for namespace in teams.values():
        wait = ("wait", "--for=condition=Succeeded", "missions", "--all", "--timeout=180s")
        await asyncio.to_thread(of(installation, namespace).kubectl, *wait)
    async with installation.rest() as rest:
        ids = [(await rest.submit(namespace=namespace))["mission_id"] for namespace in teams.values()]
        views = await rest.until_final(ids, seconds=60)
    assert {view["namespace"]: view["state"] for view in views.values()} == dict.fromkeys(teams.values(), "COMPLETED")


def test_helm_test_tries_each_namespace(installation: Installation, teams: dict[str, str]) -> None:
    said = installation.helm("test")
    for namespace in teams.values():
        assert f"REST ({namespace}): a mission was COMPLETED" in said
        assert f"Kubernetes ({namespace}): Mission" in said


def test_a_team_has_soldiers_and_nothing_of_the_control_plane(
    installation: Installation, teams: dict[str, str]
) -> None:
    for namespace in teams.values():
        team = of(installation, namespace)
        assert team.kubectl("get", "secrets,services,statefulsets", "-o", "name") == ""
        assert set(team.pods()) == set(team.soldiers()) != set()
    assert not installation.soldiers()


ACROSS: Final = """
import asyncio, json, os, pathlib, urllib.error, urllib.request

import aiormq

COMMANDER, OTHER = os.environ["SOLDIER_COMMANDER_URL"].rstrip("/"), "%(other)s"
OWN = os.environ["SOLDIER_NAMESPACE"]

def ask(method, path, body=None, token=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": "Bearer " + token} if token else {})
    request = urllib.request.Request(COMMANDER + path, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, {}

async def is_refused(url, queue):
    connection = await aiormq.connect(url)
    try:
        channel = await connection.channel()
        await channel.basic_get(queue)
        return False
    except aiormq.exceptions.ChannelAccessRefused:
        return True
    finally:
        await connection.close()

proof = pathlib.Path(os.environ["SOLDIER_TOKEN_FILE"]).read_text()
token = ask("POST", "/token", {"grant_type": "service_account", "assertion": proof})[1]["access_token"]
pod = os.environ["SOLDIER_POD"]
told = {"instance": pod + "-0a1b2c3d", "pod": pod, "pool": "default", "types": [], "concurrency": 1}
another = told | {"pod": "x", "instance": "x-0a1b2c3d"}
own_status, own = ask("POST", "/soldiers", told | {"namespace": OWN}, token)
[url] = own["broker_urls"]
print(json.dumps({
    "registers at home": own_status,
    "registers as another pod": ask("POST", "/soldiers", another | {"namespace": OWN}, token)[0],
    "registers elsewhere": ask("POST", "/soldiers", told | {"namespace": OTHER}, token)[0],
    "lists missions": ask("GET", "/missions?namespace=" + OTHER, None, token)[0],
    "submits": ask("POST", "/missions", {"type": "noop", "payload": {}, "namespace": OTHER}, token)[0],
    "declares a pool": ask("PUT", "/pools/" + OTHER + "/default", {}, token)[0],
    "is refused others' orders": asyncio.run(is_refused(url, "missions.orders." + OTHER + ".default")),
    "is refused its own orders": asyncio.run(is_refused(url, "missions.orders." + OWN + ".default")),
}))
"""


def test_a_teams_soldier_reaches_nothing_of_the_other(installation: Installation, teams: dict[str, str]) -> None:
    own, other = teams.values()
    program = ACROSS % {"other": other}
    execute = ("exec", "-i", "deployment/soldier-default", "--", "python", "-")
    found = json.loads(of(installation, own).kubectl(*execute, stdin=program))
    assert found == {
        "registers at home": 200,
        "registers as another pod": 403,
        "registers elsewhere": 403,
        "lists missions": 403,
        "submits": 403,
        "declares a pool": 403,
        "is refused others' orders": True,
        "is refused its own orders": False,
    }


@pytest.mark.parametrize("resource", ["missions", "soldierpools", "deployments", "pods", "leases", "secrets"])
def test_a_teams_account_reaches_nothing_of_the_other_team_nor_of_the_control_plane(
    installation: Installation, teams: dict[str, str], resource: str
) -> None:
    own, other = teams.values()
    account = f"--as=system:serviceaccount:{own}:mission-control-soldier"
    for namespace in (other, installation.namespace):
        for verb in ("get", "create", "delete", "patch"):
            review = ("auth", "can-i", verb, resource, account, "--namespace", namespace)
            with pytest.raises(StackError, match=r"failed: $"):  # kubectl says no, and ends with 1
                installation.node.kubectl(*review)


async def test_a_pool_that_reaches_for_the_control_plane_is_refused(
    installation: Installation, teams: dict[str, str]
) -> None:
    pool = {
        "apiVersion": "missioncontrol.dev/v1alpha1",
        "kind": "SoldierPool",
        "metadata": {"name": "thief"},
        "spec": {"template": {"envFrom": [{"secretRef": {"name": "mission-control-keys"}}]}},
    }
    for namespace in teams.values():
        with pytest.raises(AssertionError, match="pools may not use the Secret"):
            of(installation, namespace).kubectl("apply", "-f", "-", stdin=json.dumps(pool))


async def test_an_operator_that_is_away_stops_its_own_namespace_only(
    installation: Installation, teams: dict[str, str]
) -> None:
    own, other = teams.values()
    scale = ("scale", f"deployment/mission-control-operator-{own}")
    installation.kubectl(*scale, "--replicas=0")
    try:
        of(installation, other).kubectl("apply", "-f", "-", stdin=file_of([a_mission("goes-on")]))
        wait = ("wait", "--for=condition=Succeeded", "mission/goes-on", "--timeout=60s")
        await asyncio.to_thread(of(installation, other).kubectl, *wait)
    finally:
        installation.kubectl(*scale, "--replicas=1")
