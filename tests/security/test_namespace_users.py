"""Two users of a namespace: one with rights on Missions only, one with rights on SoldierPools only.

Each tries every verb of every resource that the API server knows, in its own namespace, in another and in the whole
cluster; then what its own objects could reach; then the Commander. Each gets its own objects, and nothing else.
"""

import json
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from support.ability import unless, why_no_api_server
from support.chart_rules import kinds_served
from support.cluster_door import a_mission, a_pool, file_of
from support.commander_api import serving
from tools import stack
from tools.charts import helm

from mission_commander.adapters import kubernetes_cluster
from mission_contracts.resources import GROUP, VERSION
from mission_operator.pools.deployment import POOL_LABEL, Installation, deployment_of
from mission_operator.pools.observing import observe

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]

Object = dict[str, Any]

OWN: Final = helm.NAMESPACE
ELSEWHERE: Final = "elsewhere"
"""Another team's: the same installation serves it."""
VERBS: Final = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
OURS: Final = f"/apis/{GROUP}/{VERSION}/namespaces/{OWN}"
ABOUT_ONESELF: Final = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})
"""Every account may ask what it may do itself."""
POLICIES_TIMEOUT_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class User:
    """A ServiceAccount with the rights of one kind of person."""

    name: str
    resource: str
    """All verbs on it, in its own namespace."""


