"""Where JSON goes wrong, and how: the second reading of what a fast reader has refused.

A parser written in C says "number out of range (byte 1,234)". A person wants `payload.items[3].price`. So this one
reads leniently, with a `Defect` in place of each part that strict JSON does not allow, and returns the first of them.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

MAX_BYTES: Final = 16 * 1024
"""Longer text is not read a second time: an answer to bad input must not cost more than one to good input."""

MAX_KEY_CHARACTERS: Final = 64
MAX_PATH_CHARACTERS: Final = 128
"""The beginning is enough to find a place that is nested deeper."""

_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_TEXT_OR_BRACKET: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)
_CLOSING: Final = {"[": "]", "{": "}"}
_TOO_DEEP: Final = "-Infinity"
"""Replaces what is nested too deep: a word that the lenient reader passes to a function of ours."""


class Defect(NamedTuple):
    """The path to what is wrong, from where this value is, and what is wrong with it."""

    path: str
    reason: str


def step(key: object) -> str:
    """Return a key as one more step of a path: `.price`, or `["odd key"]`."""
    text = str(key)
    if len(text) > MAX_KEY_CHARACTERS:
        text = text[:MAX_KEY_CHARACTERS] + "…"
    return f".{text}" if _PLAIN_KEY.fullmatch(text) else f"[{json.dumps(text)}]"


def shortened(path: str) -> str:
    """Return a path that fits in a sentence."""
    return path if len(path) <= MAX_PATH_CHARACTERS else path[:MAX_PATH_CHARACTERS] + "…"


def too_deep(limit: int) -> str:
    """Return what is wrong with values that are nested deeper than the limit."""
    return f"objects and arrays are nested more than {limit} deep: make it flatter, or send a reference"


def too_long(digits: int, limit: int) -> str:
    """Return what is wrong with an integer of more digits than the limit."""
    return f"an integer of {digits:,} digits, and at most {limit:,} are read: send it as text"


def not_a_number(word: str) -> str:
    """Return what is wrong with NaN and the infinities."""
    return f"{word} is not a JSON number: send it as text"


def half_a_pair() -> str:
    """Return what is wrong with text that UTF-8 cannot carry."""
    return "the text has half of a surrogate pair, which is no character"


def first_defect(data: bytes, *, max_depth: int, max_digits: int) -> Defect | None:
    """Return the first thing that strict JSON does not allow; None where the text is long, or nothing is found."""
    if len(data) > MAX_BYTES:
        return None
    text, is_cut = _cut(data.decode(errors="surrogateescape"), max_depth)
    reader = json.JSONDecoder(
        object_pairs_hook=_object,
        parse_float=_float,
        parse_int=lambda digits: _integer(digits, max_digits),
        parse_constant=lambda word: Defect(
            "", too_deep(max_depth) if is_cut and word == _TOO_DEEP else not_a_number(word)
        ),
    )
    try:
        found = _find(reader.decode(text))
    except json.JSONDecodeError as error:
        return Defect("", f"not JSON: {error}")
    return None if found is None else Defect(shortened(found.path), found.reason)


def repeated_key(data: bytes) -> Defect | None:
    """Return an object's first repeated key, by its own name alone, of JSON that is otherwise known to be strict."""
    found: list[Defect] = []

    def kept(items: list[tuple[str, Any]]) -> object:
        if isinstance(read := _object(items), Defect):
            found.append(read)
        return None

    json.loads(data, object_pairs_hook=kept)
    return found[0] if found else None


def _cut(text: str, max_depth: int) -> tuple[str, bool]:
    """Replace what is nested too deep, and all that follows, so that the lenient reader recurses no further."""
    opened: list[str] = []
    for found in _TEXT_OR_BRACKET.finditer(text):
        bracket = found[0]
        if bracket in _CLOSING:
            opened.append(_CLOSING[bracket])
            if len(opened) > max_depth:
                return text[: found.start()] + _TOO_DEEP + "".join(reversed(opened[:-1])), True
        elif len(bracket) == 1 and opened:
            opened.pop()
    return text, False


def _object(items: list[tuple[str, Any]]) -> object:
    found = dict(items)
    if len(found) == len(items):
        return found
    seen: set[str] = set()
    for key, _ in items:
        if key in seen:
            break
        seen.add(key)
    return Defect(step(key), "this key is there twice, so one of its values would be lost")


def _float(digits: str) -> object:
    if math.isfinite(float(digits)):
        return None
    shown = digits if len(digits) <= 32 else digits[:32] + "…"
    return Defect("", f"{shown} is beyond the largest number (1.8e308): send it as text")


def _integer(digits: str, limit: int) -> object:
    length = len(digits.removeprefix("-"))
    return None if length <= limit else Defect("", too_long(length, limit))


def _find(value: object) -> Defect | None:
    """Return the first defect within a value. Recurses no deeper than `_cut` leaves."""
    if isinstance(value, Defect):
        return value
    if isinstance(value, str):
        return None if value.isascii() else _in_text(value)
    for part, child in _parts(value):
        if child is not None and (found := _find(child)) is not None:
            return Defect(part + found.path, found.reason)
    return None


def _parts(value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        yield from ((f"[{index}]", child) for index, child in enumerate(value))
    elif isinstance(value, dict):
        for key, child in value.items():
            yield step(key), _in_text(key) or child


def _in_text(text: str) -> Defect | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        # Bytes that are not UTF-8 were read as these, on purpose (PEP 383).
        is_byte = "\udc80" <= text[error.start] <= "\udcff"
        return Defect("", f"not UTF-8: the byte 0x{ord(text[error.start]) - 0xDC00:02x}" if is_byte else half_a_pair())
    return None
