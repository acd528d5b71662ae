"""What the API server refuses once the chart's policies are there: pools that reach for what is not theirs, and an
operator's token that reaches for more than soldiers."""

import copy
import json
import secrets
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import pytest
from support.ability import unless, why_no_api_server
from support.chart_rules import kinds_served
from support.cluster_door import a_pool, file_of
from tools import stack
from tools.charts import helm

from mission_operator.pools.deployment import Installation, deployment_of, labels_of
from mission_operator.pools.observing import observe

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]

Object = dict[str, Any]
Refusal = Callable[..., str]

NAMESPACE: Final = helm.NAMESPACE
OPERATOR: Final = f"system:serviceaccount:{NAMESPACE}:mission-control-operator"
SOLDIER: Final = "mission-control-soldier"
POLICIES_TIMEOUT_SECONDS: Final = 60.0


class Patching:
    """The operator's own account, which may patch pods and get none: kubectl would get them first."""

    def __init__(self, server: stack.ApiServer) -> None:
        self._server = server
        self._tls = ssl.create_default_context(cafile=str(server.certificate))

    def pod(self, name: str, change: Object) -> httpx.Response:
        headers = {
            "Authorization": f"Bearer {self._server.token}",
            "Impersonate-User": OPERATOR,
            "Content-Type": "application/strategic-merge-patch+json",
        }
        url = f"{self._server.url}/api/v1/namespaces/{NAMESPACE}/pods/{name}"
        return httpx.patch(url, content=json.dumps(change), headers=headers, verify=self._tls, trust_env=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack.ApiServer]:
    """An API server with what the chart installs, but pods; a pool from before the policies is in it."""
    unless(why_no_api_server())
    with stack.api_server(tmp_path_factory.mktemp("policies")) as server:
        kube = server.access
        objects = kinds_served(kube)
        apply(kube, a_pool("from-before", template=a_template("mission-control-keys")))
        kube.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=file_of(objects))
        _until_policies_hold(kube, Patching(server))
        yield server


def _until_policies_hold(kube: stack.KubeAccess, operator: Patching) -> None:
    """A policy is in force a moment after it was made."""
    apply(kube, a_pod("probe", {}))
    bad_pool = a_pool("probe", template=a_template("mission-control-keys"))
    bad_deployment = changed(a_deployment(), automountServiceAccountToken=True)
    deadline = time.monotonic() + POLICIES_TIMEOUT_SECONDS
    while not (
        refusal(kube, bad_pool) and refusal(kube, bad_deployment, OPERATOR) and operator.pod("probe", AN_IMAGE).is_error
    ):
        assert time.monotonic() < deadline, "the policies were never in force"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def kube(server: stack.ApiServer) -> stack.KubeAccess:
    return server.access


@pytest.fixture
def operator(server: stack.ApiServer) -> Patching:
    return Patching(server)


@pytest.fixture
def refused(kube: stack.KubeAccess) -> Refusal:
    return lambda thing, user="": refusal(kube, thing, user)


def refusal(kube: stack.KubeAccess, thing: Object, user: str = "") -> str:
    """Why the API server does not take it; empty where it does."""
    try:
        apply(kube, thing, user, "--dry-run=server")
    except stack.StackError as error:
        return str(error)
    return ""


def apply(kube: stack.KubeAccess, thing: Object, user: str = "", *options: str) -> None:
    told = [f"--as={user}"] if user else []
    command = ("apply", "--server-side", "--force-conflicts", "--field-manager=test", "-n", NAMESPACE, "-f", "-")
    kube.kubectl(*command, *told, *options, stdin=json.dumps(thing))


AN_IMAGE: Final = {"spec": {"containers": [{"name": "c", "image": "another"}]}}


