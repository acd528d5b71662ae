"""Attack 21: what the operator's stolen token opens; and that its Role grants nothing that it does not use."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml
from support.ability import unless, why_no_api_server
from support.operator_stage import Object, Stage, serving_our_kinds, staged
from support.patience import until
from tools import stack
from tools.installation import OPERATOR_RIGHTS
from tools.stack import audit

from mission_contracts.mission import MissionState, Reason
from mission_contracts.resources import API_VERSION
from mission_contracts.rest import SoldierView
from mission_operator.pools.deployment import labels_of

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack.ApiServer]:
    """An API server of these tests' own, which notes what it was asked for."""
    unless(why_no_api_server())
    with stack.api_server(tmp_path_factory.mktemp("audited"), audited=True) as one:
        serving_our_kinds(one.access)
        yield one


@pytest.fixture
async def stage(server: stack.ApiServer, tmp_path: Path) -> AsyncIterator[Stage]:
    namespace = f"rights-{tmp_path.name[-12:].strip('_-').replace('_', '-')}"
    server.kubectl("create", "namespace", namespace)
    async with staged(server.access, namespace, tmp_path) as one:
        yield one


def role() -> list[Object]:
    documents = yaml.safe_load_all(OPERATOR_RIGHTS.read_text())
    [found] = [one for one in documents if one["kind"] == "Role"]
    rules: list[Object] = found["rules"]
    return rules


# What its token does not open

PATIENCE_SECONDS: Final = 30.0

REFUSED: Final = [
    ("list", "secrets"),
    ("get", "secrets/mission-keys"),
    ("watch", "secrets"),
    ("list", "configmaps"),
    ("create", "pods"),
    ("delete", "pods"),
    ("create", "pods/exec"),
    ("get", "pods/log"),
    ("create", "serviceaccounts/token"),
    ("create", "rolebindings.rbac.authorization.k8s.io"),
    ("escalate", "roles.rbac.authorization.k8s.io"),
    ("impersonate", "users"),
    ("list", "nodes"),
    ("delete", "deployments.apps"),
    ("create", "jobs.batch"),
    ("update", "missions.missioncontrol.dev"),
    ("create", "missions.missioncontrol.dev"),
    ("delete", "soldierpools.missioncontrol.dev"),
    ("list", "customresourcedefinitions.apiextensions.k8s.io"),
    ("create", "validatingwebhookconfigurations.admissionregistration.k8s.io"),
    ("create", "tokenreviews.authentication.k8s.io"),
]


@pytest.mark.parametrize(("verb", "resource"), REFUSED, ids=[" ".join(one) for one in REFUSED])
def test_attack_21_the_operators_token_is_forbidden(
    server: stack.ApiServer, stage: Stage, verb: str, resource: str
) -> None:
    account = f"--as=system:serviceaccount:{stage.objects.namespace}:mission-operator"
    what, _, sub = resource.partition("/")
    more = [f"--subresource={sub}"] if sub and sub != "mission-keys" else []
    asked = f"{what}/mission-keys" if sub == "mission-keys" else what
    review = ["auth", "can-i", verb, asked, *more, account, "--namespace", stage.objects.namespace]
    with pytest.raises(stack.StackError):  # kubectl says no, and ends with 1
        server.kubectl(*review)


async def test_attack_21_secrets_are_refused_to_the_token_itself(server: stack.ApiServer, stage: Stage) -> None:
    """Not what a review says of it, but what the API server does."""
    namespace = stage.objects.namespace
    token = server.kubectl("--namespace", namespace, "create", "token", "mission-operator").strip()
    with pytest.raises(stack.StackError, match="Forbidden"):
        server.kubectl("--token", token, "--kubeconfig", str(_without_user(server)), "get", "secrets", "-n", namespace)


def _without_user(server: stack.ApiServer) -> Path:
    config = json.loads(server.kubeconfig.read_text())
    config["users"][0]["user"] = {}
    path = server.kubeconfig.parent / "nobody.json"
    path.write_text(json.dumps(config))
    return path


def test_the_role_names_every_verb_and_nothing_secret() -> None:
    for verb in audit.granted(role()):
        assert "*" not in {verb.group, verb.resource, verb.verb}, verb
        assert "secrets" not in verb.resource, verb


# What it grants is used


async def test_every_verb_that_the_role_grants_is_used(
    server: stack.ApiServer, stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = stage.objects
    await stage.operator(default_pool_file=str(_default_pool(tmp_path)), resync_seconds="1")
    await _keep_a_busy_soldier(stage)
    await _have_a_mission_expire(stage)
    await _have_a_mission_read(stage)
    await _have_something_to_tell(stage)
    given = audit.granted(role())

    def used() -> frozenset[audit.Verb]:
        return audit.seen(server.audit_log, f"{objects.namespace}:mission-operator")

    deadline = time.monotonic() + PATIENCE_SECONDS
    while used() != given and time.monotonic() < deadline:  # noqa: ASYNC110 - a file tells nobody
        await asyncio.sleep(0.5)
    with capsys.disabled():
        sys.stdout.write(f"\nKubernetes, the operator: {audit.table(given, used())}\n")
    assert used() == given


def _default_pool(folder: Path) -> Path:
    file = folder / "pool.json"
    pool = {"apiVersion": API_VERSION, "kind": "SoldierPool", "metadata": {"name": "default"}, "spec": {}}
    file.write_text(json.dumps(pool))
    return file


async def _keep_a_busy_soldier(stage: Stage) -> None:
    """A pod whose soldier is busy for seconds is annotated."""
    objects, key = stage.objects, (stage.objects.namespace, "default")
    await until(lambda: key in stage.commander.declared, "the default pool is declared")
    await objects.until_status("soldierpools", "default", bool, "the pool is described")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "soldier-default-x", "labels": labels_of("default") | {"pod-template-hash": "t1"}},
        "spec": {"nodeName": "nowhere", "containers": [{"name": "soldier", "image": "soldier"}]},
    }
    await objects.request("POST", objects.path("pods"), pod)
    busy = SoldierView(instance="i", pod="soldier-default-x", slots=16, busy=3, taking=True, beat=1)
    stage.commander.show_pool(key, soldiers=(busy,), in_flight=3)


async def _have_a_mission_expire(stage: Stage) -> None:
    stage.commander.finishes_at_once = True
    await stage.objects.create_missions("brief", ttlSecondsAfterFinished=1)
    await stage.objects.until_states({})
    stage.commander.finishes_at_once = False


async def _have_a_mission_read(stage: Stage) -> None:
    """A status that the API server refuses is looked into."""
    await stage.objects.create_missions("odd")
    await stage.objects.until_states({"odd": "Queued"})
    odd = stage.commander.of("odd").mission_id
    await stage.commander.move(odd, MissionState.COMPLETED, Reason.COMPLETED, soldier="x" * 300)
    await stage.objects.until_states({"odd": "Completed"})


async def _have_something_to_tell(stage: Stage) -> None:
    await stage.objects.create_missions("hopeless")
    await stage.objects.until_states({"odd": "Completed", "hopeless": "Queued"})
    hopeless = stage.commander.of("hopeless").mission_id
    await stage.commander.move(hopeless, MissionState.FAILED, Reason.ATTEMPTS_EXHAUSTED)
