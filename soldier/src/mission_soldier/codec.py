"""Payload bytes to the handler's type: chosen once per handler, not per mission."""

import inspect
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import msgspec
import pydantic

from mission_soldier.describing import name_of, text_of
from mission_soldier.errors import BadPayloadError

Read = Callable[[msgspec.Raw], Any]

ANYTHING: Final = (inspect.Parameter.empty, Any, object)
MAX_SCHEMA_BYTES: Final = 64 * 1024
"""A longer JSON Schema is not sent: the Commander keeps one per type of each pool."""
_CONTAINERS: Final = (dict, list, dict[str, Any], dict[str, object])
_CHOICES: Final = (typing.Union, types.UnionType, Literal)
_MOST_ERRORS_TOLD: Final = 5
_MAX_TYPE_CHARACTERS: Final = 200
_MAX_TYPE_DEPTH: Final = 16


class UndescribableTypeError(Exception):
    """A type that says too little of its values to read or check them; the text says why, and what to use."""


def is_one_of(annotation: Any, kinds: tuple[Any, ...]) -> bool:
    """Whether an annotation is one of these; classes by identity, because a class may raise when it is compared."""
    if isinstance(annotation, type):
        return any(annotation is kind for kind in kinds)
    return annotation in kinds


def is_container(annotation: Any) -> bool:
    """Whether an annotation is a dict or list that says nothing of what is in it."""
    return is_one_of(annotation, _CONTAINERS)


def is_struct(annotation: Any) -> bool:
    """Whether an annotation is a msgspec Struct."""
    return isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)


def has_struct(annotation: Any, depth: int = 0) -> bool:
    """Whether a msgspec Struct is part of an annotation, so that only msgspec can read it."""
    if depth == _MAX_TYPE_DEPTH:
        return False
    return is_struct(annotation) or any(has_struct(part, depth + 1) for part in typing.get_args(annotation))


def reader_of(annotation: Any) -> Read:
    """Return the function that turns payload bytes into the annotated type; it raises BadPayloadError.

    Raises UndescribableTypeError, or what a library says of a type that it cannot read.
    """
    if is_one_of(annotation, ANYTHING):
        return _msgspec_reader(Any)
    if is_container(annotation) or has_struct(annotation):
        return _msgspec_reader(annotation)
    return _pydantic_reader(annotation)


def adapter_of(annotation: Any) -> "pydantic.TypeAdapter[Any]":
    """Return pydantic's view of a type. Raises UndescribableTypeError for what it reads only later, or never."""
    adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(annotation)
    if not adapter.pydantic_complete:
        raise UndescribableTypeError("it refers to a type that is not defined here: define that one first")
    if mentions(adapter.core_schema, "generator"):
        raise UndescribableTypeError("an iterator has no end that can be checked: use a list")
    return adapter


def mentions(schema: Any, kind: str) -> bool:
    """Whether a part of a core schema is of this kind. A schema that contains itself does so by a name."""
    todo: list[Any] = [schema]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            if part.get("type") == kind:
                return True
            todo.extend(value for key, value in part.items() if key != "metadata")
        elif isinstance(part, list | tuple):
            todo.extend(part)
    return False


def schema_of(annotation: Any) -> dict[str, Any] | None:
    """Return the payload's JSON Schema; None where the type says nothing, cannot be described, or says too much."""
    if is_one_of(annotation, ANYTHING) or is_container(annotation):
        return None
    try:
        schema = (
            msgspec.json.schema(annotation)
            if has_struct(annotation)
            else pydantic.TypeAdapter(annotation).json_schema(schema_generator=_Quiet)
        )
        return schema if len(msgspec.json.encode(schema)) <= MAX_SCHEMA_BYTES else None
    except Exception:  # noqa: BLE001 - whatever a type's own description raises: the Commander can do without
        return None


class _Quiet(pydantic.json_schema.GenerateJsonSchema):
    ignored_warning_kinds: set[Any] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012


def type_name(annotation: Any, depth: int = 0) -> str:
    """Return an annotation as a person says it: `int or None`, `'a' or 'b'`, `list[Size]`."""
    if depth == _MAX_TYPE_DEPTH:
        return "…"
    return text_of(_type_name(annotation, depth + 1), otherwise="type", max_characters=_MAX_TYPE_CHARACTERS)


def _type_name(annotation: Any, depth: int) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is None or annotation is types.NoneType:
        return "None"
    if origin is Annotated:
        return type_name(arguments[0], depth)
    if origin in _CHOICES:
        return " or ".join(text_of(repr(c)) if origin is Literal else type_name(c, depth) for c in arguments)
    if isinstance(origin, type) and arguments and not isinstance(arguments[0], list):
        return f"{name_of(origin)}[{', '.join('…' if part is ... else type_name(part, depth) for part in arguments)}]"
    is_class = isinstance(annotation, type)
    return name_of(annotation) if is_class else text_of(annotation, otherwise="type").removeprefix("typing.")


def _msgspec_reader(kind: Any) -> Read:
    decoder = msgspec.json.Decoder(kind)

    def read(payload: msgspec.Raw) -> Any:
        try:
            return decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadPayloadError(f"the payload does not fit: {error}") from error

    return read


def _pydantic_reader(annotation: Any) -> Read:
    adapter = adapter_of(annotation)
    name = type_name(annotation)

    def read(payload: msgspec.Raw) -> Any:
        try:
            return adapter.validate_json(bytes(payload))
        except pydantic.ValidationError as error:
            raise BadPayloadError(f"the payload does not fit {name}: {explained(error, 'payload')}") from error
        except RecursionError as error:
            raise BadPayloadError(f"the payload does not fit {name}: it is nested too deep") from error

    return read


def explained(error: pydantic.ValidationError, whole: str) -> str:
    """Return what does not fit and where. The values themselves stay out: they may be secrets."""
    try:
        errors = error.errors(include_url=False, include_input=False, include_context=False)
        told = [f"{'.'.join(map(str, e['loc'])) or whole}: {e['msg']}" for e in errors[:_MOST_ERRORS_TOLD]]
    except Exception:  # noqa: BLE001 - a message of a validator's own that is no text, or no UTF-8
        return f"{error.error_count()} of its values are wrong"
    more = len(errors) - len(told)
    return text_of("; ".join(told) + (f"; and {more} more" if more else ""))
