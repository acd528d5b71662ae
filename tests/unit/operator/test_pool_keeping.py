"""One pool from its first soldier to none and back, with a cluster that does what it is told."""

import pytest
from support.pool_stage import PoolStage

from mission_operator.pools import protecting
from mission_operator.pools.pods import DELETION_COST
from mission_operator.pools.retiring import CHEAPEST

SOON = 20.0
"""Enough for a scale-in that nothing stands in the way of."""


async def a_stage(replicas: int, **spec: object) -> PoolStage:
    """A pool that has so many idle soldiers, and whose keeper has watched it for a moment."""
    told = {"minReplicas": replicas, "idleSeconds": 10} | spec
    stage = PoolStage(**told)
    await stage.looks(6)
    assert stage.cluster.size == replicas
    stage.told.clear()
    return stage


async def test_a_new_pool_has_its_least_soldiers_and_is_declared_with_them() -> None:
    stage = PoolStage(minReplicas=2)
    await stage.looks(6)
    assert (stage.cluster.size, stage.declared[-1].replicas, stage.declared[-1].max_replicas) == (2, 2, 10)
    assert stage.condition("MetricsStale") == ("False", "NumbersFresh")
    assert stage.condition("Ready") == ("True", "SoldiersReady")


async def test_from_zero_at_the_first_mission_without_asking_again() -> None:
    stage = await a_stage(0)
    stage.work = {"queued": 1}
    stage.keeper.take(stage.view())
    await stage.keeper.look()
    assert stage.cluster.size == 1
    assert stage.told == [
        ("ScaledOut", "0 → 1 soldier; 1 soldier wanted: of its missions 1 waits, worth 1 at 16 per soldier")
    ]


async def test_many_missions_get_many_soldiers_at_once_and_no_more_than_may_be() -> None:
    stage = await a_stage(0, maxReplicas=4)
    stage.work = {"queued": 100}
    await stage.look()
    assert stage.cluster.size == 4
    assert stage.condition("ScalingLimited") == ("True", "AtMaximum")
    assert stage.condition("Active") == ("True", "MissionsToRun")


async def test_a_pool_goes_to_zero_when_it_was_quiet_for_long_enough() -> None:
    stage = await a_stage(0)
    stage.work = {"queued": 40}
    await stage.looks(6)
    stage.work = {}
    await stage.looks(8)
    assert stage.cluster.size == 3, "not before idleSeconds are over"
    await stage.looks(SOON)
    assert stage.cluster.size == 0
    assert stage.reasons() == ["ScaledOut", "Retiring", "ScaledIn"]
    assert stage.condition("Ready") == ("True", "ScaledToZero")
    assert stage.condition("Active") == ("False", "NothingToDo")


async def test_the_busy_stay_and_the_idle_go() -> None:
    stage = await a_stage(3)
    busy = min(stage.cluster.pods)
    stage.busy[busy] = 1
    stage.respec(minReplicas=0, idleSeconds=10)
    await stage.looks(SOON + 20)
    assert list(stage.cluster.pods) == [busy]
    assert stage.cluster.annotations(busy).get(DELETION_COST) is None
    assert stage.declared[-1].retire == (), "it is needed, and was told nothing"


async def test_a_busy_soldier_that_retires_is_waited_for_however_long() -> None:
    stage = await a_stage(2)
    stage.busy = dict.fromkeys(stage.cluster.pods, 5)
    stage.respec(replicas=1)
    await stage.looks(600)
    assert stage.cluster.size == 2
    (retiring,) = stage.declared[-1].retire
    active = next(one for one in stage.cluster.status["conditions"] if one["type"] == "Active")
    assert f"not known to be idle yet ({retiring})" in active["message"]
    stage.busy[retiring] = 0
    await stage.looks(SOON)
    assert stage.cluster.deleted == [retiring]


async def test_every_step_is_seen_before_the_next() -> None:
    stage = await a_stage(2)
    stage.respec(replicas=1)
    await stage.look()
    (retiring,) = stage.declared[-1].retire
    assert stage.cluster.annotations(retiring) == {}
    while not stage.cluster.annotations(retiring):
        assert stage.cluster.size == 2
        await stage.look()
    assert not stage.views[retiring].taking
    assert stage.cluster.annotations(retiring) == {DELETION_COST: str(CHEAPEST)}
    assert stage.cluster.size == 2, "marked and not lowered in one look"
    await stage.looks(SOON)
    assert (stage.cluster.deleted, stage.declared[-1].retire) == ([retiring], ())


