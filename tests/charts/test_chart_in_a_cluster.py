"""What an API server holds after install, upgrade and uninstall.

No pod runs here, so hooks are left out: those are for the end-to-end tests.
"""

import base64
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from tools import stack
from tools.charts import helm
from tools.stack import binaries

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]

Helm = Callable[..., str]

CLUSTER_WIDE = "crd,validatingadmissionpolicy,validatingadmissionpolicybinding"
OURS = "app.kubernetes.io/part-of=mission-control"


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack.KubeAccess]:
    """An API server for these tests alone: helm takes over no CRD that others have applied, and removing ours here
    would take them from others."""
    lacking = binaries.missing()
    if lacking and os.environ.get("CI") != "true":
        pytest.skip(f"{', '.join(lacking)} not built yet, so no API server can start: run `make servers` first.")
    with stack.api_server(tmp_path_factory.mktemp("chart")) as server:
        yield server.access


@pytest.fixture(scope="module")
def kube_namespace(kube: stack.KubeAccess) -> str:
    """One namespace that refuses every pod that is not restricted: CRDs that stay belong to the release in it."""
    name = f"test-{secrets.token_hex(4)}"
    kube.kubectl("create", "namespace", name)
    kube.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    return name


@pytest.fixture
def release(kube: stack.KubeAccess, kube_namespace: str) -> Iterator[Helm]:
    """helm for one release that is not installed yet, and is gone after the test."""

    def run(verb: str, *options: str) -> str:
        chart = [str(helm.CHART)] if verb in {"install", "upgrade"} else []
        command = [
            str(binaries.required("helm")),
            verb,
            "mission-control",
            *chart,
            "--namespace",
            kube_namespace,
            *options,
        ]
        environment = {**os.environ, **kube.environment()}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run
    run("uninstall", "--no-hooks", "--ignore-not-found")
    kube.kubectl("delete", "secret", "-n", kube_namespace, "-l", OURS)


@pytest.fixture
def keys(kube: stack.KubeAccess, kube_namespace: str) -> Callable[[], dict[str, str]]:
    def read() -> dict[str, str]:
        secret = kube.kubectl("get", "secret", "mission-control-keys", "-n", kube_namespace, "-o", "yaml")
        return {name: base64.b64decode(value).decode() for name, value in yaml.safe_load(secret)["data"].items()}

    return read


def test_generated_keys_survive_upgrades_and_even_the_release(
    release: Helm, keys: Callable[[], dict[str, str]]
) -> None:
    release("install")
    made = keys()
    assert all(len(made[name]) >= 32 for name in ("install-key", "client-secret", "rabbitmq-password"))
    assert len({made[name] for name in ("install-key", "client-secret", "user-client-secret")}) == 3
    release("upgrade", "--set", "commander.replicas=2")
    assert keys() == made
    release("uninstall", "--no-hooks")
    release("install")
    assert keys() == made, "new passwords would not open what the volumes hold"


def test_an_upgrade_without_changes_restarts_nothing(
    release: Helm, kube: stack.KubeAccess, kube_namespace: str
) -> None:
    def generations() -> str:
        path = "jsonpath={range .items[*]}{.metadata.name}={.metadata.generation} {end}"
        return kube.kubectl("get", "deployments,statefulsets", "-n", kube_namespace, "-o", path)

    release("install")
    before = generations()
    assert "mission-control-commander=1" in before
    release("upgrade")
    assert generations() == before


def test_crds_missions_and_keys_stay_and_everything_else_goes(
    release: Helm, kube: stack.KubeAccess, kube_namespace: str
) -> None:
    release("install")
    mission: dict[str, Any] = {
        "apiVersion": "missioncontrol.dev/v1alpha1",
        "kind": "Mission",
        "metadata": {"name": "hello", "namespace": kube_namespace},
        "spec": {"type": "noop", "payload": {}},
    }
    kube.kubectl("wait", "--for=condition=Established", "crd/missions.missioncontrol.dev", "--timeout=30s")
    kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(mission))
    release("uninstall", "--no-hooks")
    kinds = "deployments,statefulsets,pods,services,serviceaccounts,configmaps,secrets,roles,rolebindings,missions"
    left = kube.kubectl("get", kinds, "-n", kube_namespace, "-o", "name").split()
    assert set(left) - {"configmap/kube-root-ca.crt", "serviceaccount/default"} == {
        "secret/mission-control-keys",
        "mission.missioncontrol.dev/hello",
    }
    # The full removal, as the chart's README tells it.
    kube.kubectl("delete", CLUSTER_WIDE, "-l", OURS)
    kube.kubectl("delete", "secret,pvc", "-n", kube_namespace, "-l", OURS)
    assert kube.kubectl("get", CLUSTER_WIDE, "-l", OURS, "-o", "name") == ""
    assert "mission-control" not in kube.kubectl("get", "secrets", "-n", kube_namespace, "-o", "name")


def test_every_pod_would_be_admitted_where_only_restricted_ones_are(
    release: Helm, kube: stack.KubeAccess, kube_namespace: str
) -> None:
    """Deployments are admitted whatever their pods look like, so the pods themselves are offered."""
    for each in helm.objects():
        template = each.get("spec", {}).get("template")
        if template is None:
            continue
        template["spec"]["serviceAccountName"] = "default"
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"]}
        pod["metadata"] = {"name": each["metadata"]["name"], "namespace": kube_namespace}
        claims = each["spec"].get("volumeClaimTemplates", ())
        template["spec"].setdefault("volumes", []).extend(
            {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": "data"}} for claim in claims
        )
        kube.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(pod))
