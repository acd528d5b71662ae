"""What is read from pods: who may be busy, what keeps a soldier from coming up, whom a node autoscaler must spare."""

from typing import Any

import msgspec
import pytest
from support.pool_builders import a_pod, ended, waiting

from mission_contracts.resources import PoolReason
from mission_operator.kube import Answer
from mission_operator.pools import pods, protecting, troubles
from mission_operator.pools.pods import ContainerState, Pod
from mission_operator.pools.protecting import BUSY_SECONDS, IDLE_SECONDS, Guard, Guards


def _listed(**status: Any) -> Pod:
    metadata = {
        "name": "soldier-render-x", "labels": {"pod-template-hash": "abc"}, "annotations": {pods.DELETION_COST: "-7"},
    }  # fmt: skip
    body = {"items": [{"metadata": metadata, "spec": {"nodeName": "n1"}, "status": status}]}
    (pod,) = pods.read(Answer(200, msgspec.json.encode(body)))
    return pod


def test_a_pod_is_read_as_the_api_server_lists_it() -> None:
    terminated = {"exitCode": 1, "reason": "Error", "message": "boom\n", "finishedAt": "2026-11-21T12:00:00Z"}
    pod = _listed(
        phase="Running",
        conditions=[{"type": "Ready", "status": "False"}, {"type": "PodScheduled", "status": "True"}],
        containerStatuses=[
            {"name": "sidecar", "state": {"running": {"startedAt": "2026-11-21T12:00:00Z"}}, "restartCount": 0},
            {
                "name": "soldier",
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": terminated},
                "restartCount": 4,
            },
        ],
    )
    assert (pod.name, pod.node, pod.template, pod.deletion_cost, pod.restarts) == (
        "soldier-render-x",
        "n1",
        "abc",
        -7,
        4,
    )
    assert pod.is_active
    assert not pod.is_ready
    assert pod.cannot_be_busy


def test_an_empty_list_is_no_pod() -> None:
    assert pods.read(Answer(200, b'{"items": null}')) == ()


@pytest.mark.parametrize(
    ("pod", "is_certain"),
    [
        pytest.param(a_pod(), False, id="its container runs"),
        pytest.param(a_pod(state=None), False, id="its kubelet has said nothing"),
        pytest.param(a_pod(state=ContainerState()), False, id="its container has not started"),
        pytest.param(a_pod(state=waiting("ContainerCreating")), False, id="its container is being made"),
        pytest.param(a_pod(state=ended(0)), False, id="its container has ended, and is started again"),
        pytest.param(a_pod(state=waiting("CrashLoopBackOff")), True, id="it is not started again for a while"),
        pytest.param(a_pod(state=waiting("ImagePullBackOff")), True, id="there is no image of it"),
        pytest.param(a_pod(node="", state=None), True, id="no node has it"),
    ],
)
def test_who_is_certain_not_to_be_busy(pod: Pod, is_certain: bool) -> None:
    assert pod.cannot_be_busy is is_certain


def test_leaving_and_ended_pods_are_none_of_the_deployments() -> None:
    assert not a_pod(is_leaving=True).is_active
    assert not a_pod(phase="Failed").is_active
    assert a_pod(phase="Pending").is_active


# Troubles

CRASHED = ended(1, "Error", "Traceback (most recent call last):\n  ...\nValueError: no such colour\n\n")


