"""A handler's result to JSON bytes, when it is what the handler announces: checked, whole, and exactly as returned.

A result is checked against the return annotation, strictly: what a type checker would refuse is refused here too. It is
written by what it is, not by what was announced, so that a subclass keeps its own fields. What JSON cannot carry, such
as NaN, is refused; text that UTF-8 cannot carry is escaped.
"""

import math
import numbers
import re
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
import pydantic
from pydantic_core import PydanticSerializationError

from mission_contracts import json_defects, results, strict_json
from mission_contracts.json_defects import Defect
from mission_contracts.spec import MAX_RESULT_BYTES
from mission_contracts.strict_json import StrictJsonError
from mission_contracts.text import encodable
from mission_soldier import codec
from mission_soldier.describing import error_text, name_of, text_of
from mission_soldier.errors import BadResultError

Write = Callable[[Any], bytes]

_NUMBER_NAMES: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_HOW: Final[dict[str, Any]] = {"by_alias": True}
"""A field is answered under the name that it is asked for."""
_UNEXPECTED: Final = re.compile(r"Expected `(?P<kind>[^`]*)`[^\[]*(?:\[field_name='(?P<field>[^']*)')?")
_LAZY: Final = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType, Iterator)


def writer_of(annotation: Any) -> Write:
    """Return the function that turns a result into JSON bytes; it raises BadResultError.

    Raises UndescribableTypeError, or what a library says of a type that it cannot check.
    """
    if codec.is_one_of(annotation, codec.ANYTHING):
        return _written(_plain_json)
    if annotation is None or annotation is types.NoneType:
        return _written(_none, announces=annotation)
    if codec.is_container(annotation):
        kind = dict if annotation is not list else list
        return _written(_instance_json(kind), announces=annotation)
    if codec.is_struct(annotation):
        return _written(_struct_json(annotation), announces=annotation)
    if codec.has_struct(annotation):
        return _written(_msgspec_json(annotation), announces=annotation)
    return _written(_pydantic_json(annotation), announces=annotation)


class _WrongResultError(Exception):
    """The result is not what the handler announces; the text, if any, says where."""


def _written(write: Write, *, announces: Any = object) -> Write:
    """Bound what is written, and turn whatever writing raises into one sentence."""
    name = codec.type_name(announces)

    def write_or_refuse(result: Any) -> bytes:
        try:
            written = write(result)
        except BadResultError:
            raise
        except StrictJsonError as error:
            raise BadResultError(f"the result cannot be written as JSON: {text_of(error)}") from error
        except _WrongResultError as error:
            why = text_of(error) or f"it is a {name_of(type(result))}"
            raise BadResultError(f"the result is not the {name} that the handler announces: {why}") from error
        except RecursionError as error:
            raise BadResultError("the result cannot be written as JSON: it is nested too deep, or in itself") from error
        except Exception as error:  # an object of the user's may raise whatever it likes when it is looked at
            raise BadResultError(f"the result cannot be written as JSON: {error_text(error)}") from error
        if (refusal := results.why_not_kept(written)) is not None:
            raise BadResultError(refusal)
        return written

    return write_or_refuse


def _none(result: Any) -> bytes:
    if result is not None:
        raise _WrongResultError
    return b"null"


def _instance_json(kind: type) -> Write:
    def write(result: Any) -> bytes:
        if not issubclass(type(result), kind):
            raise _WrongResultError
        return _plain_json(result)

    return write


def _struct_json(kind: type) -> Write:
    def write(result: Any) -> bytes:
        if not issubclass(type(result), kind):
            raise _WrongResultError
        return _read_again(_plain_json(result), type(result))

    return write


def _msgspec_json(annotation: Any) -> Write:
    msgspec.json.Decoder(annotation)  # raises now, not at the first result, where msgspec cannot read the type
    return lambda result: _read_again(_plain_json(result), annotation)