async def test_work_that_arrives_takes_a_retirement_back() -> None:
    stage = await a_stage(1)
    stage.busy = dict.fromkeys(stage.cluster.pods, 1)
    stage.respec(minReplicas=0, replicas=0)
    await stage.look()
    assert stage.declared[-1].retire != ()
    stage.respec(minReplicas=0)
    stage.work = {"queued": 3}
    await stage.look()
    assert (stage.declared[-1].retire, stage.cluster.size) == ((), 1)
    assert stage.reasons() == ["Retiring", "RetirementTakenBack"]


async def test_a_mark_is_removed_when_the_soldier_stays() -> None:
    stage = await a_stage(2)
    stage.respec(replicas=1)
    while not any(stage.cluster.annotations(pod) for pod in stage.cluster.pods):
        await stage.look()
    stage.respec(replicas=2)
    await stage.look()
    assert [stage.cluster.annotations(pod) for pod in stage.cluster.pods] == [{}, {}]


async def test_a_mark_that_a_dead_operator_left_is_removed() -> None:
    stage = await a_stage(1)
    (pod,) = stage.cluster.pods
    stage.cluster.pods[pod]["metadata"]["annotations"] = {DELETION_COST: str(CHEAPEST)}
    stage.another(minReplicas=1)
    await stage.looks(6)
    assert stage.cluster.annotations(pod) == {}


async def test_a_new_operator_watches_for_the_whole_time_before_anybody_goes() -> None:
    stage = await a_stage(3)
    stage.another(minReplicas=0, idleSeconds=30)
    await stage.looks(30)
    assert (stage.cluster.size, stage.declared[-1].retire) == (3, ())
    await stage.looks(SOON + 10)
    assert stage.cluster.size == 0


# Without numbers


async def test_without_the_commander_nothing_changes_and_the_pool_says_so() -> None:
    stage = await a_stage(3)
    stage.respec(minReplicas=0, idleSeconds=10)
    stage.is_away = True
    applied = stage.cluster.applied
    await stage.looks(120)
    assert (stage.cluster.size, stage.cluster.applied, stage.reasons()) == (3, applied, [])
    assert stage.condition("MetricsStale") == ("True", "NumbersOld")
    assert stage.condition("Active") == ("Unknown", "NumbersOld")
    stage.is_away = False
    await stage.looks(6)
    assert stage.condition("MetricsStale")[0] == "False"
    assert stage.cluster.size == 3, "the time without numbers was no calm"


@pytest.mark.parametrize("numbers", [{"is_current": False}, {"in_broker": None}], ids=["no ledger", "no broker"])
async def test_numbers_that_are_not_sure_scale_nothing_in(numbers: dict[str, object]) -> None:
    stage = await a_stage(3)
    stage.respec(minReplicas=0, idleSeconds=10)
    stage.work = numbers
    await stage.looks(120)
    assert (stage.cluster.size, stage.declared[-1].retire) == (3, ())
    assert stage.condition("MetricsStale")[0] == "True"


async def test_a_pin_that_is_lower_waits_for_the_commander() -> None:
    stage = await a_stage(3)
    stage.is_away = True
    stage.respec(replicas=1)
    await stage.looks(60)
    assert stage.cluster.size == 3
    stage.is_away = False
    await stage.looks(SOON)
    assert stage.cluster.size == 1


async def test_a_pin_that_is_higher_needs_no_commander() -> None:
    stage = await a_stage(1)
    stage.is_away = True
    stage.respec(replicas=4)
    await stage.look()
    assert stage.cluster.size == 4


async def test_a_new_pool_is_deployed_although_the_commander_is_away() -> None:
    stage = PoolStage(minReplicas=2)
    stage.is_away = True
    await stage.looks(4)
    assert stage.cluster.size == 2
    assert stage.condition("Declared") == ("False", "CommanderUnreachable")


async def test_pods_that_cannot_be_listed_stay() -> None:
    stage = await a_stage(2)
    stage.cluster.refuses_lists = True
    stage.respec(replicas=0)
    await stage.looks(30)
    assert (stage.cluster.size, stage.declared[-1].retire) == (2, ())


# Who decides


