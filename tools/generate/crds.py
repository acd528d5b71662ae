"""A resource's CustomResourceDefinition: its schema, subresources, columns and rules."""

from typing import Any

from mission_contracts.resources import API_VERSION, GROUP, VERSION, Column, Resource, Rule
from mission_contracts.resources.definition import CATEGORY
from tools.generate.errors import GenerateError
from tools.generate.structural import Schema, structural

ANY_ITEM = "*"
"""In a rule's path: every item of a list."""

API_VERSION_TEXT = f"The API's version: {API_VERSION}."


def definition(resource: Resource) -> Schema:
    """Give the CRD as `kubectl apply` takes it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": resource.full_name, "labels": {"app.kubernetes.io/part-of": "mission-control"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": _names(resource),
            "versions": [_version(resource)],
        },
    }


def schema_of(resource: Resource) -> Schema:
    """Give the whole object's schema, rules included."""
    schema: Schema = {
        "description": resource.description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": API_VERSION_TEXT, "type": "string"},
            "kind": {"description": f"The object's kind: {resource.kind}.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(resource.spec),
            "status": structural(resource.status),
        },
    }
    for rule in resource.rules:
        _find(schema, rule).setdefault("x-kubernetes-validations", []).append(_validation(rule))
    return schema


def _names(resource: Resource) -> Schema:
    return {
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
        "plural": resource.plural,
        "singular": resource.singular,
        "shortNames": [resource.short_name],
        "categories": [CATEGORY],
    }


def _version(resource: Resource) -> Schema:
    selectable = [{"jsonPath": path} for path in resource.selectable]
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": _subresources(resource),
        **({"selectableFields": selectable} if selectable else {}),
        "additionalPrinterColumns": [_column(column) for column in resource.columns],
        "schema": {"openAPIV3Schema": schema_of(resource)},
    }


def _subresources(resource: Resource) -> Schema:
    subresources: Schema = {"status": {}}
    if resource.scale is not None:
        subresources["scale"] = {
            "specReplicasPath": resource.scale.wanted,
            "statusReplicasPath": resource.scale.current,
            "labelSelectorPath": resource.scale.selector,
        }
    return subresources


def _column(column: Column) -> Schema:
    written: Schema = {
        "name": column.name,
        "type": column.kind,
        "jsonPath": column.path,
        "description": column.description,
    }
    return written | ({"priority": 1} if column.wide else {})


def _find(schema: Schema, rule: Rule) -> Schema:
    found = schema
    for step in rule.at:
        below: Any = found.get("items") if step == ANY_ITEM else found.get("properties", {}).get(step)
        if below is None:
            raise GenerateError(f"the rule {rule.holds!r} speaks of {'.'.join(rule.at)}, which does not exist")
        found = below
    return found


def _validation(rule: Rule) -> Schema:
    # As "Forbidden" the error is the sentence alone; as "Invalid" it would quote the value: "object".
    written: Schema = {"rule": rule.holds, "message": rule.message, "reason": "FieldValueForbidden"}
    if rule.says:
        written["messageExpression"] = rule.says
    return written | ({"fieldPath": f".{rule.field}"} if rule.field else {})
