"""Attack 13: a ServiceAccount's token of another namespace, audience or pod, or of one that is gone.

The API server is real and reviews the tokens; the Commander asks it with rights of its own.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from support.ability import unless, why_no_api_server
from support.cluster_door import file_of
from support.commander_api import serving
from tools import stack
from tools.stack.audit import Verb, granted, seen

from mission_commander.adapters import kubernetes_cluster

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]

OURS: Final = "missions"
SERVED: Final = "team-a"
RIGHTS: Final = {
    "review": {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    "pods": {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack.ApiServer]:
    unless(why_no_api_server())
    with stack.api_server(tmp_path_factory.mktemp("audited"), audited=True) as one:
        for namespace in (OURS, SERVED, "elsewhere"):
            one.kubectl("create", "namespace", namespace)
            for account in ("commander", "operator", "soldier", "other"):
                one.kubectl("-n", namespace, "create", "serviceaccount", account)
        one.kubectl("apply", "-f", "-", stdin=file_of(_rights()))
        yield one


def _rights() -> Iterator[dict[str, object]]:
    """As the chart grants them: reviews are the whole cluster's, pods those of each served namespace."""
    api, subjects = "rbac.authorization.k8s.io", [{"kind": "ServiceAccount", "name": "commander", "namespace": OURS}]
    granted_in = [("ClusterRole", None), ("Role", OURS), ("Role", SERVED)]
    for kind, namespace in granted_in:
        rule = RIGHTS["review" if namespace is None else "pods"]
        metadata = {"name": "commander", **({"namespace": namespace} if namespace else {})}
        yield {"apiVersion": f"{api}/v1", "kind": kind, "metadata": metadata, "rules": [rule]}
        reference = {"apiGroup": api, "kind": kind, "name": "commander"}
        binding = {"apiVersion": f"{api}/v1", "kind": f"{kind}Binding", "metadata": metadata}
        yield binding | {"roleRef": reference, "subjects": subjects}


def a_pod(server: stack.ApiServer, name: str, account: str, *, namespace: str = OURS, pool: str | None = "own") -> None:
    labels = {"missioncontrol.dev/pool": pool} if pool else {}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"serviceAccountName": account, "nodeName": "n", "containers": [{"name": "c", "image": "i"}]},
    }
    server.kubectl("apply", "-f", "-", stdin=json.dumps(pod))


def token(
    server: stack.ApiServer, account: str, *, pod: str = "", namespace: str = OURS, audience: str = "mission-control"
) -> str:
    bound = ["--bound-object-kind=Pod", f"--bound-object-name={pod}"] if pod else []
    asked = ("-n", namespace, "create", "token", account, f"--audience={audience}", *bound)
    return server.kubectl(*asked).strip()


