"""One spec, at both entry points: the API server with the Commander behind it, and REST. One verdict, and one value."""

import json
from pathlib import Path

import pytest
from tools.stack import KubeAccess, StackError

from mission_commander.api import bodies
from mission_contracts.errors import Problem
from mission_contracts.resources import API_VERSION, MISSION
from mission_contracts.rest import Submission
from mission_operator.missions.observing import observe
from mission_operator.missions.submitting import submission

MANIFESTS = Path(__file__).parents[2] / "manifests"
IDENTITY = {"mission_id", "name", "namespace", "door", "floor"}
LANE = '"orderingKey": "a", '

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]

ACCEPTED = (
    '"timeoutSeconds": 5',
    '"timeoutSeconds": 5.5',
    '"timeoutSeconds": 5e0',
    '"retry": {"maxAttempts": 5}',
    '"retry": {"maxAttempts": 5.0}',
    '"retry": {"maxAttempts": 1e1}',
    '"retry": {"multiplier": 2, "initialDelaySeconds": 0.5}',
    LANE + '"sequenceNumber": 1',
    LANE + '"sequenceNumber": 9007199254740992',
    '"ttlSecondsAfterFinished": 5.0',
    '"suspend": true',
    '"cancel": false',
    '"priority": "High"',
    '"pool": "gpu"',
    '"startAfter": "2030-01-31T08:00:00Z"',
    '"startAfter": "2030-01-31t08:00:00z"',
    '"startAfter": "2030-01-31T08:00:00.123456789+01:00"',
    '"payload": {"a": [1, "x", null, {"b": true}], "n": 1.5, "big": 9007199254740993, "text": "\\ud83d\\ude00\\u0000"}',
)
REFUSED = (
    '"timeoutSeconds": "5"',
    '"timeoutSeconds": true',
    '"timeoutSeconds": 0',
    '"timeoutSeconds": -1',
    '"timeoutSeconds": 1e9',
    '"timeoutSeconds": 1e400',
    '"timeoutSeconds": [5]',
    '"deadlineSeconds": "60"',
    '"retry": {"maxAttempts": "5"}',
    '"retry": {"maxAttempts": 5.5}',
    '"retry": {"maxAttempts": true}',
    '"retry": {"maxAttempts": 101}',
    '"retry": {"attempts": 5}',
    '"retry": 5',
    LANE + '"sequenceNumber": "1"',
    LANE + '"sequenceNumber": 0',
    LANE + '"sequenceNumber": 9007199254740993',
    '"sequenceNumber": 1',
    '"ttlSecondsAfterFinished": "5"',
    '"suspend": "yes"',
    '"suspend": "true"',
    '"suspend": 1',
    '"cancel": "true"',
    '"priority": "high"',
    '"priority": 1',
    '"pool": "No_Label"',
    '"pool": "a\\n"',
    '"pool": 5',
    '"orderingKey": ""',
    '"startAfter": 1700000000',
    '"startAfter": "1700000000"',
    '"startAfter": "2030-01-31"',
    '"startAfter": "2030-01-31 08:00:00Z"',
    '"startAfter": "2030-01-31T08:00:00"',
    '"startAfter": "2030-01-31T08:00:00+0100"',
    '"startAfter": "2030-02-30T08:00:00Z"',
    '"startAfter": "2030-01-31T24:00:00Z"',
    '"payload": [1]',
    '"payload": "x"',
    '"payload": null',
    '"payload": {"a": NaN}',
    '"payload": {"a": 1e400}',
    '"payload": {"a": 1, "a": 2}',
    '"type": 5',
    '"type": "a b"',
    '"type": ""',
    '"prioritty": "High"',
)
DIFFERENT = {
    '"payload": {"big": 18446744073709551616}': "REST keeps it exact, the API server makes it a float",
    '"payload": {"name": "\\ud800"}': "REST refuses it, the API server puts U+FFFD in its place",
    '"suspend": null': "REST refuses null, the API server takes the default",
    '"pool": null': "REST refuses null, the API server takes the default",
}
"""Said in docs/reference/api.md."""


@pytest.fixture(scope="module")
def served(kube: KubeAccess) -> KubeAccess:
    kube.kubectl("apply", "-f", str(MANIFESTS / "crds"))
    kube.kubectl("wait", "--for=condition=Established", f"crd/{MISSION.full_name}", "--timeout=30s")
    return kube


def spec_of(fields: str) -> str:
    needed = {"type": '"noop"', "payload": "{}"}
    others = "".join(f', "{name}": {value}' for name, value in needed.items() if f'"{name}"' not in fields)
    return f"{{{fields}{others}}}"


def by_rest(fields: str) -> Submission | Problem:
    return bodies.submission(spec_of(fields).encode())


def by_cluster(kube: KubeAccess, namespace: str, fields: str) -> Submission | Problem | StackError:
    """The API server's verdict; where it says yes, the Commander's on what the operator sends then."""
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/missions?dryRun=All&fieldValidation=Strict"
    head = f'"apiVersion": "{API_VERSION}", "kind": "Mission", "metadata": {{"name": "m"}}'
    try:
        text = kube.kubectl("create", "--raw", path, "-f", "-", stdin=f'{{{head}, "spec": {spec_of(fields)}}}')
    except StackError as error:
        return error
    body = json.loads(text)
    return bodies.submission(submission(observe(body), body["spec"]).body)


@pytest.mark.parametrize("fields", ACCEPTED)
def test_both_accept_and_read_the_same(served: KubeAccess, kube_namespace: str, fields: str) -> None:
    rest, cluster = by_rest(fields), by_cluster(served, kube_namespace, fields)
    assert isinstance(rest, Submission), rest
    assert isinstance(cluster, Submission), cluster
    assert rest.model_dump(exclude=IDENTITY) == cluster.model_dump(exclude=IDENTITY)


@pytest.mark.parametrize("fields", REFUSED)
def test_both_refuse(served: KubeAccess, kube_namespace: str, fields: str) -> None:
    assert isinstance(by_rest(fields), Problem)
    assert not isinstance(by_cluster(served, kube_namespace, fields), Submission)


@pytest.mark.parametrize("fields", DIFFERENT)
def test_these_differ_as_documented(served: KubeAccess, kube_namespace: str, fields: str) -> None:
    rest, cluster = by_rest(fields), by_cluster(served, kube_namespace, fields)
    assert isinstance(cluster, Submission), cluster
    assert isinstance(rest, Problem) or rest.payload != cluster.payload or str(rest.payload) != str(cluster.payload)
