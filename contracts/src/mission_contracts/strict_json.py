"""JSON as every entry point reads and writes it: what arrives is what was sent, or one sentence says why not.

RFC 8259, and of what it leaves open (RFC 7493, I-JSON, gives the reasons):

- a number is finite, and within the range of a double where it has a fraction or an exponent; an integer is exact, of
  any size up to `MAX_DIGITS` digits;
- a key is there once in its object;
- text is UTF-8, and an escaped surrogate comes with its other half;
- objects and arrays are within each other at most `MAX_DEPTH` deep, so that no reader down the line runs out of stack.

`check` and `decode` read bytes, `encode` writes a value. Each raises `StrictJsonError`, whose text names the path:
`payload.items[3].price: NaN is not a JSON number`.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any, Final, cast

import msgspec

from mission_contracts import json_defects
from mission_contracts.errors import ContractError
from mission_contracts.json_defects import Defect

MAX_DEPTH: Final = 64
MAX_PAYLOAD_DEPTH: Final = MAX_DEPTH - 1
"""Of a payload by itself: the submission that carries it is one level more."""
MAX_DIGITS: Final = 4_300
"""Of an integer: Python itself refuses to convert longer ones (`sys.set_int_max_str_digits`)."""

EncodeHook = Callable[[Any], Any]
"""Turns a value that JSON does not know into one that it does, or raises TypeError, as `msgspec.json.encode` asks."""

_decoder: Final = msgspec.json.Decoder()
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_KEYS: Final = frozenset({str, int, float})
_ARRAYS: Final = frozenset({list, tuple})
_NUMBER_NAMES: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


class StrictJsonError(ContractError):
    """Bytes are not strict JSON, or a value has no JSON form; the text is one sentence that names the path."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


def decode(data: bytes, *, name: str = "", is_explained: bool = True) -> Any:
    """Return the value; `name` begins each path in an error, such as `payload`. Bound the size before the call.

    Not `is_explained`: an error has no path and costs no second reading, for callers that meet very many.
    """
    try:
        value = _decoder.decode(data)
        defect = _defect(data, value)
    except _UNREADABLE as error:
        value, defect = None, _unreadable(error)
    if defect is None:
        return value
    if is_explained:
        defect = json_defects.first_defect(data, max_depth=MAX_DEPTH, max_digits=MAX_DIGITS) or defect
    raise StrictJsonError(_path(name, defect.path), defect.reason)


def check(data: bytes, *, name: str = "", is_explained: bool = True) -> None:
    """Raise StrictJsonError where `decode` would: for bytes that are passed on as they are, or read by a model."""
    decode(data, name=name, is_explained=is_explained)


def encode(value: object, *, name: str = "", enc_hook: EncodeHook | None = None) -> bytes:
    """Return the value as JSON that `decode` reads: never null in place of a number that JSON cannot carry."""
    try:
        encoded = msgspec.json.encode(value, enc_hook=enc_hook)
    except Exception as error:
        raise _unwritable(value, name, enc_hook, error) from error
    if is_deeper_than(encoded, MAX_DEPTH):
        raise StrictJsonError(name, json_defects.too_deep(MAX_DEPTH))
    # The encoder writes null for NaN and the infinities, and for nothing else but None.
    if b"null" in encoded and (found := _not_finite(value, enc_hook)) is not None:
        raise StrictJsonError(_path(name, found.path), found.reason)
    return encoded


def is_deeper_than(data: bytes, limit: int) -> bool:
    """Whether JSON has more than `limit` objects and arrays within each other. Without recursion, and in linear time.

    What is not JSON has no depth; there is an answer for it too.
    """
    if data.count(b"[") + data.count(b"{") <= limit:
        return False
    if b"\\" in data:
        # First the escaped backslashes: then a backslash before a quote escapes that quote.
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = _TEXT.sub(b"", data.translate(_UP_AND_DOWN, _NEITHER_TEXT_NOR_BRACKET))
    return max(accumulate(memoryview(brackets).cast("b")), default=0) > limit


_TEXT: Final = re.compile(rb'"[^"]*+"')
_UP_AND_DOWN: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NEITHER_TEXT_NOR_BRACKET: Final = bytes(set(range(256)) - set(b'[]{}"'))


