"""The cluster that all end-to-end tests run on: what it can do, and that it goes as it came."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.nodes import Node, make
from support.patience import until
from tools import cluster as clusters
from tools.cluster import sandbox
from tools.stack import StackError

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300, func_only=True)]


@pytest.fixture
def cluster(a_node: Callable[[], Node]) -> Node:
    """Whatever an earlier test did to it, it serves."""
    return a_node()


@pytest.fixture
def namespace(cluster: Node) -> Iterator[str]:
    name = f"test-{secrets.token_hex(3)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    with contextlib.suppress(StackError):  # the test may have ended the cluster
        cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def node(cluster: Node, layout: clusters.Layout) -> sandbox.Running:
    """The node's outermost process, where it is a node of our own."""
    running = sandbox.running(layout)
    if running is None:
        pytest.skip("kind runs this cluster, so there is no node of our own to break")
    return running


class TestPods:
    async def test_they_find_each_other_by_name_and_can_be_looked_into(self, cluster: Node, namespace: str) -> None:
        kubectl = in_namespace(cluster, namespace)
        kubectl("apply", "-f", "-", stdin=manifests(a_web_server(), its_service()))
        kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
        ask = "import urllib.request as r; print(r.urlopen('http://web.{}.svc.cluster.local').status)"
        assert kubectl("exec", "web", "--", "python", "-c", ask.format(namespace)) == "200\n"
        await until(lambda: "GET / HTTP" in kubectl("logs", "web"), "the request was in the pod's log")

    async def test_a_name_outside_is_refused_at_once(self, cluster: Node, namespace: str) -> None:
        kubectl = in_namespace(cluster, namespace)
        kubectl("apply", "-f", "-", stdin=manifests(a_web_server()))
        kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
        resolve = (
            "import socket\ntry: print(socket.gethostbyname('nowhere.invalid'))\nexcept OSError as e: print(e.errno)"
        )
        assert kubectl("exec", "web", "--", "python", "-c", resolve) == "-2\n"

    def test_a_service_answers_on_this_machine_too(self, cluster: Node, namespace: str, node: sandbox.Running) -> None:
        kubectl = in_namespace(cluster, namespace)
        kubectl("apply", "-f", "-", stdin=manifests(a_web_server(), its_service()))
        kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
        address = kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
        asked = subprocess.run(
            ["curl", "--silent", "--fail", "--noproxy", "*", "--retry", "5", "--retry-all-errors", f"http://{address}"],
            check=False,
            capture_output=True,
            timeout=60,
        )
        assert asked.returncode == 0, asked.stderr


class TestVolumes:
    def test_a_job_of_user_999_writes_into_a_claim_under_restricted_pod_security(
        self, cluster: Node, namespace: str
    ) -> None:
        cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
        kubectl = in_namespace(cluster, namespace)
        kubectl("apply", "-f", "-", stdin=manifests(a_claim(), a_writing_job()))
        kubectl("wait", "job/writer", "--for=condition=Complete", "--timeout=60s")
        assert kubectl("logs", "job/writer") == "999 wrote\n"

    async def test_a_volume_goes_with_its_claim(self, cluster: Node, namespace: str) -> None:
        kubectl = in_namespace(cluster, namespace)
        kubectl("apply", "-f", "-", stdin=manifests(a_claim()))
        kubectl("wait", "pvc/data", "--for=jsonpath={.status.phase}=Bound", "--timeout=30s")
        volume = kubectl("get", "pvc", "data", "-o", "jsonpath={.spec.volumeName}")
        kubectl("delete", "pvc", "data")
        await until(lambda: volume not in cluster.kubectl("get", "pv", "-o", "name"), f"{volume} was removed")


