"""Pools: what is deployed for them, and how they are described."""

from typing import Any

import msgspec
import pytest
from support import pool_builders
from support.operator_builders import NOON
from support.pool_builders import INSTALLATION, a_pool

from mission_contracts.resources import PoolReason, SoldierPoolStatus
from mission_contracts.rest import PoolView, SoldierView
from mission_contracts.soldiering import LEAVING_SECONDS
from mission_operator.pools import wording
from mission_operator.pools.deployment import belongs_to, deployment_of, is_like, is_of_earlier, size_of
from mission_operator.pools.freshness import FRESH_SECONDS, judge
from mission_operator.pools.observing import Pool
from mission_operator.pools.scaling import Demand, Scaling
from mission_operator.pools.status import Outcome, Situation, status_of
from mission_operator.pools.troubles import Trouble

DECLARED, DEPLOYED = Outcome(PoolReason.DECLARED), Outcome(PoolReason.DEPLOYED)


def a_pool_view(*taking: bool, queued: int = 0) -> PoolView:
    soldiers = tuple(
        SoldierView(instance=f"i{n}", slots=16, busy=n, taking=is_taking) for n, is_taking in enumerate(taking)
    )
    return pool_builders.a_pool_view(*soldiers, queued=queued, in_flight=4)


def a_situation(view: PoolView | None = None, desired: int = 1, **fields: Any) -> Situation:
    told: dict[str, Any] = {
        "declared": DECLARED,
        "deployed": DEPLOYED,
        "numbers": judge(view, 0.0),
        "scaling": Scaling(desired=desired, needed=1),
    } | fields
    return Situation(**told)


def _pod(pool: Pool) -> dict[str, Any]:
    template: dict[str, Any] = deployment_of(pool, INSTALLATION, 1)["spec"]["template"]
    return template


def _environment(pool: Pool) -> dict[str, Any]:
    (container,) = _pod(pool)["spec"]["containers"]
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


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


def test_with_service_accounts_a_pod_holds_no_secret_but_a_token_for_the_commander_alone() -> None:
    installation = msgspec.structs.replace(INSTALLATION, secret_name=None, rabbitmq_secret_name=None)
    pod = deployment_of(a_pool(), installation, 1)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert "secretKeyRef" not in str(container["env"])
    (token,) = (volume["projected"]["sources"] for volume in pod["volumes"] if "projected" in volume)
    assert token == [
        {"serviceAccountToken": {"audience": "mission-control", "expirationSeconds": 3600, "path": "token"}}
    ]
    told = {one["name"]: one.get("value") for one in container["env"]}
    mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert str(told["SOLDIER_TOKEN_FILE"]).rpartition("/")[0] in mounted
    assert pod["automountServiceAccountToken"] is False


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
    assert _pod(pool)["spec"]["terminationGracePeriodSeconds"] == 120 + LEAVING_SECONDS
    assert _environment(pool)["SOLDIER_DRAIN_SECONDS"] == "120"


def test_a_soldier_that_fails_leaves_its_last_words_in_the_pods_status() -> None:
    (container,) = _pod(a_pool())["spec"]["containers"]
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_no_probe_kills_a_soldier_for_less_than_a_minute_of_silence() -> None:
    (container,) = _pod(a_pool())["spec"]["containers"]
    liveness, startup, readiness = (container[f"{name}Probe"] for name in ("liveness", "startup", "readiness"))
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 60
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300, "importing handlers may take minutes"
    assert [one["httpGet"]["path"] for one in (liveness, startup, readiness)] == ["/livez", "/livez", "/readyz"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] <= 5