USERS: Final = (User(name="mission-writer", resource="missions"), User(name="pool-writer", resource="soldierpools"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack.ApiServer]:
    """An API server with what the chart installs, and both users."""
    unless(why_no_api_server())
    with stack.api_server(tmp_path_factory.mktemp("users")) as one:
        one.kubectl("create", "namespace", ELSEWHERE)
        rules = kinds_served(one.access, f"--set=namespaces={{{OWN},{ELSEWHERE}}}")
        one.kubectl("apply", "-f", "-", stdin=file_of(_placed(rules)))
        one.kubectl("-n", OWN, "create", "secret", "generic", "mission-control-keys", "--from-literal=install-key=x")
        for user in USERS:
            _let_in(one, user)
        _until_pools_are_checked(one)
        yield one


def _placed(rules: list[Object]) -> Iterator[Object]:
    """Helm puts what names no namespace into the release's."""
    for rule in rules:
        is_clusters = rule["kind"].startswith(("Cluster", "ValidatingAdmission"))
        yield rule if is_clusters else rule | {"metadata": {"namespace": OWN} | rule["metadata"]}


def _let_in(server: stack.ApiServer, user: User) -> None:
    own = ("-n", OWN, "create")
    server.kubectl(*own, "serviceaccount", user.name)
    verbs = [f"--verb={verb}" for verb in VERBS]
    server.kubectl(*own, "role", user.name, f"--resource={user.resource}.{GROUP}", *verbs)
    server.kubectl(*own, "rolebinding", user.name, f"--role={user.name}", f"--serviceaccount={OWN}:{user.name}")


def _until_pools_are_checked(server: stack.ApiServer) -> None:
    """A policy is in force a moment after it was made."""
    deadline = time.monotonic() + POLICIES_TIMEOUT_SECONDS
    probe = a_pool("probe", template={"serviceAccountName": "mission-control-operator"})
    with closing(Door(server, USERS[1])) as user:
        while user.ask("POST", f"{OURS}/soldierpools?dryRun=All", probe).is_success:
            assert time.monotonic() < deadline, "the policy for pools was never in force"
            time.sleep(0.2)


class Door:
    """The API server, by one user's token."""

    def __init__(self, server: stack.ApiServer, user: User) -> None:
        token = server.kubectl("-n", OWN, "create", "token", user.name).strip()
        self._http = httpx.Client(
            base_url=server.url,
            headers={"Authorization": f"Bearer {token}"},
            verify=ssl.create_default_context(cafile=str(server.certificate)),
            trust_env=False,
            timeout=20,
        )

    def close(self) -> None:
        self._http.close()

    def as_another(self, **headers: str) -> httpx.Response:
        return self._http.get(
            f"{OURS}/missions", headers={name.replace("_", "-"): one for name, one in headers.items()}
        )

    def ask(
        self, method: str, path: str, body: Object | list[Object] | None = None, form: str = "application/json"
    ) -> httpx.Response:
        content = None if body is None else json.dumps(body)
        return self._http.request(method, path, content=content, headers={"Content-Type": form})

    def merge(self, path: str, change: Object) -> httpx.Response:
        return self.ask("PATCH", path, change, "application/merge-patch+json")

    def resources(self) -> Iterator[tuple[str, Object]]:
        """Everything that the server knows, each with the path that it is under."""
        yield from self._of("/api/v1")
        for group in self.ask("GET", "/apis").json()["groups"]:
            for version in group["versions"]:
                yield from self._of(f"/apis/{version['groupVersion']}")

    def _of(self, path: str) -> Iterator[tuple[str, Object]]:
        return ((path, resource) for resource in self.ask("GET", path).json()["resources"])


@pytest.fixture(params=USERS, ids=lambda user: user.name)
def user(request: pytest.FixtureRequest) -> User:
    found: User = request.param
    return found


@pytest.fixture
def door(server: stack.ApiServer, user: User) -> Iterator[Door]:
    with closing(Door(server, user)) as own:
        yield own


METHODS: Final = {
    "get": "GET", "list": "GET", "watch": "GET", "create": "POST", "update": "PUT", "patch": "PATCH",
    "delete": "DELETE", "deletecollection": "DELETE",
}  # fmt: skip
OF_A_COLLECTION: Final = frozenset({"list", "watch", "create", "deletecollection"})


def request_of(base: str, resource: Object, verb: str, namespace: str | None) -> tuple[str, str]:
    """The method and path by which the API server knows a verb; nothing is really changed."""
    name, _, sub = resource["name"].partition("/")
    place = f"{base}/namespaces/{namespace}/{name}" if namespace else f"{base}/{name}"
    if sub:
        place = f"{place}/some/{sub}"
    elif verb not in OF_A_COLLECTION:
        place = f"{place}/some"
    query = "watch=1&timeoutSeconds=1" if verb == "watch" else "dryRun=All"
    return METHODS[verb], f"{place}?{query}"


def everything(door: Door) -> Iterator[tuple[str, str, str, str]]:
    """Resource, verb, method and path, for all that there is."""
    for base, resource in door.resources():
        for verb in {*resource["verbs"], *(() if "/" in resource["name"] else VERBS)} & METHODS.keys():
            for namespace in (OWN, ELSEWHERE, None) if resource["namespaced"] else (None,):
                if namespace is None and resource["namespaced"] and verb not in {"list", "watch"}:
                    continue
                yield (resource["name"], verb, *request_of(base, resource, verb, namespace))


def test_each_may_do_what_its_role_says_and_nothing_else(door: Door, user: User) -> None:
    own, tried, allowed = f"{OURS}/{user.resource}", 0, set()
    for resource, verb, method, path in everything(door):
        tried += 1
        status = door.ask(method, path, {} if method in {"POST", "PUT", "PATCH"} else None).status_code
        if status not in {401, 403, 405}:
            allowed.add((resource, verb, path.partition("?")[0].removesuffix("/some")))
    assert tried > 1000, "the API server names what it has"
    about_oneself = {one for one in allowed if one[0] in ABOUT_ONESELF}
    assert {path for *_, path in allowed - about_oneself} == {own}
    assert {verb for _, verb, path in allowed if path == own} == set(VERBS)


SECRET_PLACES: Final = (
    ("GET", f"/api/v1/namespaces/{OWN}/secrets/mission-control-keys"),
    ("GET", f"/api/v1/namespaces/{OWN}/secrets"),
    ("POST", f"/api/v1/namespaces/{OWN}/pods"),
    ("POST", f"/api/v1/namespaces/{OWN}/pods/any/exec?command=sh"),
    ("POST", f"/api/v1/namespaces/{OWN}/serviceaccounts/mission-control-operator/token"),
    ("POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{OWN}/rolebindings"),
    ("GET", "/api/v1/nodes/any/proxy/"),
    ("GET", "/metrics"),
    ("GET", "/logs/"),
)


@pytest.mark.parametrize(("method", "path"), SECRET_PLACES, ids=[path for _, path in SECRET_PLACES])
def test_what_would_give_more_is_forbidden(door: Door, method: str, path: str) -> None:
    assert door.ask(method, path, {} if method == "POST" else None).status_code == 403


def test_nobody_else_can_be_impersonated(door: Door) -> None:
    assert door.as_another(Impersonate_User="admin").status_code == 403
    assert door.as_another(Impersonate_User="admin", Impersonate_Group="system:masters").status_code == 403


# Rights on Missions only


@pytest.fixture
def missions(server: stack.ApiServer) -> Iterator[Door]:
    with closing(Door(server, USERS[0])) as own:
        yield own


def test_a_status_in_a_new_mission_is_left_out_and_cannot_be_written(missions: Door) -> None:
    forged = {"state": "Completed", "reason": "Completed", "missionId": "x", "epoch": 1, "sequence": 1, "attempt": 1}
    made = missions.ask("POST", f"{OURS}/missions", a_mission("forged") | {"status": forged})
    assert made.status_code == 201
    assert "status" not in made.json()
    assert missions.merge(f"{OURS}/missions/forged", {"status": forged}).is_success
    assert "status" not in missions.ask("GET", f"{OURS}/missions/forged").json()
    assert missions.merge(f"{OURS}/missions/forged/status", {"status": forged}).status_code == 403


@pytest.mark.parametrize("field", ["uid", "generation", "creationTimestamp", "resourceVersion"])
def test_what_the_cluster_writes_into_a_mission_cannot_be_chosen(missions: Door, field: str) -> None:
    """The uid is the mission's id: another's must not be had."""
    chosen = {"uid": "0", "generation": 7, "creationTimestamp": "2000-01-01T00:00:00Z", "resourceVersion": "7"}[field]
    body = a_mission(f"chosen-{field.lower()}")
    body["metadata"][field] = chosen
    made = missions.ask("POST", f"{OURS}/missions", body)
    assert made.status_code >= 400 or made.json()["metadata"][field] != chosen


def test_a_mission_is_of_the_namespace_that_it_is_made_in(missions: Door) -> None:
    body = a_mission("elsewhere")
    body["metadata"]["namespace"] = ELSEWHERE
    assert missions.ask("POST", f"{OURS}/missions", body).status_code == 400
    path = f"/apis/{GROUP}/{VERSION}/namespaces/{ELSEWHERE}/missions"
    assert missions.ask("POST", path, body).status_code == 403


@pytest.mark.parametrize("pool", [f"{ELSEWHERE}.render", f"{ELSEWHERE}/render", "../render", "*", "#", "a.b"])
def test_a_mission_names_a_pool_of_its_own_namespace_only(missions: Door, pool: str) -> None:
    assert missions.ask("POST", f"{OURS}/missions", a_mission("leads-out", pool=pool)).status_code == 422


# Rights on SoldierPools only


@pytest.fixture
def pools(server: stack.ApiServer) -> Iterator[Door]:
    with closing(Door(server, USERS[1])) as own:
        yield own


REACHING: Final[list[Object]] = [
    {"serviceAccountName": "mission-control-operator"},
    {"serviceAccountName": "mission-control-commander"},
    {"envFrom": [{"secretRef": {"name": "mission-control-keys"}}]},
    {"env": [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "mission-control-keys", "key": "install-key"}}}]},
    {"volumes": [{"name": "v", "secret": {"secretName": "sh.helm.release.v1.mission-control.v1"}}]},
    {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data-mission-control-redis-0"}}]},
    {"volumes": [{"name": "v", "configMap": {"name": "another-teams"}}]},
    {"imagePullSecrets": [{"name": "another-teams"}]},
]