def _read_again(written: bytes, kind: Any) -> bytes:
    """Check the fields: msgspec does so when it reads, not when a Struct is made."""
    try:
        msgspec.json.decode(written, type=kind)
    except msgspec.ValidationError as error:
        raise _WrongResultError(str(error)) from error
    return written


def _pydantic_json(annotation: Any) -> Write:
    adapter = codec.adapter_of(annotation)
    has_dataclass = codec.mentions(adapter.core_schema, "dataclass")

    def write(result: Any) -> bytes:
        python = _checked(adapter, result)
        plain = _dumped(adapter, result)
        if has_dataclass:
            # pydantic writes a subclass of a dataclass by its base's fields, unless it writes all by what it is.
            _complete(plain, adapter.dump_python(result, mode="json", serialize_as_any=True, fallback=_plain, **_HOW))
        if (lost := _lost_number(python, plain)) is not None:
            raise StrictJsonError(f"result{lost.path}", lost.reason)
        return _sound_json(plain)

    return write


def _checked(adapter: "pydantic.TypeAdapter[Any]", result: Any) -> Any:
    """Return the result as Python data, when it is what was announced."""
    try:
        adapter.validate_python(result, strict=True, extra="forbid")
        python = adapter.dump_python(result, warnings="error", polymorphic_serialization=True, **_HOW)
    except pydantic.ValidationError as error:
        raise _WrongResultError(codec.explained(error, "result")) from error
    except PydanticSerializationError as error:
        raise _WrongResultError(_without_values(error)) from error
    _refuse_lazy(python)
    return python


def _dumped(adapter: "pydantic.TypeAdapter[Any]", result: Any) -> Any:
    """Return the result as JSON has it. First by bytes: only there a model's own way to write NaN counts."""
    try:
        written = adapter.dump_json(result, polymorphic_serialization=True, fallback=_plain, **_HOW)
        return msgspec.json.decode(written)
    except (PydanticSerializationError, UnicodeEncodeError):  # text that UTF-8 cannot carry
        return adapter.dump_python(result, mode="json", polymorphic_serialization=True, fallback=_plain, **_HOW)


def _without_values(error: PydanticSerializationError) -> str:
    """Return what does not fit and where. The values themselves stay out: they may be secrets."""
    found = _UNEXPECTED.search(str(error))
    if found is None:
        return text_of(error)
    return f"{found['field']}: it is no {found['kind']}" if found["field"] else f"it is no {found['kind']}"


def _complete(plain: Any, by_value: Any) -> None:
    """Add the keys that only the second writing has."""
    if isinstance(plain, dict) and isinstance(by_value, dict):
        for key, value in by_value.items():
            if key in plain:
                _complete(plain[key], value)
            else:
                plain[key] = value
    elif isinstance(plain, list) and isinstance(by_value, list):
        for one, other in zip(plain, by_value, strict=False):
            _complete(one, other)


def _lost_number(python: Any, plain: Any) -> Defect | None:
    """Return where a number that JSON cannot carry was written as null."""
    if isinstance(python, float):
        lost = plain is None and not math.isfinite(python)
        return Defect("", json_defects.not_a_number(_NUMBER_NAMES[repr(python)])) if lost else None
    if isinstance(python, dict) and isinstance(plain, dict):
        pairs = [(json_defects.step(key), item, plain.get(key)) for key, item in python.items()]
    elif isinstance(python, list | tuple) and isinstance(plain, list):
        pairs = [(f"[{n}]", one, other) for n, (one, other) in enumerate(zip(python, plain, strict=False))]
    else:
        return None
    found = ((step, _lost_number(one, other)) for step, one, other in pairs)
    return next((Defect(step + defect.path, defect.reason) for step, defect in found if defect is not None), None)