def test_a_rollout_takes_nobody_away_before_somebody_new_is_ready() -> None:
    strategy = deployment_of(a_pool(), INSTALLATION, 3)["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}


def test_our_own_folder_keeps_no_node_alive_unless_the_pool_says_so() -> None:
    key = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
    assert _pod(a_pool())["metadata"]["annotations"] == {key: "tmp"}
    assert _pod(a_pool(template={"annotations": {key: "tmp,cache"}}))["metadata"]["annotations"] == {key: "tmp,cache"}


def test_a_stored_deployment_is_recognised_until_the_pool_or_its_size_changes() -> None:
    stored = deployment_of(a_pool(), INSTALLATION, 2)
    assert is_like(stored, deployment_of(a_pool(), INSTALLATION, 2))
    assert not is_like(stored, deployment_of(a_pool(image="soldier:2"), INSTALLATION, 2))
    assert not is_like(stored, deployment_of(a_pool(), INSTALLATION, 3))
    assert size_of(stored) == 2
    assert belongs_to(stored, a_pool())
    assert not belongs_to({"metadata": {}}, a_pool())


def test_the_deployment_of_an_earlier_pool_of_this_name_is_told_from_a_strangers() -> None:
    ours = deployment_of(a_pool(), INSTALLATION, 1)
    (owner,) = ours["metadata"]["ownerReferences"]
    earlier = {"metadata": {"ownerReferences": [owner | {"uid": "u0"}]}}
    assert is_of_earlier(earlier, a_pool())
    assert not is_of_earlier(ours, a_pool())
    assert not is_of_earlier({"metadata": {}}, a_pool())


def _reasons(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


@pytest.mark.parametrize(
    ("pool", "situation", "expected"),
    [
        pytest.param(
            a_pool(), a_situation(a_pool_view(True, True), 2), ("True", "SoldiersReady"), id="as many as are wanted"
        ),
        pytest.param(
            a_pool(), a_situation(a_pool_view(True, False), 2), ("False", "SoldiersStarting"), id="one takes nothing"
        ),
        pytest.param(
            a_pool(),
            a_situation(a_pool_view(True), 2, trouble=Trouble(PoolReason.UNSCHEDULABLE, "no room")),
            ("False", "Unschedulable"),
            id="one cannot come up",
        ),
        pytest.param(
            a_pool(),
            a_situation(a_pool_view(True), 1, trouble=Trouble(PoolReason.UNSCHEDULABLE, "no room")),
            ("True", "SoldiersReady"),
            id="one cannot come up and is not wanted",
        ),
        pytest.param(a_pool(), a_situation(a_pool_view(), 0), ("True", "ScaledToZero"), id="none is wanted"),
        pytest.param(a_pool(paused=True), a_situation(a_pool_view(True)), ("False", "Paused"), id="paused"),
        pytest.param(
            a_pool(),
            a_situation(None, deployment={"readyReplicas": 1}),
            ("True", "SoldiersReady"),
            id="without the Commander the Deployment's word is taken",
        ),
    ],
)
def test_readiness(pool: Pool, situation: Situation, expected: tuple[str, str]) -> None:
    assert _reasons(status_of(pool, situation, NOON))["Ready"] == expected


def _scaled(desired: int, needed: int | None) -> Scaling:
    return Scaling(desired=desired, needed=needed)


BUSY, QUIET = a_pool_view(True, queued=40), pool_builders.a_pool_view()


@pytest.mark.parametrize(
    ("pool", "situation", "active", "limited"),
    [
        pytest.param(
            a_pool(), a_situation(BUSY, scaling=_scaled(3, 3)),
            ("True", "MissionsToRun"), ("False", "WithinBounds"), id="busy",
        ),
        pytest.param(
            a_pool(), a_situation(QUIET, scaling=_scaled(1, 0)),
            ("False", "NothingToDo"), ("False", "WithinBounds"), id="quiet",
        ),
        pytest.param(
            a_pool(maxReplicas=2), a_situation(BUSY, scaling=_scaled(2, 3)),
            ("True", "MissionsToRun"), ("True", "AtMaximum"), id="more would be needed",
        ),
        pytest.param(
            a_pool(replicas=2), a_situation(BUSY, scaling=_scaled(2, 3)),
            ("True", "MissionsToRun"), ("True", "Pinned"), id="pinned to fewer",
        ),
        pytest.param(
            a_pool(autoscaler="KEDA"), a_situation(BUSY, scaling=_scaled(2, 3)),
            ("True", "MissionsToRun"), ("False", "NotAutomatic"), id="another decides",
        ),
        pytest.param(
            a_pool(), a_situation(None, scaling=_scaled(2, None)),
            ("Unknown", "NumbersOld"), ("Unknown", "NumbersOld"), id="nobody knows",
        ),
    ],
)  # fmt: skip
def test_scaling_conditions(
    pool: Pool, situation: Situation, active: tuple[str, str], limited: tuple[str, str]
) -> None:
    found = _reasons(status_of(pool, situation, NOON))
    assert (found["Active"], found["ScalingLimited"]) == (active, limited)


@pytest.mark.parametrize(
    ("view", "age_seconds", "expected", "may_conclude"),
    [
        pytest.param(QUIET, 1.0, ("False", "NumbersFresh"), True, id="fresh"),
        pytest.param(QUIET, FRESH_SECONDS + 1, ("True", "NumbersOld"), False, id="old"),
        pytest.param(None, 0.0, ("True", "NumbersOld"), False, id="missing"),
        pytest.param(
            pool_builders.a_pool_view(is_current=False), 1.0, ("True", "LedgerAway"), False, id="the ledger is away"
        ),
        pytest.param(
            pool_builders.a_pool_view(in_broker=None), 1.0, ("True", "BrokerAway"), True, id="the broker is away"
        ),
    ],
)
def test_staleness(view: PoolView | None, age_seconds: float, expected: tuple[str, str], may_conclude: bool) -> None:
    numbers = judge(view, age_seconds)
    found = _reasons(status_of(a_pool(), a_situation(numbers=numbers), NOON))
    assert found["MetricsStale"] == expected
    assert (numbers.demand is not None) is may_conclude


def test_what_soldiers_hold_counts_although_the_ledger_has_lost_it() -> None:
    soldier = pool_builders.a_soldier_view(busy=3)
    demand = judge(pool_builders.a_pool_view(soldier, in_flight=0), 0.0).demand
    assert demand is not None
    assert demand.in_flight == 3


def test_a_status_counts_soldiers_and_missions_in_the_contracts_words() -> None:
    situation = a_situation(a_pool_view(True, True, queued=3), deployment={"replicas": 2})
    status = status_of(a_pool(), situation, NOON)
    SoldierPoolStatus.model_validate(status)
    counted = {name: status[name] for name in ("replicas", "ready", "busy", "queued", "inFlight", "desired")}
    assert counted == {"replicas": 2, "ready": 2, "busy": 1, "queued": 3, "inFlight": 4, "desired": 1}


def test_numbers_that_nobody_knows_are_not_shown() -> None:
    status = status_of(a_pool(), a_situation(None), NOON)
    assert not {"busy", "queued", "inFlight"} & status.keys()


def test_a_status_that_did_not_change_is_rendered_the_same_later() -> None:
    situation = a_situation(a_pool_view(True))
    first = status_of(a_pool(), situation, NOON)
    assert status_of(a_pool(status=first), situation, NOON.replace(hour=18)) == first


def test_what_went_wrong_is_said() -> None:
    situation = a_situation(
        declared=Outcome(PoolReason.COMMANDER_UNREACHABLE, "away"), deployed=Outcome(PoolReason.REFUSED, "quota")
    )
    found = _reasons(status_of(a_pool(), situation, NOON))
    assert found["Declared"] == ("False", "CommanderUnreachable")
    assert found["Deployed"] == ("False", "Refused")


@pytest.mark.parametrize(
    ("spec", "chosen", "says"),
    [
        ({"replicas": 2}, _scaled(2, 3), "spec.replicas pins 2 soldiers"),
        ({"paused": True}, _scaled(2, 3), "paused: 2 soldiers stay"),
        ({"autoscaler": "None"}, _scaled(2, 3), "autoscaler None: the number of the Deployment is left as it is"),
        ({}, _scaled(3, 3), "3 soldiers wanted: of its missions 40 wait, 4 run, worth 3 at 16 per soldier"),
        ({"maxReplicas": 2}, _scaled(2, 3), "worth 3 at 16 per soldier; maxReplicas is 2"),
        ({"minReplicas": 5}, _scaled(5, 3), "worth 3 at 16 per soldier; minReplicas is 5"),
        ({}, _scaled(5, 3), "worth 3 at 16 per soldier; fewer are enough once they have been for 60 s"),
    ],
)
def test_every_size_has_its_sentence(spec: dict[str, Any], chosen: Scaling, says: str) -> None:
    assert says in wording.reason_of_size(a_pool(**spec), chosen, judge(BUSY, 0.0).demand)


@pytest.mark.parametrize(
    ("demand", "chosen", "says"),
    [
        (Demand(), _scaled(0, 0), "0 soldiers wanted: no mission waits, runs or is due soon"),
        (Demand(), _scaled(1, 0), "1 soldier wanted: no mission waits, runs or is due soon; minReplicas is 1"),
        (Demand(), _scaled(2, 0), "is due soon; fewer are enough once that has been so for 60 s"),
        (Demand(ready=1), _scaled(1, 1), "1 soldier wanted: of its missions 1 waits, worth 1 at 16 per soldier"),
        (Demand(in_flight=1, due_soon=1), _scaled(1, 1), "of its missions 1 runs, 1 is due within a minute, worth 1"),
        (Demand(in_broker=3), _scaled(1, 1), "1 soldier wanted: the broker has 3 orders that the ledger does not"),
    ],
)
def test_one_or_none_is_said_as_a_person_would(demand: Demand, chosen: Scaling, says: str) -> None:
    assert says in wording.reason_of_size(a_pool(minReplicas=1), chosen, demand)


def test_a_step_says_from_where_to_where_and_how_long_somebody_waited() -> None:
    demand = judge(pool_builders.a_pool_view(queued=1, oldest_queued_seconds=12.4), 0.0).demand
    assert wording.step(0, 1, "why", demand) == "0 → 1 soldier; why; the first has waited for 12 s"
    assert wording.step(1, 0, "why", demand) == "1 → 0 soldiers; why"
