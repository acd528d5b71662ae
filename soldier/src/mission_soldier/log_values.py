"""What user code writes to the log, made fit for one line: plain values of bounded size, and a level that exists."""

import logging
import math
import sys
from collections.abc import Mapping
from typing import Any, Final

from mission_soldier.describing import name_of, text_of, traceback_of

MAX_TEXT: Final = 8 * 1024
"""Characters of one text."""
MAX_FIELDS: Final = 64
MAX_ITEMS: Final = 64
"""Of one list or dict."""
MAX_DEPTH: Final = 4
MAX_BITS: Final = 256
"""Of an integer: a longer one is written in words."""

_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_NUMBERS: Final[Mapping[int, str]] = {logging.getLevelNamesMapping()[name.upper()]: name for name in _LEVELS}
_OTHER_NAMES: Final[Mapping[str, str]] = {
    "trace": "debug", "warn": "warning", "err": "error", "exception": "error", "fatal": "critical", "crit": "critical",
}  # fmt: skip
_RESERVED: Final = frozenset({"event", "level", "timestamp", "exc_info", "stack_info", "exception", "_record"})
"""Names that the logging itself gives a meaning to."""


def known_level(level: object) -> str | None:
    """Return a level's name in small letters, from any spelling or number of `logging`; None for an unknown one."""
    if type(level) is int:
        return _NUMBERS.get(level)
    name = text_of(level, max_characters=16).strip().lower()
    name = _OTHER_NAMES.get(name, name)
    return name if name in _LEVELS else None


def plain_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a log line, each as plain data. `exc_info` becomes the traceback as text."""
    plain = {
        (f"{name}_" if name in _RESERVED else text_of(name, max_characters=64)): plain_value(value)
        for name, value in list(fields.items())[:MAX_FIELDS]
        if name != "exc_info"
    }
    error = fields.get("exc_info")
    error = error if issubclass(type(error), BaseException) else sys.exc_info()[1] if error is not None else None
    return plain if error is None else {**plain, "exception": traceback_of(error)}


def plain_value(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON has it, whatever it does when it is looked at. Never raises."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if value.bit_length() <= MAX_BITS else f"an integer of {value.bit_length()} bits"
    if kind is float:
        return value if math.isfinite(value) else repr(value)
    if kind is dict and depth < MAX_DEPTH:
        items = list(value.items())[:MAX_ITEMS]
        return {text_of(key, otherwise="?", max_characters=64): plain_value(item, depth + 1) for key, item in items}
    if kind in {list, tuple} and depth < MAX_DEPTH:
        return [plain_value(item, depth + 1) for item in value[:MAX_ITEMS]]
    return text_of(value, otherwise=f"a {name_of(kind)} that has no text", max_characters=MAX_TEXT)