@pytest.mark.parametrize("template", REACHING, ids=str)
def test_a_pool_reaches_nothing_that_was_not_handed_to_pools(pools: Door, template: Object) -> None:
    refused = pools.ask("POST", f"{OURS}/soldierpools", a_pool("thief", template=template))
    assert refused.status_code == 403
    assert "pools may not use" in refused.text


@pytest.mark.parametrize("template", REACHING, ids=str)
def test_a_pool_cannot_be_changed_into_one_that_does(pools: Door, template: Object) -> None:
    pools.ask("POST", f"{OURS}/soldierpools", a_pool("honest"))
    path = f"{OURS}/soldierpools/honest"
    assert pools.merge(path, {"spec": {"template": template}}).status_code == 403
    patch = [{"op": "add", "path": "/spec/template", "value": template}]
    assert pools.ask("PATCH", path, patch, "application/json-patch+json").status_code == 403


FORBIDDEN_FIELDS: Final[list[Object]] = [
    {"hostNetwork": True},
    {"hostPID": True},
    {"securityContext": {"runAsUser": 0}},
    {"containers": [{"name": "c", "image": "i"}]},
    {"initContainers": [{"name": "c", "image": "i"}]},
    {"automountServiceAccountToken": True},
    {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
    {"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
    {"volumes": [{"name": "v", "csi": {"driver": "secrets-store.csi.k8s.io"}}]},
]


@pytest.mark.parametrize("template", FORBIDDEN_FIELDS, ids=str)
def test_a_field_that_pools_do_not_have_changes_no_pod(pools: Door, template: Object) -> None:
    """Strictly, as kubectl asks, it is refused; else it is left out before anything reads it."""
    body = a_pool("fields", template=template)
    strict = pools.ask("POST", f"{OURS}/soldierpools?fieldValidation=Strict&dryRun=All", body)
    assert strict.status_code in {400, 422}
    lenient = pools.ask("POST", f"{OURS}/soldierpools?dryRun=All", body)
    if lenient.is_success:
        spec = rendered(lenient.json())["spec"]["template"]["spec"]
        [field] = template
        assert spec.get(field) == rendered(a_stored_pool("fields"))["spec"]["template"]["spec"].get(field)


def test_a_pools_pods_are_its_own_whatever_its_template_says(pools: Door) -> None:
    labels = {POOL_LABEL: "another", "app.kubernetes.io/name": "commander"}
    env = [{"name": "SOLDIER_POOL", "value": "another"}, {"name": "SOLDIER_NAMESPACE", "value": ELSEWHERE}]
    made = pools.ask("POST", f"{OURS}/soldierpools", a_pool("masked", template={"labels": labels, "env": env}))
    if made.is_success:
        pod = rendered(made.json())["spec"]["template"]
        assert pod["metadata"]["labels"] == {POOL_LABEL: "masked", "app.kubernetes.io/name": "soldier"}
        told = {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}
        assert (told["SOLDIER_POOL"], told["SOLDIER_NAMESPACE"]) == ("masked", OWN)
    else:
        assert made.status_code == 422


def a_stored_pool(name: str) -> Object:
    return a_pool(name) | {"metadata": {"name": name, "namespace": OWN, "uid": "u"}}


def rendered(pool: Object) -> Object:
    installation = Installation(
        image="soldier:1", commander_url="http://commander", client_id="soldier", secret_name=None,
        rabbitmq_secret_name=None, service_account="mission-control-soldier",
    )  # fmt: skip
    return deployment_of(observe(pool), installation, 1)


def test_a_pools_status_cannot_be_written(pools: Door) -> None:
    pools.ask("POST", f"{OURS}/soldierpools", a_pool("stated"))
    assert pools.merge(f"{OURS}/soldierpools/stated/status", {"status": {"ready": 5}}).status_code == 403


# The Commander


@pytest.fixture
async def commander(server: stack.ApiServer, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    own = tmp_path / "token"
    own.write_text(server.kubectl("-n", OWN, "create", "token", "mission-control-commander"))
    async with (
        kubernetes_cluster.connect(server.url, own, server.certificate) as cluster,
        serving(
            cluster=cluster, namespace=OWN, namespaces=[ELSEWHERE], operator_account="mission-control-operator"
        ) as api,
    ):
        yield await api.stranger()


@pytest.mark.parametrize("audience", ["mission-control", "https://kubernetes.default.svc"])
async def test_neither_gets_a_token_of_the_commander(
    server: stack.ApiServer, commander: httpx.AsyncClient, user: User, audience: str
) -> None:
    """They may not ask for such a token themselves (`serviceaccounts/token`); a pod of theirs would be given one."""
    token = server.kubectl("-n", OWN, "create", "token", user.name, f"--audience={audience}").strip()
    answer = await commander.post("/token", json={"grant_type": "service_account", "assertion": token})
    assert answer.status_code in {401, 403}
    for path in ("/missions", "/pools", "/dead-letters", "/status", "/rejected"):
        answer = await commander.get(path, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, path