@pytest.fixture
async def commander(server: stack.ApiServer, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with _a_commander(server, tmp_path) as client:
        yield client


@asynccontextmanager
async def _a_commander(server: stack.ApiServer, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    own = folder / "token"
    own.write_text(token(server, "commander", audience="https://kubernetes.default.svc"))
    async with (
        kubernetes_cluster.connect(server.url, own, server.certificate) as cluster,
        serving(cluster=cluster, namespace=OURS, namespaces=[SERVED], operator_account="operator") as api,
    ):
        yield await api.stranger()


def told_by(pod: str, *, pool: str, namespace: str = OURS) -> dict[str, object]:
    """A registration: an instance is called after its pod."""
    where = {"instance": f"{pod}-0a1b2c3d", "pod": pod, "namespace": namespace, "pool": pool}
    return where | {"types": [], "concurrency": 1}


async def login(commander: httpx.AsyncClient, assertion: str) -> httpx.Response:
    return await commander.post("/token", json={"grant_type": "service_account", "assertion": assertion})


async def test_a_soldiers_pod_gets_a_token_for_its_own_pool(
    server: stack.ApiServer, commander: httpx.AsyncClient
) -> None:
    a_pod(server, "soldier-own-1", "soldier")
    answer = await login(commander, token(server, "soldier", pod="soldier-own-1"))
    assert answer.status_code == 200, answer.text
    commander.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    told = told_by("soldier-own-1", pool="own")
    assert (await commander.post("/soldiers", json=told)).status_code == 200
    for other in ({"pool": "other"}, {"namespace": "elsewhere"}):
        assert (await commander.post("/soldiers", json=told | other)).status_code == 403
    assert (await commander.get("/missions")).status_code == 403


async def test_the_operators_pod_gets_the_operators_token(
    server: stack.ApiServer, commander: httpx.AsyncClient
) -> None:
    a_pod(server, "operator-1", "operator", pool=None)
    answer = await login(commander, token(server, "operator", pod="operator-1"))
    commander.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    assert (await commander.put(f"/pools/{OURS}/own", json={})).status_code == 200


async def test_a_pool_of_the_operators_account_gets_a_soldiers_token(
    server: stack.ApiServer, commander: httpx.AsyncClient
) -> None:
    a_pod(server, "soldier-thief-1", "operator", pool="thief")
    answer = await login(commander, token(server, "operator", pod="soldier-thief-1"))
    assert answer.status_code == 200, answer.text
    commander.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    assert (await commander.put(f"/pools/{OURS}/thief", json={})).status_code == 403
    told = told_by("soldier-thief-1", pool="thief")
    assert (await commander.post("/soldiers", json=told)).status_code == 200


async def test_a_soldier_of_another_served_namespace_is_let_in_for_its_own_pool(
    server: stack.ApiServer, commander: httpx.AsyncClient
) -> None:
    a_pod(server, "soldier-own-1", "soldier", namespace=SERVED)
    answer = await login(commander, token(server, "soldier", pod="soldier-own-1", namespace=SERVED))
    assert answer.status_code == 200, answer.text
    commander.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    told = told_by("soldier-own-1", pool="own", namespace=SERVED)
    assert (await commander.post("/soldiers", json=told)).status_code == 200
    assert (await commander.post("/soldiers", json=told | {"namespace": OURS})).status_code == 403


async def test_the_operators_account_of_a_served_namespace_is_not_the_operator(
    server: stack.ApiServer, commander: httpx.AsyncClient
) -> None:
    a_pod(server, "operator-1", "operator", namespace=SERVED, pool=None)
    assert (await login(commander, token(server, "operator", pod="operator-1", namespace=SERVED))).status_code == 403


async def test_attack_13_another_audience_is_refused(server: stack.ApiServer, commander: httpx.AsyncClient) -> None:
    a_pod(server, "soldier-own-2", "soldier")
    of_the_api = token(server, "soldier", pod="soldier-own-2", audience="https://kubernetes.default.svc")
    assert (await login(commander, of_the_api)).status_code == 401


async def test_attack_13_another_namespace_is_refused(server: stack.ApiServer, commander: httpx.AsyncClient) -> None:
    a_pod(server, "soldier-own-1", "soldier", namespace="elsewhere")
    a_strangers = token(server, "soldier", pod="soldier-own-1", namespace="elsewhere")
    assert (await login(commander, a_strangers)).status_code == 403


async def test_attack_13_a_deleted_pods_token_is_refused(server: stack.ApiServer, commander: httpx.AsyncClient) -> None:
    a_pod(server, "soldier-own-3", "soldier")
    stolen = token(server, "soldier", pod="soldier-own-3")
    assert (await login(commander, stolen)).status_code == 200
    server.kubectl("-n", OURS, "delete", "pod", "soldier-own-3", "--grace-period=0", "--force")
    # The API server may remember a good token for ten seconds; that its pod is gone is seen all the same.
    assert (await login(commander, stolen)).status_code in {401, 403}
    a_pod(server, "soldier-own-3", "soldier")
    assert (await login(commander, stolen)).status_code in {401, 403}, "another pod of its name is not that pod"


async def test_attack_13_other_accounts_and_pods_without_a_pool_are_refused(
    server: stack.ApiServer, commander: httpx.AsyncClient
) -> None:
    a_pod(server, "other-1", "other", pool=None)
    assert (await login(commander, token(server, "other", pod="other-1"))).status_code == 403
    a_pod(server, "soldier-of-none", "soldier", pool=None)
    assert (await login(commander, token(server, "soldier", pod="soldier-of-none"))).status_code == 403
    assert (await login(commander, token(server, "soldier"))).status_code == 403, "bound to no pod"


@pytest.mark.parametrize("nonsense", ["", "x", "a.b.c", "é" * 100])
async def test_attack_13_what_is_no_token_is_refused(commander: httpx.AsyncClient, nonsense: str) -> None:
    assert (await login(commander, nonsense)).status_code in {401, 422}


async def test_the_commanders_rights_are_used_and_no_others(
    server: stack.ApiServer, commander: httpx.AsyncClient
) -> None:
    a_pod(server, "soldier-own-4", "soldier")
    await login(commander, token(server, "soldier", pod="soldier-own-4"))
    used: frozenset[Verb] = seen(server.audit_log, f"{OURS}:commander")
    assert used == granted(RIGHTS.values())
