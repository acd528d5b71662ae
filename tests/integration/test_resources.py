"""What a real API server makes of our resources: it accepts, defaults, explains, and refuses with a sentence."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tools.stack import KubeAccess, StackError

from mission_contracts.resources import API_VERSION, MISSION, SOLDIER_POOL
from mission_contracts.resources.definition import CATEGORY
from mission_contracts.spec import MAX_PAYLOAD_BYTES

MANIFESTS = Path(__file__).parents[2] / "manifests"
PATIENCE_SECONDS = 20.0

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]

Object = dict[str, Any]


class Objects:
    """Our objects in one namespace, by way of kubectl, as users reach them."""

    def __init__(self, kube: KubeAccess, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return self._kube.kubectl("--namespace", self._namespace, *arguments, stdin=stdin)

    def create(self, kind: str, name: str, **parts: Any) -> Object:
        written = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, **parts}
        created: Object = json.loads(self.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(written)))
        return created

    def mission(self, name: str = "hello", **spec: Any) -> Object:
        return self.create("Mission", name, spec={"type": "noop", "payload": {"a": 1}, **spec})

    def patch(self, spec: Object, *, name: str = "hello", kind: str = "mission") -> Object:
        return self._merge(kind, name, {"spec": spec})

    def report(self, state: str, sequence: int, **more: Any) -> Object:
        """Write a status, as the operator does."""
        status = {"state": state, "sequence": sequence, **more}
        return self._merge("mission", "hello", {"status": status}, "--subresource=status")

    def _merge(self, kind: str, name: str, change: Object, *options: str) -> Object:
        text = self.kubectl("patch", kind, name, "--type=merge", "-o=json", f"--patch={json.dumps(change)}", *options)
        patched: Object = json.loads(text)
        return patched


@pytest.fixture(scope="module")
def served(kube: KubeAccess) -> KubeAccess:
    """An API server that serves our kinds and holds our policy."""
    kube.kubectl("apply", "-f", str(MANIFESTS / "crds"), "-f", str(MANIFESTS / "base" / "admission-policy.yaml"))
    for resource in (MISSION, SOLDIER_POOL):
        kube.kubectl("wait", "--for=condition=Established", f"crd/{resource.full_name}", "--timeout=30s")
    _wait_until(lambda: _policy_is_active(kube), "the API server began to hold the admission policy")
    return kube


@pytest.fixture
def objects(served: KubeAccess, kube_namespace: str) -> Objects:
    return Objects(served, kube_namespace)


def _policy_is_active(kube: KubeAccess) -> bool:
    """The API server learns of a policy some time after it was created; a dry run stores nothing."""
    probe = {"apiVersion": API_VERSION, "kind": "Mission", "metadata": {"name": "probe"}}
    probe["spec"] = {"type": "noop", "payload": {"text": "x" * MAX_PAYLOAD_BYTES}}
    try:
        kube.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(probe))
    except StackError as error:
        return "at most 262144" in str(error)
    return False


def _wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS:.0f} s in vain until {what}"
        time.sleep(0.1)


def _refusal(action: Callable[[], object]) -> str:
    with pytest.raises(StackError) as refused:
        action()
    return str(refused.value)


class TestTheDefinitions:
    @pytest.mark.parametrize("resource", [MISSION, SOLDIER_POOL], ids=lambda resource: resource.kind)
    def test_their_schemas_are_structural(self, served: KubeAccess, resource: Any) -> None:
        crd = json.loads(served.kubectl("get", "crd", resource.full_name, "-o", "json"))
        conditions = {one["type"]: one["status"] for one in crd["status"]["conditions"]}
        assert conditions["Established"] == "True"
        assert "NonStructuralSchema" not in conditions

    @pytest.mark.parametrize(
        ("path", "says"),
        [
            pytest.param(
                "mission.spec.retry.maxAttempts",
                "How many attempts a mission has before it fails. Default 3, from 1 to 100.",
                id="attempts",
            ),
            pytest.param("msn.spec.pool", "Default: default", id="by the short name"),
            pytest.param("pool.spec.minReplicas", "Default 1, from 0 to 1000", id="of a pool"),
            pytest.param("mission.status.duration", "such as 1.23s, 4m05s", id="of a status"),
        ],
    )
    def test_explain_says_meaning_default_and_bounds(self, served: KubeAccess, path: str, says: str) -> None:
        text = " ".join(served.kubectl("explain", path).split())
        assert says in text

    def test_missions_have_their_columns(self, objects: Objects) -> None:
        objects.mission()
        objects.report("InProgress", 7, attempt=1, progress=40, reason="Running", message="Half way.")
        header, row = objects.kubectl("get", "missions").splitlines()
        assert header.split() == ["NAME", "STATE", "TYPE", "POOL", "ATTEMPT", "PROGRESS", "DURATION", "AGE"]
        assert row.split()[:6] == ["hello", "InProgress", "noop", "default", "1", "40"]
        assert objects.kubectl("get", "msn", "-o", "wide").splitlines()[0].split()[-2:] == ["REASON", "MESSAGE"]

    def test_pools_have_their_columns(self, objects: Objects) -> None:
        objects.create("SoldierPool", "hello", spec={})
        header = objects.kubectl("get", "pool").splitlines()[0].split()
        assert header == ["NAME", "READY", "DESIRED", "BUSY", "QUEUED", "IN-FLIGHT", "PAUSED", "AGE"]

    def test_one_word_lists_all_our_objects(self, objects: Objects) -> None:
        objects.mission()
        objects.create("SoldierPool", "warm", spec={})
        listed = objects.kubectl("get", CATEGORY, "-o", "name").split()
        assert listed == ["mission.missioncontrol.dev/hello", "soldierpool.missioncontrol.dev/warm"]


class TestDefaults:
    def test_a_mission_gets_what_it_left_out(self, objects: Objects) -> None:
        created = objects.mission()
        assert created["spec"] == {
            "type": "noop",
            "payload": {"a": 1},
            "pool": "default",
            "priority": "Normal",
            "timeoutSeconds": 3600,
            "deadlineSeconds": 86400,
            "retry": {"maxAttempts": 3, "initialDelaySeconds": 1, "multiplier": 2, "maxDelaySeconds": 300},
            "runPolicy": "PerObject",
            "suspend": False,
            "cancel": False,
        }

    def test_a_pool_gets_what_it_left_out(self, objects: Objects) -> None:
        created = objects.create("SoldierPool", "hello", spec={})
        assert created["spec"] == {
            "concurrency": 16,
            "minReplicas": 1,
            "maxReplicas": 10,
            "idleSeconds": 60,
            "autoscaler": "BuiltIn",
            "paused": False,
            "drainSeconds": 30,
        }

    def test_a_payload_is_kept_as_it_is(self, objects: Objects) -> None:
        payload = {"text": "ü, 'x'", "none": None, "list": [1, 2.5, {"deep": [None]}], "apiVersion": "v1", "no": False}
        assert objects.mission(payload=payload)["spec"]["payload"] == payload

    def test_a_forged_status_is_dropped_at_creation(self, objects: Objects) -> None:
        forged = {"state": "Completed", "sequence": 10**15}
        created = objects.create("Mission", "forged", spec={"type": "noop", "payload": {}}, status=forged)
        assert "status" not in created

    def test_a_forged_status_is_dropped_in_an_update(self, objects: Objects) -> None:
        objects.mission()
        forged = {"status": {"state": "Completed", "sequence": 10**15}, "spec": {"suspend": True}}
        objects.kubectl("patch", "mission", "hello", "--type=merge", f"--patch={json.dumps(forged)}")
        assert "status" not in json.loads(objects.kubectl("get", "mission", "hello", "-o", "json"))


class TestRefusedAtCreation:
    @pytest.mark.parametrize(
        ("spec", "says"),
        [
            pytest.param({"colour": "red"}, 'unknown field "spec.colour"', id="an unknown field"),
            pytest.param({"retry": {"times": 3}}, 'unknown field "spec.retry.times"', id="an unknown field below"),
            pytest.param({"type": "-noop-"}, "must be a mission type: letters, digits", id="a type"),
            pytest.param({"type": ""}, "must be a mission type: letters, digits", id="an empty type"),
            pytest.param({"pool": "Bad_Pool"}, "must be a DNS label: lower-case letters", id="a pool's name"),
            pytest.param({"pool": "a.b"}, "must be a DNS label: lower-case letters", id="a pool's name with a dot"),
            pytest.param({"pool": "p" * 64}, "Too long", id="a long pool's name"),
            pytest.param({"payload": [1]}, "spec.payload", id="a payload that is no object"),
            pytest.param({"timeoutSeconds": 0}, "spec.timeoutSeconds", id="no time at all"),
            pytest.param({"deadlineSeconds": 31_622_401}, "spec.deadlineSeconds", id="more than a year"),
            pytest.param({"retry": {"maxAttempts": 0}}, "spec.retry.maxAttempts", id="no attempt"),
            pytest.param({"retry": {"maxAttempts": 1.5}}, "spec.retry.maxAttempts", id="half an attempt"),
            pytest.param({"priority": "Urgent"}, 'supported values: "Normal", "High"', id="a priority"),
            pytest.param({"startAfter": "tomorrow"}, "spec.startAfter", id="a moment in words"),
            pytest.param({"startAfter": "2030-01-01T00:00:00"}, "spec.startAfter", id="a moment without its zone"),
            pytest.param({"sequenceNumber": 1}, "needs orderingKey", id="a number without a lane"),
            pytest.param({"orderingKey": "a", "sequenceNumber": 0}, "spec.sequenceNumber", id="the number 0"),
            pytest.param({"callback": {"url": "ftp://host"}}, "must begin with https://", id="another protocol"),
            pytest.param({"ttlSecondsAfterFinished": -1}, "spec.ttlSecondsAfterFinished", id="a time to live"),
        ],
    )
    def test_a_mission(self, objects: Objects, spec: Object, says: str) -> None:
        assert says in _refusal(lambda: objects.mission(**spec))

    def test_a_mission_without_payload(self, objects: Objects) -> None:
        assert "spec.payload: Required value" in _refusal(
            lambda: objects.create("Mission", "hello", spec={"type": "noop"})
        )

    def test_a_mission_without_spec(self, objects: Objects) -> None:
        assert "spec: Required value" in _refusal(lambda: objects.create("Mission", "hello"))

    @pytest.mark.parametrize("name", ["Hello", "hello_world", "-hello", "h" * 254])
    def test_a_missions_name(self, objects: Objects, name: str) -> None:
        assert "metadata.name" in _refusal(lambda: objects.mission(name))

    @pytest.mark.parametrize("name", ["hello.world", "h" * 64])
    def test_a_pools_name(self, objects: Objects, name: str) -> None:
        refusal = _refusal(lambda: objects.create("SoldierPool", name, spec={}))
        assert "a SoldierPool's name must be a DNS label" in refusal

    @pytest.mark.parametrize(
        ("spec", "says"),
        [
            pytest.param({"minReplicas": 3, "maxReplicas": 2}, "exceeds maxReplicas", id="bounds that contradict"),
            pytest.param({"minReplicas": 11}, "exceeds maxReplicas (which is 10 unless set)", id="beyond the default"),
            pytest.param({"replicas": -1}, "spec.replicas", id="fewer than none"),
            pytest.param({"concurrency": 0}, "spec.concurrency", id="nothing at once"),
            pytest.param({"handlers": "shop missions"}, "must be a Python module", id="a module's name"),
            pytest.param({"autoscaler": "Magic"}, 'supported values: "BuiltIn", "KEDA", "None"', id="an autoscaler"),
            pytest.param(
                {"template": {"hostNetwork": True}},
                'unknown field "spec.template.hostNetwork"',
                id="the host's network",
            ),
            pytest.param(
                {"template": {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}},
                'unknown field "spec.template.volumes[0].hostPath"',
                id="the host's files",
            ),
            pytest.param(
                {"template": {"volumes": [{"name": "a", "emptyDir": {}, "secret": {"secretName": "s"}}]}},
                "exactly one of secret, configMap, emptyDir and persistentVolumeClaim",
                id="a volume of two kinds",
            ),
            pytest.param(
                {"template": {"labels": {"missioncontrol.dev/pool": "other"}}},
                "those under missioncontrol.dev/ are the operator's",
                id="a label of ours",
            ),
            pytest.param(
                {"template": {"env": [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}},
                "either value or valueFrom",
                id="a variable with two values",
            ),
            pytest.param(
                {"template": {"env": [{"name": "A", "valueFrom": {}}]}},
                "names exactly one of",
                id="a value from nowhere",
            ),
            pytest.param(
                {"template": {"envFrom": [{"prefix": "A"}]}}, "names exactly one of", id="variables from nowhere"
            ),
            pytest.param({"resources": {"limits": {"cpu": "much"}}}, "spec.resources.limits.cpu", id="an amount"),
        ],
    )
    def test_a_pool(self, objects: Objects, spec: Object, says: str) -> None:
        assert says in _refusal(lambda: objects.create("SoldierPool", "hello", spec=spec))


class TestTheSpecIsImmutable:
    @pytest.mark.parametrize(
        "change",
        [
            {"type": "other"},
            {"pool": "other"},
            {"startAfter": "2030-01-01T00:00:00Z"},
            {"startAfter": None},
            {"timeoutSeconds": 5},
            {"timeoutSeconds": None},
            {"deadlineSeconds": 5},
            {"retry": {"maxAttempts": 7}},
            {"retry": None},
            {"priority": "Normal"},
            {"orderingKey": "other"},
            {"sequenceNumber": 2},
            {"sequenceNumber": None},
            {"runPolicy": "Once"},
            {"callback": {"url": "https://host/other"}},
            {"callback": None},
        ],
        ids=json.dumps,
    )
    def test_a_typed_field_keeps_its_value(self, objects: Objects, change: Object) -> None:
        objects.mission(
            startAfter="2029-01-01T00:00:00Z",
            timeoutSeconds=60,
            retry={"maxAttempts": 2},
            priority="High",
            orderingKey="lane",
            sequenceNumber=1,
            callback={"url": "https://host/path"},
        )
        (field,) = change
        assert f"spec: Forbidden: {field} cannot change once the object exists" in _refusal(
            lambda: objects.patch(change)
        )

    def test_all_that_changed_is_named(self, objects: Objects) -> None:
        objects.mission()
        change = {"type": "other", "orderingKey": "lane", "suspend": True}
        assert "spec: Forbidden: type orderingKey cannot change" in _refusal(lambda: objects.patch(change))

    @pytest.mark.parametrize(
        "change",
        [{"startAfter": "2030-01-01T00:00:00Z"}, {"orderingKey": "lane"}, {"callback": {"url": "https://host"}}],
        ids=json.dumps,
    )
    def test_a_typed_field_that_was_left_out_stays_out(self, objects: Objects, change: Object) -> None:
        objects.mission()
        assert "cannot change once the object exists" in _refusal(lambda: objects.patch(change))

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param({"a": None, "b": 1}, id="a renamed key"),
            pytest.param({"a": 2}, id="another value"),
            pytest.param({"b": 1}, id="one more key"),
            pytest.param({"deep": {"list": [1, 3]}}, id="a value far below"),
        ],
    )
    def test_a_payload_keeps_its_value(self, objects: Objects, change: Object) -> None:
        objects.mission(payload={"a": 1, "deep": {"list": [1, 2]}})
        assert "spec.payload cannot change once the object exists" in _refusal(
            lambda: objects.patch({"payload": change})
        )

    @pytest.mark.parametrize(
        "change", [{"suspend": True}, {"cancel": True}, {"ttlSecondsAfterFinished": 60}], ids=json.dumps
    )
    def test_what_may_change_changes(self, objects: Objects, change: Object) -> None:
        objects.mission()
        assert change.items() <= objects.patch(change)["spec"].items()

    def test_a_suspended_mission_goes_on(self, objects: Objects) -> None:
        objects.mission(suspend=True)
        assert objects.patch({"suspend": False})["spec"]["suspend"] is False

    @pytest.mark.parametrize("cancel", [False, None])
    def test_a_cancel_cannot_be_taken_back(self, objects: Objects, cancel: object) -> None:
        objects.mission(cancel=True)
        assert "spec.cancel: Forbidden: cannot be taken back" in _refusal(lambda: objects.patch({"cancel": cancel}))


class TestThePayloadsSize:
    @pytest.mark.parametrize(
        "of_bytes",
        [
            pytest.param(lambda size: {"text": "x" * (size - len('{"text":""}'))}, id="one long text"),
            pytest.param(lambda size: {"text": "é" * ((size - len('{"text":""}')) // 2)}, id="letters of two bytes"),
            pytest.param(lambda size: {"list": [1] * ((size - len('{"list":[]}')) // 2)}, id="a long list"),
        ],
    )
    def test_256_kib_are_accepted_and_a_little_more_is_refused(
        self, objects: Objects, of_bytes: Callable[[int], Object]
    ) -> None:
        objects.mission("fits", payload=of_bytes(MAX_PAYLOAD_BYTES))
        refusal = _refusal(lambda: objects.mission("too-large", payload=of_bytes(MAX_PAYLOAD_BYTES + 4)))
        assert "bytes as JSON, at most 262144 are allowed" in refusal

    def test_a_mission_with_the_largest_payload_can_still_be_cancelled(self, objects: Objects) -> None:
        objects.mission(payload={f"key-{number}": [number] for number in range(14_000)})
        assert objects.patch({"cancel": True})["spec"]["cancel"] is True


class TestAStatusNeverMovesBackwards:
    def test_it_moves_forwards(self, objects: Objects) -> None:
        objects.mission()
        objects.report("Queued", 10)
        objects.report("InProgress", 11)
        objects.report("Queued", 12, reason="RetryBackoff")
        objects.report("InProgress", 13)
        assert objects.report("Completed", 14)["status"]["state"] == "Completed"

    def test_a_smaller_sequence_is_refused(self, objects: Objects) -> None:
        objects.mission()
        objects.report("InProgress", 11)
        refusal = _refusal(lambda: objects.report("InProgress", 10))
        assert "status.sequence: Forbidden: cannot fall: this status is older" in refusal

    def test_another_state_of_the_same_sequence_is_refused(self, objects: Objects) -> None:
        objects.mission()
        objects.report("Queued", 10)
        refusal = _refusal(lambda: objects.report("InProgress", 10))
        assert "status.state: Forbidden: cannot change while sequence stays the same" in refusal

    def test_the_same_status_again_is_accepted(self, objects: Objects) -> None:
        objects.mission()
        objects.report("Queued", 10, reason="NoPool")
        assert objects.report("Queued", 10, message="Waits for its pool.")["status"]["reason"] == "NoPool"

    @pytest.mark.parametrize("final", ["Completed", "Failed", "Cancelled"])
    def test_a_final_state_never_changes(self, objects: Objects, final: str) -> None:
        objects.mission()
        objects.report(final, 10)
        for other in {"Queued", "InProgress", "Completed", "Failed", "Cancelled"} - {final}:
            assert "a final state cannot change" in _refusal(lambda other=other: objects.report(other, 11))  # type: ignore[misc]

    def test_a_final_status_can_be_completed_with_details(self, objects: Objects) -> None:
        objects.mission()
        objects.report("Failed", 10)
        assert objects.report("Failed", 11, message="Because.")["status"]["message"] == "Because."

    @pytest.mark.parametrize("path", ["/status", "/status/state", "/status/sequence"])
    def test_a_set_status_is_never_removed(self, objects: Objects, path: str) -> None:
        objects.mission()
        objects.report("Completed", 10)
        removal = json.dumps([{"op": "remove", "path": path}])
        arguments = ("patch", "mission", "hello", "--subresource=status", "--type=json", f"--patch={removal}")
        assert "status" in _refusal(lambda: objects.kubectl(*arguments))
        assert objects.kubectl("get", "mission", "hello", "-o", "jsonpath={.status.state}") == "Completed"

    def test_a_state_that_does_not_exist_is_refused(self, objects: Objects) -> None:
        objects.mission()
        assert "status.state: Unsupported value" in _refusal(lambda: objects.report("Paused", 10))

    def test_a_result_is_kept_as_it_is(self, objects: Objects) -> None:
        objects.mission()
        for sequence, result in enumerate(({"a": [1, {"b": "ü"}]}, [1, 2], "text", 1.5, False), start=10):
            assert objects.report("InProgress", sequence, result=result)["status"]["result"] == result

    def test_wait_returns_when_the_mission_is_finished_whichever_way(self, objects: Objects) -> None:
        objects.mission()
        finished = {
            "type": "Finished",
            "status": "True",
            "reason": "GaveUp",
            "message": "The handler gave up.",
            "lastTransitionTime": "2026-01-01T00:00:00.123456Z",
            "observedGeneration": 1,
        }
        objects.report("Failed", 10, conditions=[finished])
        assert "condition met" in objects.kubectl(
            "wait", "--for=condition=Finished", "missions", "--all", "--timeout=5s"
        )


class TestScaling:
    def test_scale_pins_the_replicas(self, objects: Objects) -> None:
        objects.create("SoldierPool", "hello", spec={})
        objects.kubectl("scale", "soldierpool", "hello", "--replicas=3")
        assert objects.kubectl("get", "pool", "hello", "-o", "jsonpath={.spec.replicas}") == "3"

    def test_scale_reads_the_status(self, objects: Objects) -> None:
        objects.create("SoldierPool", "hello", spec={"replicas": 2})
        status = {"replicas": 1, "selector": "missioncontrol.dev/pool=hello"}
        patch = json.dumps({"status": status})
        objects.kubectl("patch", "pool", "hello", "--subresource=status", "--type=merge", f"--patch={patch}")
        scale = json.loads(objects.kubectl("get", "pool", "hello", "--subresource=scale", "-o", "json"))
        assert (scale["spec"]["replicas"], scale["status"]) == (2, status)


class TestTheSamples:
    def test_they_are_accepted_as_a_whole(self, objects: Objects) -> None:
        applied = objects.kubectl("apply", "-f", str(MANIFESTS / "samples")).splitlines()
        files = sorted((MANIFESTS / "samples").glob("*.yaml"))
        assert len(applied) >= len(files) > 0

    def test_what_the_api_server_refuses_is_refused_file_by_file(self, objects: Objects) -> None:
        files = sorted((MANIFESTS / "samples" / "refused-by-the-api-server").glob("*.yaml"))
        assert files
        for file in files:
            says = file.read_text().splitlines()[0].removeprefix("# Refused: ")
            assert says in _refusal(lambda file=file: objects.kubectl("create", "-f", str(file)))  # type: ignore[misc]
