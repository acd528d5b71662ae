"""What the operator may do: nothing on Secrets, no wildcard, one namespace."""

from pathlib import Path
from typing import Any

import yaml

RBAC = Path(__file__).parents[3] / "manifests" / "base" / "operator" / "rbac.yaml"


def _documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(RBAC.read_text()))


def _rules() -> list[dict[str, Any]]:
    return [rule for document in _documents() for rule in document.get("rules", ())]


def test_rights_hold_in_one_namespace_only() -> None:
    assert {document["kind"] for document in _documents()} == {"ServiceAccount", "Role", "RoleBinding"}


def test_there_is_no_wildcard() -> None:
    given = [word for rule in _rules() for field in ("apiGroups", "resources", "verbs") for word in rule[field]]
    assert [word for word in given if "*" in word] == []


def test_of_pods_it_lists_and_annotates_and_deletes_none() -> None:
    verbs = {verb for rule in _rules() if "pods" in rule["resources"] for verb in rule["verbs"]}
    assert verbs == {"list", "patch"}


def test_what_pods_run_in_is_out_of_reach() -> None:
    """Logs, exec and the like are subresources of their own."""
    reached = {resource for rule in _rules() for resource in rule["resources"]}
    assert not {one for one in reached if one.startswith("pods/")}


def test_secrets_and_roles_are_out_of_reach() -> None:
    reached = {resource for rule in _rules() for resource in rule["resources"]}
    assert reached == {
        "missions",
        "missions/status",
        "soldierpools",
        "soldierpools/status",
        "deployments",
        "pods",
        "leases",
        "events",
    }