def a_pod(name: str, labels: dict[str, str]) -> Object:
    spec = {
        "nodeName": "n",
        "serviceAccountName": "mission-control-commander",
        "containers": [{"name": "c", "image": "i"}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def a_template(secret: str) -> Object:
    return {"envFrom": [{"secretRef": {"name": secret}}]}


# Pools


def reaching(name: str) -> list[Any]:
    """Every way in which a pool's template can name an object."""
    key = {"name": name, "key": "k"}
    return [
        pytest.param({"serviceAccountName": name}, id="account"),
        pytest.param({"env": [{"name": "A", "valueFrom": {"secretKeyRef": key}}]}, id="variable of a Secret"),
        pytest.param({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": key}}]}, id="variable of a ConfigMap"),
        pytest.param({"envFrom": [{"secretRef": {"name": name}}]}, id="all of a Secret"),
        pytest.param({"envFrom": [{"configMapRef": {"name": name}}]}, id="all of a ConfigMap"),
        pytest.param({"volumes": [{"name": "v", "secret": {"secretName": name}}]}, id="Secret as files"),
        pytest.param({"volumes": [{"name": "v", "configMap": {"name": name}}]}, id="ConfigMap as files"),
        pytest.param({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]}, id="claim"),
        pytest.param({"imagePullSecrets": [{"name": name}]}, id="credentials of a registry"),
    ]


@pytest.mark.parametrize("name", ["mission-control-keys", "sh.helm.release.v1.mission-control.v1", "somebody-elses"])
@pytest.mark.parametrize("template", reaching("NAME"))
def test_a_pool_that_reaches_for_what_is_not_handed_to_pools_is_refused(
    refused: Refusal, template: Object, name: str
) -> None:
    told = json.loads(json.dumps(template).replace("NAME", name))
    assert "pools may not use" in refused(a_pool("thief", template=told))


@pytest.mark.parametrize("name", ["mission-control-operator", "mission-control-commander", "default"])
def test_a_pool_runs_as_no_account_of_the_installation(refused: Refusal, name: str) -> None:
    assert "may not use the ServiceAccount" in refused(a_pool("thief", template={"serviceAccountName": name}))


def test_a_pool_mounts_no_volume_of_the_ledger(refused: Refusal) -> None:
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "data-mission-control-redis-0"}}
    assert "may not use the PersistentVolumeClaim" in refused(a_pool("thief", template={"volumes": [volume]}))


@pytest.mark.parametrize(
    "template", [*reaching("pool-render"), {"serviceAccountName": SOLDIER}, {"labels": {"a": "b"}}]
)
def test_what_is_handed_to_pools_is_admitted(refused: Refusal, template: Object) -> None:
    assert refused(a_pool("honest", template=template)) == ""


def test_a_pool_without_a_template_is_admitted(refused: Refusal) -> None:
    assert refused(a_pool("plain")) == ""


def test_a_pool_from_before_can_be_labelled_scaled_mended_and_deleted(kube: stack.KubeAccess, refused: Refusal) -> None:
    pool = "soldierpool/from-before"
    kube.kubectl("-n", NAMESPACE, "label", pool, "team=shop")
    kube.kubectl("-n", NAMESPACE, "scale", pool, "--replicas=2")
    worse = {"spec": {"template": a_template("mission-control-keys") | {"serviceAccountName": "default"}}}
    with pytest.raises(stack.StackError, match="pools may not use"):
        kube.kubectl("-n", NAMESPACE, "patch", pool, "--type=merge", "--patch", json.dumps(worse))
    mended = {"spec": {"template": a_template("pool-own")}}
    kube.kubectl("-n", NAMESPACE, "patch", pool, "--type=merge", "--patch", json.dumps(mended))
    kube.kubectl("-n", NAMESPACE, "delete", pool, "--wait=false")


# The operator's token


def a_deployment(pool: str = "render", **spec: Any) -> Object:
    installation = Installation(
        image="soldier:1", commander_url="http://commander", client_id="soldier", secret_name=None,
        rabbitmq_secret_name=None, service_account=SOLDIER,
    )  # fmt: skip
    metadata = {"uid": secrets.token_hex(8), "namespace": NAMESPACE, "name": pool}
    return deployment_of(observe({"metadata": metadata, "spec": spec}), installation, 1)


def everything() -> Object:
    """A template that uses all that a template can."""
    whole: Object = {
        "labels": {"team": "shop"},
        "annotations": {"a": "b"},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "imagePullPolicy": "Always",
        "priorityClassName": "low",
    }
    for number, one in enumerate(reaching("pool-render")):
        for field, value in one.values[0].items():
            whole[field] = [*whole.get(field, []), *_numbered(value, number)] if isinstance(value, list) else value
    return whole | {"volumeMounts": [{"name": one["name"], "mountPath": f"/{one['name']}"} for one in whole["volumes"]]}


def _numbered(entries: list[Object], number: int) -> list[Object]:
    """Names of variables and volumes are unique in a pod."""
    return [one | {"name": f"{one['name'].lower()}{number}"} if len(one) > 1 else one for one in entries]


def changed(deployment: Object, **pod: Any) -> Object:
    other = copy.deepcopy(deployment)
    other["spec"]["template"]["spec"] |= pod
    return other


def mounting(deployment: Object, **volume: Any) -> Object:
    return changed(deployment, volumes=[*deployment["spec"]["template"]["spec"]["volumes"], {"name": "v"} | volume])


def container(deployment: Object, **fields: Any) -> Object:
    [soldier] = deployment["spec"]["template"]["spec"]["containers"]
    return changed(deployment, containers=[soldier | fields])


def test_every_deployment_that_the_operator_renders_is_admitted(refused: Refusal) -> None:
    assert refused(a_deployment(), OPERATOR) == ""
    limits = {"limits": {"memory": "1Gi"}}
    whole = a_deployment(template=everything(), image="own:1", handlers="h", resources=limits)
    assert whole["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "pool-render"}]
    assert refused(whole, OPERATOR) == ""


MORE: Final = {
    "another account": lambda it: changed(it, serviceAccountName="mission-control-operator"),
    "the default account": lambda it: changed(it, serviceAccountName="default"),
    "no account": lambda it: changed(it, serviceAccountName=""),
    "a token of the cluster": lambda it: changed(it, automountServiceAccountToken=True),
    "the host's network": lambda it: changed(it, hostNetwork=True),
    "the host's processes": lambda it: changed(it, hostPID=True),
    "a host's folder": lambda it: mounting(it, hostPath={"path": "/"}),
    "the keys as files": lambda it: mounting(it, secret={"secretName": "mission-control-keys"}),
    "the ledger's volume": lambda it: mounting(it, persistentVolumeClaim={"claimName": "data-mission-control-redis-0"}),
    "projected keys": lambda it: mounting(it, projected={"sources": [{"secret": {"name": "mission-control-keys"}}]}),
    "a projected token of the API": lambda it: mounting(
        it, projected={"sources": [{"serviceAccountToken": {"path": "t"}}]}
    ),
    "a second container": lambda it: changed(
        it, containers=[*it["spec"]["template"]["spec"]["containers"], {"name": "c", "image": "i"}]
    ),
    "an init container": lambda it: changed(it, initContainers=[{"name": "c", "image": "i"}]),
    "root": lambda it: changed(it, securityContext={"runAsNonRoot": False}),
    "a command": lambda it: container(it, command=["sh"]),
    "a hook": lambda it: container(it, lifecycle={"preStop": {"exec": {"command": ["sh"]}}}),
    "privileges": lambda it: container(
        it, securityContext={"allowPrivilegeEscalation": True, "capabilities": {"drop": ["ALL"]}}
    ),
    "root in the container": lambda it: container(
        it,
        securityContext={
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": False,
            "capabilities": {"drop": ["ALL"]},
        },
    ),
    "capabilities": lambda it: container(
        it,
        securityContext={"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}},
    ),
    "the keys as variables": lambda it: container(it, envFrom=[{"secretRef": {"name": "mission-control-keys"}}]),
    "the install key": lambda it: container(
        it,
        env=[{"name": "K", "valueFrom": {"secretKeyRef": {"name": "mission-control-keys", "key": "install-key"}}}],
    ),
    "a soldier's secret, where soldiers have tokens": lambda it: container(
        it,
        env=[{"name": "K", "valueFrom": {"secretKeyRef": {"name": "mission-control-keys", "key": "client-secret"}}}],
    ),
    "another name": lambda it: it | {"metadata": it["metadata"] | {"name": "mission-control-commander"}},
    "another label": lambda it: it | {"metadata": it["metadata"] | {"labels": {"a": "b"}}},
}


@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
def test_the_operators_token_deploys_nothing_that_is_more_than_a_soldier(
    refused: Refusal, more: Callable[[Object], Object]
) -> None:
    said = refused(more(a_deployment()), OPERATOR)
    assert "the operator may" in said or "pools may not use" in said, said


def test_the_operators_token_changes_no_deployment_but_soldiers(kube: stack.KubeAccess) -> None:
    commanders = a_deployment()
    commanders["metadata"] |= {"name": "mission-control-commander", "labels": {"app.kubernetes.io/name": "commander"}}
    soldier_like = commanders | {"metadata": commanders["metadata"] | {"name": "soldier-of-others"}}
    relabel = json.dumps({"metadata": {"labels": a_deployment()["metadata"]["labels"]}})
    for one in (commanders, soldier_like):
        del one["metadata"]["ownerReferences"]
        apply(kube, one)
        name = f"deployment/{one['metadata']['name']}"
        for change in (relabel, json.dumps({"spec": {"replicas": 0}})):
            with pytest.raises(stack.StackError, match="the operator may deploy soldiers only"):
                kube.kubectl("-n", NAMESPACE, "patch", name, f"--as={OPERATOR}", "--patch", change)


@pytest.mark.parametrize(
    "change",
    [
        AN_IMAGE,
        {"metadata": {"labels": {"missioncontrol.dev/pool": "another"}}},
        {"metadata": {"labels": {"app.kubernetes.io/name": "commander"}}},
        {"metadata": {"finalizers": ["example.com/stays"]}},
        {"spec": {"activeDeadlineSeconds": 1}},
    ],
    ids=str,
)
def test_the_operators_token_changes_nothing_but_annotations_of_a_soldiers_pod(
    kube: stack.KubeAccess, operator: Patching, change: Object
) -> None:
    apply(kube, a_pod("soldier-render-1", labels_of("render")))
    assert operator.pod("soldier-render-1", {"metadata": {"annotations": {"a": "b"}}}).status_code == 200
    answer = operator.pod("soldier-render-1", change)
    assert answer.status_code == 403
    assert "annotations of soldiers' pods only" in answer.text


@pytest.mark.parametrize(
    "change",
    [AN_IMAGE, {"metadata": {"annotations": {"a": "b"}}}, {"metadata": {"labels": labels_of("render")}}],
    ids=str,
)
def test_the_operators_token_changes_nothing_of_the_commanders_pod(
    kube: stack.KubeAccess, operator: Patching, change: Object
) -> None:
    apply(kube, a_pod("commander-1", {"app.kubernetes.io/name": "commander"}))
    answer = operator.pod("commander-1", change)
    assert answer.status_code == 403
    assert "annotations of soldiers' pods only" in answer.text


def test_others_deploy_what_they_may(refused: Refusal) -> None:
    assert refused(changed(a_deployment(), serviceAccountName="default")) == "", "RBAC decides for all but the operator"
