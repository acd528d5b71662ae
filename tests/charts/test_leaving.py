"""The program that runs before `helm uninstall`: who leaves first, and for how long that is waited for."""

from typing import Any

import leaving
import pytest

ENVIRONMENT = {
    "NAMESPACE": "missions",
    "OPERATORS": "mission-control-operator",
    "SERVED": "missions",
    "OPERATOR_PODS": "component=operator",
    "SOLDIER_DEPLOYMENTS": "managed-by=mission-operator",
    "SOLDIER_PODS": "name=soldier",
    "PATIENCE_SECONDS": "60",
}
DEPLOYMENTS = "/apis/apps/v1/namespaces/missions/deployments"
PODS = "/api/v1/namespaces/missions/pods"
OPERATOR_PODS = f"{PODS}?labelSelector=component%3Doperator"
SOLDIER_PODS = f"{PODS}?labelSelector=name%3Dsoldier"


class Cluster:
    """Pods that go after they were seen a few times."""

    def __init__(self, *, looks_until_gone: int) -> None:
        self.asked: list[str] = []
        self._looks_until_gone = looks_until_gone
        self._looks_left: dict[str, int] = {}

    def send(self, method: str, where: str, body: Any = None, headers: Any = None) -> dict[str, Any]:
        self.asked.append(f"{method} {where}")
        if method != "GET":
            return {}
        self._looks_left[where] = self._looks_left.get(where, self._looks_until_gone) - 1
        return {"items": [{"metadata": {"name": "one"}}] if self._looks_left[where] > 0 else []}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "AGAIN_SECONDS", 0)


def test_the_operator_goes_before_the_soldiers_that_it_would_make_anew() -> None:
    cluster = Cluster(looks_until_gone=3)
    leaving.leave(cluster.send, ENVIRONMENT)
    assert cluster.asked == [
        f"PATCH {DEPLOYMENTS}/mission-control-operator",
        *[f"GET {OPERATOR_PODS}"] * 3,
        f"DELETE {DEPLOYMENTS}?labelSelector=managed-by%3Dmission-operator",
        *[f"GET {SOLDIER_PODS}"] * 3,
    ]


def test_soldiers_that_do_not_go_stop_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Cluster(looks_until_gone=1)
    cluster._looks_left[SOLDIER_PODS] = 10**9
    leaving.leave(cluster.send, ENVIRONMENT | {"PATIENCE_SECONDS": "0.05"})
    assert capsys.readouterr().out.endswith("not waiting any longer for one\n")


def test_with_several_namespaces_all_operators_go_before_any_soldier() -> None:
    cluster = Cluster(looks_until_gone=1)
    several = {"NAMESPACE": "control", "OPERATORS": "operator-a,operator-b", "SERVED": "team-a,team-b"}
    leaving.leave(cluster.send, ENVIRONMENT | several)
    deployments = {name: DEPLOYMENTS.replace("missions", name) for name in ("control", "team-a", "team-b")}
    assert cluster.asked == [
        f"PATCH {deployments['control']}/operator-a",
        f"PATCH {deployments['control']}/operator-b",
        f"GET {OPERATOR_PODS.replace('missions', 'control')}",
        *(f"DELETE {deployments[name]}?labelSelector=managed-by%3Dmission-operator" for name in ("team-a", "team-b")),
        *(f"GET {SOLDIER_PODS.replace('missions', name)}" for name in ("team-a", "team-b")),
    ]
