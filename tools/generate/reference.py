"""The resources' reference page: the same words that `kubectl explain` prints, on one page."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mission_contracts.resources import API_VERSION, MISSION, Resource
from mission_contracts.spec import MAX_PAYLOAD_BYTES, MAX_STORED_BYTES
from tools.generate import admission
from tools.generate.crds import schema_of
from tools.generate.structural import Schema

INTRODUCTION: Final = f"""# Resources

Everything here belongs to `{API_VERSION}`. `kubectl explain mission.spec` prints the same in a terminal.
kubectl refuses fields that are not listed (`unknown field`); another client gets a warning, and the field is dropped.
"""

_UNCHANGED: Final = admission.UNCHANGED_MESSAGE.removeprefix("spec.payload ")

FURTHER_REFUSALS: Final[Mapping[str, Sequence[str]]] = {
    MISSION.kind: (
        f"`spec.payload`: {_UNCHANGED}. (Held by the admission policy beside the CRD.)",
        f"`spec.payload`: has more than {MAX_PAYLOAD_BYTES} bytes as JSON. (The same; the Commander counts again.)",
        (
            f"`spec.payload` and `metadata.annotations`: take more than {MAX_STORED_BYTES} bytes as they are stored; "
            "`<`, `>` and `&` take six each. (The same; the operator counts the payload again.)"
        ),
    )
}
"""What the schema cannot hold."""


def page(resources: tuple[Resource, ...]) -> str:
    """Give the page's Markdown."""
    chapters = (_chapter(resource, FURTHER_REFUSALS.get(resource.kind, ())) for resource in resources)
    return "\n".join([INTRODUCTION, *chapters])


def _chapter(resource: Resource, further_refusals: Sequence[str]) -> str:
    schema = schema_of(resource)
    parts = [
        f"## {resource.kind}\n",
        f"{resource.description}\n",
        f"Short name `{resource.short_name}`; `kubectl get {resource.plural}` shows {_columns(resource)}.\n",
        *_tables("spec", schema["properties"]["spec"]),
        *_tables("status", schema["properties"]["status"]),
        "### What the API server refuses\n",
        *_refusals(schema),
        *(f"- {refusal}" for refusal in further_refusals),
        "",
    ]
    return "\n".join(parts)


def _columns(resource: Resource) -> str:
    shown = ", ".join(column.name.upper() for column in resource.columns if not column.wide)
    wide = ", ".join(column.name.upper() for column in resource.columns if column.wide)
    return f"{shown}; with `-o wide` also {wide}"


def _tables(path: str, schema: Schema) -> Iterator[str]:
    """One table per object, its children's tables after it."""
    if not schema.get("properties"):
        return
    yield f"### {path}\n"
    yield f"{schema['description']}\n"
    yield "| Field | Type | Default | Meaning |"
    yield "| --- | --- | --- | --- |"
    required = schema.get("required", [])
    for name, child in schema["properties"].items():
        yield _row(name, child, is_required=name in required)
    yield ""
    for name, child in schema["properties"].items():
        yield from _tables(f"{path}.{name}", child)
        yield from _tables(f"{path}.{name}[]", child.get("items", {}))


def _row(name: str, schema: Schema, *, is_required: bool) -> str:
    meaning = schema.get("description", "").replace("|", "\\|")
    return f"| `{name}` | {_type(schema)} | {_default(schema, is_required=is_required)} | {meaning} |"


def _type(schema: Schema) -> str:
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity"
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    if "additionalProperties" in schema:
        return f"map of {_type(schema['additionalProperties'])}"
    kind: str = schema.get("type", "any JSON")
    return {"date-time": "time"}.get(schema.get("format", ""), kind)


def _default(schema: Schema, *, is_required: bool) -> str:
    if is_required:
        return "required"
    if schema.get("default") == {}:
        return "see below"
    return f"`{json.dumps(schema['default'])}`" if "default" in schema else ""


def _refusals(schema: Schema) -> Iterator[str]:
    """One line per sentence, however many fields share it."""
    places: dict[str, list[str]] = {}
    for place, message in _rules(schema, ""):
        places.setdefault(message, []).append(f"`{place}`")
    for message, where in places.items():
        yield f"- {', '.join(where)}: {message}."


def _rules(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", []):
        yield (path + rule.get("fieldPath", "")).strip(".") or "metadata.name", rule["message"]
    for name, child in schema.get("properties", {}).items():
        yield from _rules(child, f"{path}.{name}")
    if "items" in schema:
        yield from _rules(schema["items"], f"{path}[]")
