"""What a pool's template may name: the objects that are handed to pools, and none of the installation's."""

from typing import Any

import pytest
from support.pool_stage import PoolStage

from mission_contracts.resources import PodTemplate
from mission_operator.pools.references import Allowance, references, why_refused

ALLOWANCE = Allowance(
    secrets=("pool-*", "one"),
    config_maps=("pool-*",),
    claims=("pool-*",),
    accounts=("pool-*",),
    reserved=("pool-mission-*", "mission-*"),
)
OWN_ACCOUNT = "mission-soldier"


def named(name: str) -> list[Any]:
    """Every way in which a template can name an object, each with this name."""
    key = {"name": name, "key": "k"}
    return [
        pytest.param({"serviceAccountName": name}, id="account"),
        pytest.param({"env": [{"name": "A", "valueFrom": {"secretKeyRef": key}}]}, id="variable of a Secret"),
        pytest.param({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": key}}]}, id="variable of a ConfigMap"),
        pytest.param({"envFrom": [{"secretRef": {"name": name}}]}, id="all of a Secret"),
        pytest.param({"envFrom": [{"configMapRef": {"name": name}}]}, id="all of a ConfigMap"),
        pytest.param({"volumes": [{"name": "v", "secret": {"secretName": name}}]}, id="Secret as files"),
        pytest.param({"volumes": [{"name": "v", "configMap": {"name": name}}]}, id="ConfigMap as files"),
        pytest.param({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]}, id="claim"),
        pytest.param({"imagePullSecrets": [{"name": name}]}, id="credentials of a registry"),
    ]


def refusal(template: dict[str, Any], allowance: Allowance = ALLOWANCE) -> str:
    return why_refused(PodTemplate.model_validate(template), allowance, OWN_ACCOUNT)


@pytest.mark.parametrize("template", named("mission-keys"))
def test_an_object_of_the_installation_is_refused_wherever_it_is_named(template: dict[str, Any]) -> None:
    assert "mission-keys, which pools may not use" in refusal(template)


@pytest.mark.parametrize("template", named("somebody-elses"))
def test_what_nobody_handed_to_pools_is_refused(template: dict[str, Any]) -> None:
    why = refusal(template)
    assert "somebody-elses, which pools may not use" in why
    assert "pool-*" in why


@pytest.mark.parametrize("template", named("pool-mission-keys"))
def test_a_reserved_name_is_refused_although_it_would_be_allowed(template: dict[str, Any]) -> None:
    assert refusal(template)
    everything = ("*",)
    lenient = Allowance(
        secrets=everything, config_maps=everything, claims=everything, accounts=everything, reserved=("pool-mission-*",)
    )
    assert refusal(template, lenient)


@pytest.mark.parametrize("template", named("pool-render"))
def test_what_was_handed_to_pools_is_allowed(template: dict[str, Any]) -> None:
    assert refusal(template) == ""


def test_a_name_without_a_star_allows_that_object_only() -> None:
    assert refusal({"envFrom": [{"secretRef": {"name": "one"}}]}) == ""
    assert refusal({"envFrom": [{"secretRef": {"name": "one-more"}}]})


def test_without_names_nothing_is_allowed() -> None:
    assert "(none)" in refusal({"imagePullSecrets": [{"name": "pool-render"}]}, Allowance())


def test_soldiers_may_name_the_account_that_they_have_anyway() -> None:
    assert refusal({"serviceAccountName": OWN_ACCOUNT}) == ""
    assert refusal({"envFrom": [{"secretRef": {"name": OWN_ACCOUNT}}]}), "an account's name is no Secret's"


def test_the_second_of_two_references_counts_too() -> None:
    ours, theirs = {"secretRef": {"name": "pool-a"}}, {"secretRef": {"name": "mission-keys"}}
    assert "envFrom[1]" in refusal({"envFrom": [ours, theirs]})


def test_every_field_of_a_template_that_names_an_object_is_looked_at() -> None:
    """A new field that holds a name must be looked at too, or be listed here as one that names nothing to protect."""
    schema = PodTemplate.model_json_schema()
    found = {name for name in _properties(schema) if name.endswith("Name") or name == "name"}
    assert found == {"name", "secretName", "claimName", "serviceAccountName", "priorityClassName"}
    everything: dict[str, Any] = {}
    for one in named("x"):
        for field, value in one.values[0].items():
            everything[field] = everything.get(field, []) + value if isinstance(value, list) else value
    assert len(list(references(PodTemplate.model_validate(everything)))) == len(named("x"))


def _properties(schema: dict[str, Any]) -> set[str]:
    definitions = [schema, *schema["$defs"].values()]
    return {name for one in definitions for name in one.get("properties", {})}


async def test_a_pool_with_such_a_reference_deploys_nothing_and_says_why() -> None:
    stage = PoolStage(minReplicas=1, template={"envFrom": [{"secretRef": {"name": "mission-keys"}}]})
    await stage.looks(6)
    assert stage.cluster.deployment is None
    assert stage.condition("Deployed") == ("False", "ReferenceRefused")
    said = next(one for one in stage.cluster.status["conditions"] if one["type"] == "Deployed")["message"]
    assert "spec.template.envFrom[0] names the Secret mission-keys" in said


async def test_soldiers_of_a_pool_that_becomes_such_a_one_stay_as_they_are() -> None:
    stage = PoolStage(minReplicas=2)
    await stage.looks(6)
    applied = stage.cluster.applied
    stage.respec(minReplicas=0, idleSeconds=1, template={"serviceAccountName": "mission-operator"})
    await stage.looks(30)
    assert (stage.cluster.applied, stage.cluster.size, stage.cluster.deleted) == (applied, 2, [])
    assert not any(one.retire for one in stage.declared)
