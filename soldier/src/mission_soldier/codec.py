"""Payload bytes to the handler's type and its result back to bytes: chosen once per handler, not per mission."""

import inspect
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pydantic

from mission_contracts import results
from mission_soldier.errors import BadPayloadError, BadResultError

Read = Callable[[msgspec.Raw], Any]
Write = Callable[[Any], bytes]

_UNTYPED: Final = (inspect.Parameter.empty, Any, object, dict, list, dict[str, Any], dict[str, object])
_MOST_ERRORS_TOLD: Final = 5


def reader_of(annotation: Any) -> Read:
    """Give the function that turns payload bytes into the annotated type; it raises BadPayloadError."""
    if annotation in _UNTYPED or _is_struct(annotation):
        return _msgspec_reader(Any if annotation in _UNTYPED[:3] else annotation)
    return _pydantic_reader(annotation)


def writer_of(annotation: Any) -> Write:
    """Give the function that turns a result into JSON bytes; it raises BadResultError."""
    if annotation is None or annotation in _UNTYPED or _is_struct(annotation):
        return _write_anything
    return _pydantic_writer(annotation)


def schema_of(annotation: Any) -> dict[str, Any] | None:
    """Give the payload's JSON Schema, or None where the type says nothing or cannot be described."""
    if annotation in _UNTYPED:
        return None
    try:
        if _is_struct(annotation):
            return msgspec.json.schema(annotation)
        return pydantic.TypeAdapter(annotation).json_schema()
    except (pydantic.errors.PydanticInvalidForJsonSchema, TypeError):
        return None


def bounded(result: bytes) -> bytes:
    """Let a result pass that the ledger keeps; refuse any other."""
    if why := results.why_not_kept(result):
        raise BadResultError(why)
    return result


def _is_struct(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)


def _msgspec_reader(kind: Any) -> Read:
    decoder = msgspec.json.Decoder(kind)

    def read(payload: msgspec.Raw) -> Any:
        try:
            return decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadPayloadError(f"the payload does not fit: {error}") from error

    return read


def _pydantic_reader(annotation: Any) -> Read:
    adapter = pydantic.TypeAdapter(annotation)
    name = getattr(annotation, "__name__", str(annotation))

    def read(payload: msgspec.Raw) -> Any:
        try:
            return adapter.validate_json(bytes(payload))
        except pydantic.ValidationError as error:
            raise BadPayloadError(f"the payload does not fit {name}: {_told(error)}") from error

    return read


def _told(error: pydantic.ValidationError) -> str:
    """Say what does not fit and where. The values themselves stay out: they may be secrets."""
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    told = [f"{'.'.join(map(str, e['loc'])) or 'payload'}: {e['msg']}" for e in errors[:_MOST_ERRORS_TOLD]]
    more = len(errors) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def _pydantic_writer(annotation: Any) -> Write:
    adapter = pydantic.TypeAdapter(annotation)

    def write(result: Any) -> bytes:
        try:
            return bounded(adapter.dump_json(result, warnings="error"))
        except (pydantic.errors.PydanticUserError, ValueError, TypeError, RecursionError) as error:
            raise BadResultError(f"the result is not the {annotation!r} that the handler announces: {error}") from error

    return write


def _write_anything(result: Any) -> bytes:
    try:
        return bounded(msgspec.json.encode(result, enc_hook=_plain))
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise BadResultError(f"the result cannot be written as JSON: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, pydantic.BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"a {type(value).__name__} has no JSON form")
