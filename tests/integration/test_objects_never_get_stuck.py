"""Whatever the API server admitted can be updated, cancelled, finished and deleted, also what an older CRD admitted."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tools.stack import KubeAccess, StackError

from mission_contracts.resources import API_VERSION, MISSION, SOLDIER_POOL

MANIFESTS = Path(__file__).parents[2] / "manifests"
CRD_FILE = MANIFESTS / "crds" / "missions.missioncontrol.dev.yaml"
PATIENCE_SECONDS = 20.0

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]

Object = dict[str, Any]


class Missions:
    """Missions of one namespace, by way of kubectl."""

    def __init__(self, kube: KubeAccess, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return self._kube.kubectl("--namespace", self._namespace, *arguments, stdin=stdin)

    def create(self, name: str, **spec: Any) -> None:
        body = {
            "apiVersion": API_VERSION,
            "kind": "Mission",
            "metadata": {"name": name, "finalizers": ["example.com/a"]},
        }
        body["spec"] = {"type": "noop", "payload": {}, **spec}
        self.kubectl("create", "-f", "-", stdin=json.dumps(body))

    def merge(self, name: str, change: Object, *options: str) -> None:
        self.kubectl("patch", "mission", name, "--type=merge", f"--patch={json.dumps(change)}", *options)

    def report(self, name: str, state: str, sequence: int) -> None:
        self.merge(name, {"status": {"state": state, "sequence": sequence}}, "--subresource=status")

    def exists(self, name: str) -> bool:
        return bool(self.kubectl("get", "mission", name, "--ignore-not-found", "-o", "name"))


@pytest.fixture(scope="module")
def served(kube: KubeAccess) -> KubeAccess:
    """An API server that serves our kinds and holds our policy."""
    kube.kubectl("apply", "-f", str(MANIFESTS / "crds"), "-f", str(MANIFESTS / "base" / "admission-policy.yaml"))
    for resource in (MISSION, SOLDIER_POOL):
        kube.kubectl("wait", "--for=condition=Established", f"crd/{resource.full_name}", "--timeout=30s")
    return kube


@pytest.fixture
def missions(served: KubeAccess, kube_namespace: str) -> Missions:
    return Missions(served, kube_namespace)


@pytest.fixture
def older_definition(served: KubeAccess) -> Iterator[None]:
    """The API server serves Missions as an earlier release defined them, until the test ends."""
    crd = json.loads(served.kubectl("get", "crd", MISSION.full_name, "-o", "json"))
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["startAfter"] = {"type": "string", "format": "date-time"}
    for field in ("managedFields", "resourceVersion"):
        crd["metadata"].pop(field, None)
    served.kubectl("replace", "-f", "-", stdin=json.dumps(crd))
    yield
    _upgrade(served)


def _upgrade(kube: KubeAccess) -> None:
    kube.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD_FILE))


def _assert_lives(missions: Missions, name: str) -> None:
    """Label it, write its status, cancel it, finish it, delete it, and remove what held it."""
    missions.kubectl("label", "mission", name, "seen=yes")
    missions.report(name, "InProgress", 1)
    missions.merge(name, {"spec": {"cancel": True}})
    missions.report(name, "Cancelled", 2)
    missions.kubectl("delete", "mission", name, "--wait=false")
    missions.merge(name, {"metadata": {"finalizers": []}})
    assert not missions.exists(name)


@pytest.mark.parametrize(
    "moment",
    [
        "2030-01-31T08:00:00Z",
        "2030-01-31t08:00:00z",
        "2030-01-31T08:00:00.123456789+23:59",
        "2030-01-31t08:00:00.5-00:00",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
        "2030-02-31T08:00:00Z",
    ],
)
def test_whatever_moment_was_admitted_the_object_goes_its_way(missions: Missions, moment: str) -> None:
    missions.create("timed", startAfter=moment)
    _assert_lives(missions, "timed")


@pytest.mark.parametrize(
    "moment",
    [
        "tomorrow",
        "2030-01-31",
        "2030-01-31T08:00:00",
        "2030-01-31 08:00:00Z",
        "2030-01-31T08:00:00+24:00",
        "2030-13-01T08:00:00Z",
        "2030-01-31T08:00:00x5Z",
        "2030-01-31T08:00:00.1234567890Z",
    ],
)
def test_what_is_no_moment_in_rfc_3339_is_refused_with_a_sentence(missions: Missions, moment: str) -> None:
    with pytest.raises(StackError, match="startAfter"):
        missions.create("timed", startAfter=moment)


@pytest.mark.parametrize(
    "moment",
    ["2030-01-31t08:00:00z", "2030-01-31T08:00:00+99:99", "2030-01-31T08:00:00x5Z", f"2030-01-31T08:00:00.{'1' * 60}Z"],
)
def test_what_an_older_definition_admitted_goes_its_way_after_the_upgrade(
    older_definition: None, served: KubeAccess, missions: Missions, moment: str
) -> None:
    _until_created(missions, moment)
    _upgrade(served)
    _until_labelled(missions)
    _assert_lives(missions, "older")


def _until_created(missions: Missions, moment: str) -> None:
    """The API server serves a changed definition a moment after it was changed."""
    _until_taken(lambda: missions.create("older", startAfter=moment))


def _until_labelled(missions: Missions) -> None:
    _until_taken(lambda: missions.kubectl("label", "mission", "older", "first=yes", "--overwrite"))


def _until_taken(change: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            change()
        except StackError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