@pytest.mark.parametrize(
    ("pod", "reason", "says"),
    [
        pytest.param(
            a_pod(is_ready=False, state=waiting("ImagePullBackOff", 'Back-off pulling image "x:1"')),
            PoolReason.IMAGE_UNAVAILABLE, 'ImagePullBackOff: Back-off pulling image "x:1"; correct spec.image',
            id="a bad image",
        ),
        pytest.param(
            a_pod(is_ready=False, restarts=3, state=waiting("CrashLoopBackOff", "back-off"), last_state=CRASHED),
            PoolReason.SOLDIERS_CRASHING,
            'CrashLoopBackOff (Error, exit code 1, 3 restarts); it last said: "ValueError: no such colour"',
            id="a handler module that crashes",
        ),
        pytest.param(
            a_pod(is_ready=False, restarts=1, last_state=CRASHED),
            PoolReason.SOLDIERS_CRASHING, "Error (exit code 1, 1 restart)", id="between two crashes",
        ),
        pytest.param(
            a_pod(is_ready=False, state=ended(137, "OOMKilled")),
            PoolReason.SOLDIERS_CRASHING,
            "OOMKilled (exit code 137, 0 restarts); it used more memory than it may: raise spec.resources.limits",
            id="no memory",
        ),
        pytest.param(
            a_pod(is_ready=False, state=ended(2, "Error")),
            PoolReason.SOLDIERS_CRASHING, "(exit code 2, 0 restarts); see kubectl logs p0", id="without a last word",
        ),
        pytest.param(
            a_pod(is_ready=False, state=waiting("CreateContainerConfigError", 'secret "s" not found')),
            PoolReason.CONTAINER_REFUSED, 'secret "s" not found', id="a secret that is missing",
        ),
        pytest.param(
            a_pod(is_ready=False, node="", state=None, unschedulable="0/3 nodes are available: 3 Insufficient cpu."),
            PoolReason.UNSCHEDULABLE, "no node takes it: 0/3 nodes are available: 3 Insufficient cpu",
            id="no node takes it",
        ),
    ],
)  # fmt: skip
def test_trouble_is_named(pod: Pod, reason: PoolReason, says: str) -> None:
    found = troubles.find([a_pod("p1"), pod], {})
    assert found is not None
    assert found.reason is reason
    assert says in found.message
    assert "pod p0" in found.message


@pytest.mark.parametrize(
    "pod",
    [
        a_pod(),
        a_pod(is_ready=False),
        a_pod(is_ready=False, state=waiting("ContainerCreating")),
        a_pod(is_ready=True, last_state=CRASHED),
        a_pod(is_ready=False, is_leaving=True, last_state=CRASHED),
    ],
    ids=["well", "starting", "being made", "recovered", "leaving"],
)
def test_no_trouble(pod: Pod) -> None:
    assert troubles.find([pod], {}) is None


def test_the_worst_is_named_and_the_others_counted() -> None:
    stuck = a_pod("a", is_ready=False, node="", state=None, unschedulable="no room")
    crashing = [a_pod(name, is_ready=False, last_state=CRASHED) for name in ("c", "b")]
    found = troubles.find([stuck, *crashing], {})
    assert found is not None
    assert found.message.startswith("pod b (and 1 more like it): ")


def test_a_quota_that_lets_no_pod_be_made_is_trouble() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    found = troubles.find([], {"conditions": [condition]})
    assert found is not None
    assert (found.reason, found.message) == (
        PoolReason.PODS_REFUSED,
        "the cluster refuses its pods: FailedCreate: exceeded quota",
    )


# Protection


def _follow(seconds: float, looks: str, guards: Guards | None = None) -> tuple[Guards, int]:
    """Look so often at one pod, busy at each B; gives the end and how many writes it took."""
    guards, writes = guards or {}, 0
    for number, look in enumerate(looks):
        after = protecting.watch(guards, {"p0": look == "B"}, number * seconds)
        writes += len(protecting.changes(guards, after))
        guards = after
    return guards, writes


@pytest.mark.parametrize(
    ("looks", "is_protected", "writes"),
    [
        pytest.param("BBBB", True, 1, id="busy for a while"),
        pytest.param("BBB.", False, 0, id="a short mission"),
        pytest.param("B.B.B.B.B.B.B.B.", False, 0, id="many short missions"),
        pytest.param("BBBB" + "." * 14 + "B" + "." * 10, True, 1, id="a pause that is no rest"),
        pytest.param("BBBB" + "." * 17, False, 2, id="idle for a longer while"),
    ],
)
def test_protection_follows_slowly(looks: str, is_protected: bool, writes: int) -> None:
    guards, written = _follow(2.0, looks)
    assert (guards["p0"].is_protected, written) == (is_protected, writes)


def test_it_takes_a_while_either_way() -> None:
    assert BUSY_SECONDS < IDLE_SECONDS
    started = protecting.watch({}, {"p0": True}, 0.0)
    assert not protecting.watch(started, {"p0": True}, BUSY_SECONDS - 0.1)["p0"].is_protected
    assert protecting.watch(started, {"p0": True}, BUSY_SECONDS)["p0"].is_protected


def test_whoever_is_not_heard_of_keeps_its_protection() -> None:
    guards = {"p0": Guard(True, differs_since=0.0)}
    assert protecting.watch(guards, {}, 1000.0) == {"p0": Guard(True)}


def test_protection_shows_only_where_both_autoscalers_are_told() -> None:
    assert protecting.shows_protection(dict(protecting.ANNOTATIONS))
    assert not protecting.shows_protection({"karpenter.sh/do-not-disrupt": "true"})