def _may_repeat_a_key(data: bytes, value: object) -> bool:
    """Whether a second reading is needed: a key that was lost took its colon along.

    The encoder writes each colon of a text as it is; only an escape (\\u003a) in the original makes the counts differ.
    """
    return b"\\u003" in data or data.count(b":") != msgspec.json.encode(value).count(b":")


def _defect(data: bytes, value: object) -> Defect | None:
    """Return what strict JSON does not allow in text that the decoder could read."""
    if is_deeper_than(data, MAX_DEPTH):
        return Defect("", json_defects.too_deep(MAX_DEPTH))
    return json_defects.repeated_key(data) if _may_repeat_a_key(data, value) else None


def _unreadable(error: Exception) -> Defect:
    if isinstance(error, RecursionError):
        return Defect("", json_defects.too_deep(MAX_DEPTH))
    return Defect(
        "", f"not UTF-8 at byte {error.start}" if isinstance(error, UnicodeDecodeError) else f"not JSON: {error}"
    )


def _path(name: str, steps: str) -> str:
    return json_defects.shortened(name + steps if name else steps.removeprefix("."))


def _unwritable(value: object, name: str, enc_hook: EncodeHook | None, error: Exception) -> StrictJsonError:
    """Return the error that names the innermost part that cannot be written, and why.

    Values come from anyone's code: nothing here calls their methods, but through the encoder.
    """
    path, culprit = "", value
    for _ in range(MAX_DEPTH):
        for part, child in _parts(culprit):
            if (failure := _failure(child, enc_hook)) is not None:
                path, culprit, error = path + part, child, failure
                break
        else:
            break
    return StrictJsonError(_path(name, path), _reason(culprit, error, enc_hook))


def _failure(value: object, enc_hook: EncodeHook | None) -> Exception | None:
    try:
        msgspec.json.encode(value, enc_hook=enc_hook)
    except Exception as error:  # noqa: BLE001 - a value's own code may raise anything
        return error
    return None


def _parts(value: object) -> Iterator[tuple[str, object]]:
    kind = type(value)
    if issubclass(kind, dict):
        yield from ((_step(key), item) for key, item in dict.items(cast("dict[object, object]", value)))
    elif kind in _ARRAYS:
        yield from ((f"[{index}]", item) for index, item in enumerate(cast("list[object]", value)))


def _step(key: object) -> str:
    return json_defects.step(key) if type(key) in _KEYS else f"[{type(key).__name__}]"


def _reason(culprit: object, error: Exception, enc_hook: EncodeHook | None) -> str:
    kind = type(culprit)
    if isinstance(error, RecursionError):
        return json_defects.too_deep(MAX_DEPTH)
    if issubclass(kind, dict):
        keys = dict.keys(cast("dict[object, object]", culprit))
        key = next((key for key in keys if _failure({key: None}, enc_hook)), None)
        return f"the key {_step(key)} is neither text that UTF-8 can carry nor a number"
    if isinstance(error, UnicodeEncodeError):
        return json_defects.half_a_pair()
    if kind is int:
        return f"an integer of more than {MAX_DIGITS:,} digits: send it as text"
    return f"a value of type {kind.__name__} has no JSON form"


def _not_finite(value: object, enc_hook: EncodeHook | None) -> Defect | None:
    """Return the first number that JSON cannot carry."""

    def hook(part: Any) -> Any:
        if isinstance(part, msgspec.Raw):
            return _decoder.decode(part)
        if enc_hook is not None:
            return enc_hook(part)
        raise TypeError(type(part).__name__)

    plain = msgspec.to_builtins(value, enc_hook=hook, str_keys=True)
    try:
        json.dumps(plain, allow_nan=False)
    except ValueError:
        todo: list[tuple[str, object]] = [("", plain)]
    else:
        return None
    while todo:
        path, one = todo.pop()
        if isinstance(one, float) and not math.isfinite(one):
            return Defect(path, json_defects.not_a_number(_NUMBER_NAMES[repr(one)]))
        todo += [(path + part, child) for part, child in _parts(one)][::-1]
    return None
