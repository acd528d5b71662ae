"""Pools: what is deployed for them, and how they are described."""

from typing import Any

import pytest
from support.operator_builders import NOON

from mission_contracts.resources import PoolReason, SoldierPoolStatus
from mission_contracts.rest import PoolDeclaration, PoolView, SoldierView
from mission_operator.pools.deployment import Installation, belongs_to, deployment_of, is_like
from mission_operator.pools.observing import Pool, observe
from mission_operator.pools.status import Outcome, Situation, status_of

INSTALLATION = Installation(
    image="soldier:1",
    commander_url="http://commander",
    client_id="soldier",
    secret_name="s",
    rabbitmq_secret_name="broker",
    service_account="default",
)
DECLARED, DEPLOYED = Outcome(PoolReason.DECLARED), Outcome(PoolReason.DEPLOYED)


def a_pool(name: str = "render", **spec: Any) -> Pool:
    metadata = {"uid": "u1", "namespace": "shop", "name": name, "generation": 2}
    return observe({"metadata": metadata, "spec": spec})


def a_pool_view(*taking: bool, queued: int = 0) -> PoolView:
    soldiers = tuple(SoldierView(instance=f"i{n}", slots=16, busy=n, taking=t) for n, t in enumerate(taking))
    return PoolView(
        namespace="shop", name="render", paused=False, queued=queued, waiting=0, in_flight=4, soldiers=soldiers
    )


def _pod(pool: Pool) -> dict[str, Any]:
    template: dict[str, Any] = deployment_of(pool, INSTALLATION)["spec"]["template"]
    return template


def _environment(pool: Pool) -> dict[str, Any]:
    (container,) = _pod(pool)["spec"]["containers"]
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, PoolDeclaration(replicas=1, max_replicas=10)),
        ({"minReplicas": 0}, PoolDeclaration(replicas=0, max_replicas=10)),
        ({"replicas": 20, "paused": True}, PoolDeclaration(replicas=20, max_replicas=20, paused=True)),
    ],
    ids=["by default one soldier", "as few as none", "a pinned size wins"],
)
def test_declaration(spec: dict[str, Any], expected: PoolDeclaration) -> None:
    assert a_pool(**spec).declaration == expected


def test_soldiers_run_without_privileges() -> None:
    pod = _pod(a_pool())["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_secrets_are_named_and_never_copied() -> None:
    environment = _environment(a_pool())
    assert environment["SOLDIER_CLIENT_SECRET"] == {"secretKeyRef": {"name": "s", "key": "client-secret"}}
    assert environment["SOLDIER_RABBITMQ_URLS"] == {"secretKeyRef": {"name": "broker", "key": "rabbitmq-urls"}}


def test_a_template_adds_and_replaces_nothing_of_ours() -> None:
    pool = a_pool(
        template={
            "labels": {"team": "a", "app.kubernetes.io/name": "mine"},
            "env": [{"name": "SOLDIER_POOL", "value": "other"}, {"name": "MODE", "value": "fast"}],
            "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "cache", "emptyDir": {}}],
            "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
            "nodeSelector": {"disk": "ssd"},
        }
    )
    template = _pod(pool)
    assert template["metadata"]["labels"] == {
        "team": "a",
        "app.kubernetes.io/name": "soldier",
        "missioncontrol.dev/pool": "render",
    }
    assert (_environment(pool)["SOLDIER_POOL"], _environment(pool)["MODE"]) == ("render", "fast")
    assert [one["name"] for one in template["spec"]["volumes"]] == ["cache", "tmp"]
    assert template["spec"]["nodeSelector"] == {"disk": "ssd"}


def test_the_grace_period_outlasts_the_drain() -> None:
    pool = a_pool(drainSeconds=120)
    assert _pod(pool)["spec"]["terminationGracePeriodSeconds"] == 130
    assert _environment(pool)["SOLDIER_DRAIN_SECONDS"] == "120"


def test_a_stored_deployment_is_recognised_until_the_pool_changes() -> None:
    stored = deployment_of(a_pool(), INSTALLATION)
    assert is_like(stored, deployment_of(a_pool(), INSTALLATION))
    assert not is_like(stored, deployment_of(a_pool(image="soldier:2"), INSTALLATION))
    assert not is_like(stored | {"spec": stored["spec"] | {"replicas": 7}}, stored)
    assert belongs_to(stored, a_pool())
    assert not belongs_to({"metadata": {}}, a_pool())


def _reasons(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


@pytest.mark.parametrize(
    ("pool", "view", "expected"),
    [
        pytest.param(
            a_pool(minReplicas=2), a_pool_view(True, True), ("True", "SoldiersReady"), id="as many take as are wanted"
        ),
        pytest.param(
            a_pool(minReplicas=2),
            a_pool_view(True, False),
            ("False", "SoldiersStarting"),
            id="a soldier that takes nothing does not count",
        ),
        pytest.param(a_pool(replicas=0), a_pool_view(), ("True", "ScaledToZero"), id="none is wanted"),
        pytest.param(a_pool(paused=True), a_pool_view(True), ("False", "Paused"), id="paused"),
        pytest.param(
            a_pool(), None, ("True", "SoldiersReady"), id="without the Commander the Deployment's word is taken"
        ),
    ],
)
def test_readiness(pool: Pool, view: PoolView | None, expected: tuple[str, str]) -> None:
    situation = Situation(declared=DECLARED, deployed=DEPLOYED, view=view, deployment={"readyReplicas": 1})
    assert _reasons(status_of(pool, situation, NOON))["Ready"] == expected


def test_a_status_counts_soldiers_and_missions_in_the_contracts_words() -> None:
    situation = Situation(
        declared=DECLARED, deployed=DEPLOYED, view=a_pool_view(True, True, queued=3), deployment={"replicas": 2}
    )
    status = status_of(a_pool(), situation, NOON)
    SoldierPoolStatus.model_validate(status)
    counted = {name: status[name] for name in ("replicas", "ready", "busy", "queued", "inFlight", "desired")}
    assert counted == {"replicas": 2, "ready": 2, "busy": 1, "queued": 3, "inFlight": 4, "desired": 1}


def test_a_status_that_did_not_change_is_rendered_the_same_later() -> None:
    situation = Situation(declared=DECLARED, deployed=DEPLOYED, view=a_pool_view(True))
    first = status_of(a_pool(), situation, NOON)
    body = {
        "metadata": {"uid": "u1", "namespace": "shop", "name": "render", "generation": 2},
        "spec": {},
        "status": first,
    }
    later = NOON.replace(hour=18)
    assert status_of(observe(body), situation, later) == first


def test_what_went_wrong_is_said() -> None:
    situation = Situation(
        declared=Outcome(PoolReason.COMMANDER_UNREACHABLE, "away"), deployed=Outcome(PoolReason.REFUSED, "quota")
    )
    found = _reasons(status_of(a_pool(), situation, NOON))
    assert found["Declared"] == ("False", "CommanderUnreachable")
    assert found["Deployed"] == ("False", "Refused")