class TestLifeCycle:
    def test_the_node_is_ready_and_the_last_line_says_how_to_reach_it(self, cluster: Node) -> None:
        assert cluster.printed.splitlines()[-1].startswith("export KUBECONFIG=")
        assert "condition met" in cluster.kubectl("wait", "nodes", "--all", "--for=condition=Ready", "--timeout=10s")

    def test_making_it_again_leaves_it_as_it_is(
        self, cluster: Node, node: sandbox.Running, layout: clusters.Layout
    ) -> None:
        make("cluster")
        assert sandbox.running(layout) == node

    async def test_a_program_that_dies_is_started_again(
        self, cluster: Node, node: sandbox.Running, layout: clusters.Layout
    ) -> None:
        before = schedulers(layout)
        assert len(before) == 1
        os.kill(before[0], signal.SIGKILL)
        await until(lambda: schedulers(layout) not in ([], before), "another scheduler ran", seconds=30)

    def test_after_a_kill_nothing_is_in_the_way_of_the_next_start(
        self, cluster: Node, namespace: str, node: sandbox.Running, layout: clusters.Layout
    ) -> None:
        in_namespace(cluster, namespace)("apply", "-f", "-", stdin=manifests(a_web_server()))
        os.kill(node.pid, signal.SIGKILL)
        make("cluster")
        assert sandbox.running(layout) not in {None, node}
        assert namespace not in cluster.kubectl("get", "namespaces", "-o", "name")

    def test_down_leaves_no_process_mount_link_control_group_or_firewall_rule(
        self, cluster: Node, namespace: str, node: sandbox.Running, layout: clusters.Layout
    ) -> None:
        kubectl = in_namespace(cluster, namespace)
        kubectl("apply", "-f", "-", stdin=manifests(a_web_server(), its_service()))
        kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
        network = Path(f"/proc/{node.pid}/ns/net").readlink()
        assert len(in_network(network)) > 10  # or this test could not fail
        make("cluster-down")
        assert in_network(network) == []
        assert str(layout.folder) not in Path("/proc/self/mountinfo").read_text()
        assert not sandbox.has_link(layout)
        assert [group for group in sandbox.cgroups(layout) if group.exists()] == []
        assert (
            "KUBE-"
            not in subprocess.run(["iptables-save"], capture_output=True, text=True, check=True, timeout=60).stdout
        )
        assert not list(Path("/run/netns").glob("cni-*"))
        assert sorted(path.name for path in layout.folder.iterdir() if path.name not in KEPT) == []


KEPT = {"containerd", "loaded.json", "cluster.lock", "progress.log"}
"""Images, which the next start would otherwise unpack again, and what the last start said."""


def in_namespace(cluster: Node, namespace: str) -> Callable[..., str]:
    def kubectl(*arguments: str, stdin: str = "") -> str:
        return cluster.kubectl("-n", namespace, *arguments, stdin=stdin)

    return kubectl


def manifests(*objects: dict[str, object]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def a_web_server() -> dict[str, object]:
    container = {
        "name": "web",
        "image": "python:3.13-slim",
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-u", "-m", "http.server", "8000"],
        "readinessProbe": {"httpGet": {"port": 8000}, "periodSeconds": 1},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": {"app": "web"}}, "spec": spec}


def its_service() -> dict[str, object]:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}


def a_claim() -> dict[str, object]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": spec}


def a_writing_job() -> dict[str, object]:
    write = "import os, pathlib; pathlib.Path('/data/x').write_text('x'); print(os.getuid(), 'wrote')"
    container = {
        "name": "writer",
        "image": "python:3.13-slim",
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", write],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "runAsUser": 999, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "containers": [container],
    }
    spec = {"backoffLimit": 0, "template": {"spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "writer"}, "spec": spec}


def schedulers(layout: clusters.Layout) -> list[int]:
    """Our cluster's, not those of another cluster on this machine, and not the guard whose arguments look alike."""
    return [
        pid
        for pid, command in commands()
        if command[0].endswith("/kube-scheduler") and any(str(layout.folder) in word for word in command)
    ]


def commands() -> Iterator[tuple[int, list[str]]]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_text().split("\0")
            yield int(process.name), words


def in_network(namespace: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "ns/net").readlink() == namespace:
                found.append(int(process.name))
    return found
