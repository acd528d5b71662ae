"""Several namespaces served by one release: what is where, who has which rights in each, and that names fit."""

import re
from typing import Final

import pytest
from tools.charts import helm

from mission_contracts.names import DNS_LABEL_PATTERN

Manifest = helm.Manifest

TEAMS: Final = ("team-a", "team-b")
OPTION: Final = "--set=namespaces={team-a,team-b}"
LONG: Final = "a-namespace-whose-name-is-as-long-as-a-name-of-one-may-be-" + "x" * 5
OWN_KINDS: Final = frozenset({"Secret", "ConfigMap", "Deployment", "StatefulSet", "Service", "Pod"})


@pytest.fixture(scope="module")
def several() -> list[Manifest]:
    return helm.objects(OPTION)


def names(objects: list[Manifest], kind: str, namespace: str | None) -> set[str]:
    return {
        one["metadata"]["name"].removeprefix("mission-control-")
        for one in objects
        if one["kind"] == kind and one["metadata"].get("namespace") == namespace
    }


def environment(deployment: Manifest) -> dict[str, object]:
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def test_keys_and_everything_that_runs_are_in_the_releases_namespace(several: list[Manifest]) -> None:
    elsewhere = {one["kind"] for one in several if one["metadata"].get("namespace") in TEAMS}
    assert elsewhere.isdisjoint(OWN_KINDS)
    assert elsewhere == {"ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"}


@pytest.mark.parametrize("team", TEAMS)
def test_a_served_namespace_has_the_soldiers_account_and_the_rights_of_the_control_plane(
    several: list[Manifest], team: str
) -> None:
    assert names(several, "ServiceAccount", team) == {"soldier"}
    assert names(several, "NetworkPolicy", team) == {"soldier"}
    assert names(several, "Role", team) == {"operator", "commander", "leaving", "test"}
    bindings = [one for one in several if one["kind"] == "RoleBinding" and one["metadata"].get("namespace") == team]
    assert {subject["namespace"] for one in bindings for subject in one["subjects"]} == {helm.NAMESPACE}


def test_the_operator_has_no_rights_next_to_the_keys(several: list[Manifest]) -> None:
    assert "operator" not in names(several, "Role", None)
    assert "operator" in names(helm.objects(), "Role", None), (
        "where the release's own namespace is the one that is served"
    )


def test_each_namespace_has_an_operator_that_serves_it_alone(several: list[Manifest]) -> None:
    operators = {
        one["metadata"]["name"]: one
        for one in several
        if "operator" in one["metadata"]["name"] and one["kind"] == "Deployment"
    }
    assert set(operators) == {f"mission-control-operator-{team}" for team in TEAMS}
    for team in TEAMS:
        operator = operators[f"mission-control-operator-{team}"]
        assert environment(operator)["OPERATOR_NAMESPACE"] == team
        selector = operator["spec"]["selector"]["matchLabels"]
        assert selector["missioncontrol.dev/serves"] == team
        assert selector.items() <= operator["spec"]["template"]["metadata"]["labels"].items()


def test_operators_of_other_namespaces_are_not_selected_by_that_of_the_releases_own() -> None:
    objects = helm.objects(f"--set=namespaces={{{helm.NAMESPACE},team-a}}")
    deployments = {one["metadata"]["name"]: one["spec"] for one in objects if one["kind"] == "Deployment"}
    own, other = deployments["mission-control-operator"], deployments["mission-control-operator-team-a"]
    labels = other["template"]["metadata"]["labels"]
    assert not own["selector"]["matchLabels"].items() <= labels.items()


def test_the_commander_is_told_whom_it_serves_and_where_the_operators_are(several: list[Manifest]) -> None:
    [commander] = [
        one for one in several if one["kind"] == "Deployment" and one["metadata"]["name"].endswith("commander")
    ]
    told = environment(commander)
    assert (told["COMMANDER_NAMESPACE"], told["COMMANDER_NAMESPACES"]) == ("team-a", "team-b")
    assert told["COMMANDER_OPERATOR_NAMESPACE"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}


def test_soldiers_are_told_addresses_that_resolve_in_their_namespace(several: list[Manifest]) -> None:
    [operator, _] = [one for one in several if one["kind"] == "Deployment" and "operator" in one["metadata"]["name"]]
    assert environment(operator)["OPERATOR_COMMANDER_URL"] == "http://mission-control-commander.missions.svc:8484"


def test_the_policy_for_pools_holds_where_pools_are(several: list[Manifest]) -> None:
    [binding] = [
        one
        for one in several
        if one["kind"] == "ValidatingAdmissionPolicyBinding" and one["metadata"]["name"].endswith("-pools")
    ]
    [where] = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert (where["key"], where["values"]) == ("kubernetes.io/metadata.name", list(TEAMS))


def test_names_are_dns_labels_however_long_a_namespace_is() -> None:
    objects = helm.objects(f"--set=namespaces={{{LONG},{LONG[:-1]}}}", "--set=fullnameOverride=" + "f" * 40)
    deployments = [one["metadata"] for one in objects if one["kind"] == "Deployment"]
    operators = [one["name"] for one in deployments if one["labels"]["app.kubernetes.io/name"] == "operator"]
    assert len(set(operators)) == 2

    assert all(re.fullmatch(DNS_LABEL_PATTERN, name) and len(name) <= 63 for name in operators)