def _refuse_lazy(python: Any) -> None:
    """Refuse what is made while it is read: it may have no end."""
    todo = [python]
    while todo:
        one = todo.pop()
        if issubclass(type(one), _LAZY):
            raise BadResultError("the result cannot be written as JSON: an iterator has no JSON form, return a list")
        if isinstance(one, dict):
            todo.extend(one.values())
        elif isinstance(one, list | tuple):
            todo.extend(one)


def _plain_json(result: Any) -> bytes:
    try:
        plain = msgspec.to_builtins(result, enc_hook=_plain)
    except (TypeError, ValueError, msgspec.MsgspecError):
        # Once more, for the path to what has no JSON form.
        return strict_json.encode(result, name="result", enc_hook=_plain)
    return _sound_json(plain)


def _plain(value: Any) -> Any:
    """Return a value that JSON knows for one that it does not. By its type: its __class__ may raise, or lie."""
    kind = type(value)
    if issubclass(kind, pydantic.BaseModel):
        return _model(value)
    if issubclass(kind, msgspec.Struct):
        return msgspec.to_builtins(value, enc_hook=_plain, str_keys=True)
    for base, convert in _BASES.items():
        if issubclass(kind, base):
            return convert(value)
    return _refuse(value)


def _refuse(value: Any) -> Any:
    raise TypeError(f"a {name_of(type(value))} has no JSON form")


_BASES: Final[Mapping[type, Callable[[Any], Any]]] = {
    # By the base's own methods: a subclass may have others.
    str: str.__str__,
    int: int.__index__,
    float: float.__float__,
    # What registers as a number, as those of numpy do. A Fraction is left out: as a float it is another number.
    numbers.Integral: int,
    numbers.Rational: _refuse,
    numbers.Real: float,
}


def _model(model: pydantic.BaseModel) -> Any:
    python = model.model_dump(warnings="error", **_HOW)
    _refuse_lazy(python)
    plain = model.model_dump(mode="json", fallback=_plain, **_HOW)
    if (lost := _lost_number(python, plain)) is not None:
        raise StrictJsonError(f"{name_of(type(model))}{lost.path}", lost.reason)
    return plain


def _sound_json(plain: Any) -> bytes:
    """Write plain data: text that UTF-8 cannot carry escaped, keys as text, numbers finite."""
    return strict_json.encode(_sound(plain, "result", [MAX_RESULT_BYTES]), name="result")


def _sound(value: Any, path: str, room: list[int], depth: int = 0) -> Any:
    room[0] -= 1  # each value takes a byte at least: what has more values than there may be bytes is not looked through
    if room[0] < 0:
        raise BadResultError(
            f"the result has more than {MAX_RESULT_BYTES:,} bytes as JSON and no more are kept: "
            "store it elsewhere and return a reference to it"
        )
    if depth > strict_json.MAX_DEPTH:
        raise StrictJsonError("result", json_defects.too_deep(strict_json.MAX_DEPTH))
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise StrictJsonError(path, json_defects.not_a_number(_NUMBER_NAMES[repr(value)]))
    if isinstance(value, dict):
        return _sound_object(value, path, room, depth)
    if isinstance(value, list | tuple):
        return [_sound(item, f"{path}[{index}]", room, depth + 1) for index, item in enumerate(value)]
    return value


def _sound_object(value: dict[Any, Any], path: str, room: list[int], depth: int) -> dict[str, Any]:
    sound: dict[str, Any] = {}
    for key, item in value.items():
        text = _key(key, path)
        if text in sound:
            raise StrictJsonError(path, f"two keys are the same text {text_of(repr(text), max_characters=64)}")
        sound[text] = _sound(item, path + json_defects.step(text), room, depth + 1)
    return sound


def _key(key: Any, path: str) -> str:
    if type(key) is str:
        return encodable(key)
    if type(key) is int or (type(key) is float and math.isfinite(key)):
        return repr(key)
    shown = text_of(repr(key), max_characters=64)
    raise StrictJsonError(path, f"the key {shown} is a {name_of(type(key))}, and JSON has only text as keys")