async def test_a_pin_holds_against_any_demand_and_its_removal_frees() -> None:
    stage = await a_stage(1)
    stage.respec(replicas=2)
    stage.work = {"queued": 100}
    await stage.looks(30)
    assert stage.cluster.size == 2
    assert stage.condition("ScalingLimited") == ("True", "Pinned")
    stage.respec(minReplicas=1)
    await stage.look()
    assert stage.cluster.size == 7


async def test_a_paused_pool_keeps_its_soldiers_whatever_waits() -> None:
    stage = await a_stage(2)
    stage.respec(minReplicas=0, idleSeconds=10, paused=True)
    await stage.looks(60)
    stage.work = {"queued": 100}
    await stage.looks(10)
    assert (stage.cluster.size, stage.declared[-1].paused) == (2, True)
    assert stage.condition("Ready") == ("False", "Paused")


@pytest.mark.parametrize("autoscaler", ["None", "KEDA"])
async def test_what_another_decides_is_left_as_it_is(autoscaler: str) -> None:
    stage = await a_stage(1, autoscaler=autoscaler)
    assert stage.cluster.deployment is not None
    stage.cluster.deployment["spec"]["replicas"] = 5
    stage.work = {"queued": 1000}
    stage.respec(minReplicas=1, autoscaler=autoscaler, image="soldier:2")
    await stage.looks(60)
    assert stage.cluster.size == 5
    assert stage.cluster.deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "soldier:2"
    assert stage.condition("ScalingLimited") == ("False", "NotAutomatic")
    assert stage.declared[-1].max_replicas == 5, "there will be no more, as far as anybody knows"


# Few writes


async def test_a_pool_that_is_as_it_should_be_costs_reads_only() -> None:
    stage = await a_stage(2)
    stage.respec(minReplicas=2, idleSeconds=10)
    cluster, declared = stage.cluster, len(stage.declared)
    await stage.look()
    stage.respec(minReplicas=2, idleSeconds=10)
    before = (cluster.applied, cluster.annotated, cluster.described, cluster.listed)
    await stage.looks(50)
    assert (cluster.applied, cluster.annotated, cluster.described, cluster.listed) == before
    assert len(stage.declared) == declared


async def test_a_busy_soldier_is_protected_from_node_autoscalers_and_later_freed() -> None:
    stage = await a_stage(2)
    busy, idle = sorted(stage.cluster.pods)
    before = stage.cluster.annotated
    stage.busy[busy] = 3
    await stage.looks(60)
    assert protecting.shows_protection(stage.cluster.annotations(busy))
    assert stage.cluster.annotations(idle) == {}
    stage.busy.clear()
    await stage.looks(60)
    assert stage.cluster.annotations(busy) == {}
    assert stage.cluster.annotated == before + 2


async def test_freeing_a_soldier_restores_what_its_pool_had_said() -> None:
    own = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
    stage = await a_stage(1, template={"annotations": own})
    (pod,) = stage.cluster.pods
    stage.busy[pod] = 1
    await stage.looks(10)
    stage.busy.clear()
    await stage.looks(40)
    assert stage.cluster.annotations(pod) == own


# Trouble


async def test_a_crashing_handler_module_shows_in_the_pool_and_in_an_event() -> None:
    stage = await a_stage(1)
    (pod,) = stage.cluster.pods
    stage.cluster.break_pod(
        pod,
        state={"waiting": {"reason": "CrashLoopBackOff"}},
        lastState={"terminated": {"exitCode": 1, "reason": "Error", "message": "...\nValueError: no such colour\n"}},
        restartCount=3,
    )
    stage.views.clear()
    for _ in range(4):
        stage.clock.turn(2)
        stage.keeper.take(stage.view())
        await stage.keeper.look()
    assert stage.condition("Ready") == ("False", "SoldiersCrashing")
    ready = next(one for one in stage.cluster.status["conditions"] if one["type"] == "Ready")
    assert 'it last said: "ValueError: no such colour"' in ready["message"]
    assert stage.reasons() == ["!SoldiersCrashing"], "once"


async def test_somebody_elses_deployment_is_left_alone() -> None:
    stage = PoolStage()
    stage.cluster.deployment = {"metadata": {"name": "soldier-render"}, "spec": {"replicas": 9}}
    await stage.looks(6)
    assert (stage.cluster.size, stage.cluster.applied, stage.cluster.annotated) == (9, 0, 0)
    assert stage.condition("Deployed") == ("False", "NotOwned")
