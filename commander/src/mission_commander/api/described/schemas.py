"""Schemas of what travels, made from the types that read and write it."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import pydantic

from mission_contracts.rest import MAX_BATCH, BatchRequest, LookupRequest, MissionView

_REF: Final = "#/components/schemas/"

Schemas = Mapping[str, Any]


def components(kinds: Iterable[Any]) -> Schemas:
    """Every type's schema by its name, with all that they refer to."""
    wanted = [kind for kind in kinds if inspect.isclass(kind)]
    models = [kind for kind in wanted if issubclass(kind, pydantic.BaseModel)]
    found: dict[str, Any] = {}
    for model in models:
        found |= _of_model(model)
    structs = [kind for kind in wanted if issubclass(kind, msgspec.Struct)]
    found |= msgspec.json.schema_components(structs, ref_template=_REF + "{name}")[1]
    return {name: _refined(name, found[name]) for name in sorted(found)}


def reference(kind: Any) -> Mapping[str, Any]:
    """How a schema is named elsewhere in the document."""
    return {"type": "object"} if kind is dict else {"$ref": _REF + kind.__name__}


def _of_model(model: type[pydantic.BaseModel]) -> dict[str, Any]:
    # REST speaks snake_case; that the names of Mission objects are understood as well is a kindness, not the contract.
    schema = model.model_json_schema(by_alias=False, ref_template=_REF + "{model}")
    return {**schema.pop("$defs", {}), model.__name__: schema}


def _refined(name: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the types cannot say: a batch is read item by item, and a result is any JSON."""
    changed = _UNSAID.get(name)
    if changed is None:
        return schema
    return {**schema, "properties": {**schema["properties"], **changed}}


_UNSAID: Final[Mapping[str, Mapping[str, Any]]] = {
    BatchRequest.__name__: {
        "missions": {"type": "array", "maxItems": MAX_BATCH, "items": {"$ref": _REF + "Submission"}}
    },
    LookupRequest.__name__: {"ids": {"type": "array", "maxItems": MAX_BATCH, "items": {"type": "string"}}},
    "AcknowledgedRequest": {"ids": {"type": "array", "maxItems": MAX_BATCH, "items": {"type": "string"}}},
    MissionView.__name__: {"result": {"description": "What the handler returned: any JSON."}},
}
