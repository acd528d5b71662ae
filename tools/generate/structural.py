"""From pydantic's JSON Schema to what a CRD takes: a structural OpenAPI v3 schema, each size bounded.

Bounds are not only for users: the API server refuses CEL rules whose cost it cannot bound.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from mission_contracts.names import SENTENCES
from tools.generate.errors import GenerateError

Schema = dict[str, Any]

COPIED: Final = (
    "type", "format", "enum", "default", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
    "minProperties", "maxProperties", "x-kubernetes-int-or-string", "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)  # fmt: skip
"""Keywords that mean the same in both, in the order in which they are written."""

TRANSLATED: Final = frozenset(
    {"description", "properties", "required", "items", "additionalProperties", "pattern", "anyOf", "const"}
    | {"exclusiveMinimum", "exclusiveMaximum"}
)
WITHOUT_MEANING: Final = frozenset({"title", "propertyNames"})
"""Pydantic's own titles; and names of map keys, which structural schemas cannot speak of."""

SELF_BOUNDED_FORMATS: Final = frozenset({"date-time"})


def structural(model: type[BaseModel]) -> Schema:
    """Give the model's schema in the form that the API server asks for."""
    source = model.model_json_schema(by_alias=True)
    definitions = source.pop("$defs", {})
    return _Converter(definitions).convert(source, model.__name__)


class _Converter:
    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def convert(self, source: Schema, path: str) -> Schema:
        resolved = self._without_null(self._resolved(source))
        _refuse_unknown_keywords(resolved, path)
        if _is_free_form(resolved):
            return _free_form(resolved)
        schema = _description(resolved) | {key: resolved[key] for key in COPIED if key in resolved}
        schema |= _constant(resolved) | _bounds(resolved) | _pattern(resolved) | _int_or_string(resolved)
        schema |= self._children(resolved, path)
        _demand_bounds(schema, path)
        return schema

    def _resolved(self, source: Schema) -> Schema:
        """Put a definition in place of its reference; what stands beside the reference wins."""
        if "$ref" not in source:
            return source
        name = source["$ref"].removeprefix("#/$defs/")
        beside = {key: value for key, value in source.items() if key != "$ref"}
        return self._resolved(self._definitions[name]) | beside

    def _without_null(self, source: Schema) -> Schema:
        """`X or null` is an optional X: the API server prunes nulls, so neither null nor its default is written."""
        choices = source.get("anyOf", [])
        if {"type": "null"} not in choices:
            return source
        (choice,) = (choice for choice in choices if choice != {"type": "null"})
        beside = {key: value for key, value in source.items() if key not in {"anyOf", "default"}}
        return self._resolved(choice) | beside

    def _children(self, resolved: Schema, path: str) -> Schema:
        children: Schema = {}
        if "items" in resolved:
            children["items"] = self.convert(resolved["items"], f"{path}[]")
        if isinstance(values := resolved.get("additionalProperties"), dict):
            children["additionalProperties"] = self.convert(values, f"{path}{{}}")
        if "properties" in resolved:
            children |= self._properties(resolved, path)
        return children

    def _properties(self, resolved: Schema, path: str) -> Schema:
        required = resolved.get("required", [])
        properties = {
            name: self._property(source, f"{path}.{name}", is_required=name in required)
            for name, source in resolved["properties"].items()
        }
        return {"properties": properties} | ({"required": required} if required else {})

    def _property(self, source: Schema, path: str, *, is_required: bool) -> Schema:
        schema = self.convert(source, path)
        may_be_null = {"type": "null"} in source.get("anyOf", [])
        if not is_required and not may_be_null and _fills_itself(schema):
            schema["default"] = {}
        if schema.get("default", ...) in (None, []):
            del schema["default"]
        return schema


def _refuse_unknown_keywords(source: Schema, path: str) -> None:
    unknown = set(source) - set(COPIED) - TRANSLATED - WITHOUT_MEANING
    if unknown:
        raise GenerateError(f"{path}: no translation for {', '.join(sorted(unknown))}: add one, or model it otherwise")


def _is_free_form(source: Schema) -> bool:
    """Anything at all, or an object of anything."""
    has_shape = bool(set(source) & {"properties", "items", "enum", "const", "anyOf"})
    return not has_shape and (source.get("additionalProperties") is True or "type" not in source)


def _free_form(source: Schema) -> Schema:
    kind = {"type": source["type"]} if "type" in source else {}
    return _description(source) | kind | {"x-kubernetes-preserve-unknown-fields": True}


def _description(source: Schema) -> Schema:
    return {"description": source["description"]} if "description" in source else {}


def _constant(source: Schema) -> Schema:
    return {"enum": [source["const"]]} if "const" in source else {}


def _bounds(source: Schema) -> Schema:
    """OpenAPI v3.0 says whether a bound is exclusive beside the bound, not instead of it."""
    bounds: Schema = {}
    for bound in ("minimum", "maximum"):
        exclusive = f"exclusive{bound.capitalize()}"
        if exclusive in source:
            bounds |= {bound: source[exclusive], exclusive: True}
    return bounds


def _pattern(source: Schema) -> Schema:
    """A pattern that has a sentence becomes a rule, whose refusal a person can read."""
    if "pattern" not in source:
        return {}
    pattern = source["pattern"]
    if pattern not in SENTENCES:
        return {"pattern": pattern}
    return {"x-kubernetes-validations": [{"rule": f"self.matches(r'{pattern}')", "message": SENTENCES[pattern]}]}


def _int_or_string(source: Schema) -> Schema:
    return {"anyOf": source["anyOf"]} if source.get("x-kubernetes-int-or-string") else {}


def _fills_itself(schema: Schema) -> bool:
    """An object whose fields all have defaults is itself defaulted, so that they appear."""
    children = schema.get("properties", {})
    return bool(children) and all("default" in child for child in children.values())


def _demand_bounds(schema: Schema, path: str) -> None:
    if "type" not in schema and not schema.get("x-kubernetes-int-or-string"):
        raise GenerateError(f"{path}: a structural schema needs one type")
    is_open_text = schema.get("type") == "string" and "enum" not in schema
    if is_open_text and schema.get("format") not in SELF_BOUNDED_FORMATS and "maxLength" not in schema:
        raise GenerateError(f"{path}: a text needs max_length")
    if schema.get("type") == "array" and "maxItems" not in schema:
        raise GenerateError(f"{path}: a list needs max_length")
    if "additionalProperties" in schema and "maxProperties" not in schema:
        raise GenerateError(f"{path}: a map needs max_length")
