"""What a handler may leave as its mission's result: small JSON that every reader down the line can read."""

from typing import Final

import msgspec

from mission_contracts.spec import MAX_RESULT_BYTES

MAX_RESULT_DEPTH: Final = 100
"""Objects and lists within each other. Readers of JSON give up somewhere between a few hundred and 10,000."""

_any: Final = msgspec.json.Decoder()


def why_not_kept(result: bytes) -> str | None:
    """Say why a result cannot be kept, and what to do; None when it can."""
    if len(result) > MAX_RESULT_BYTES:
        return (
            f"the result has {len(result):,} bytes as JSON and {MAX_RESULT_BYTES:,} are kept: "
            "store it elsewhere and return a reference to it"
        )
    try:
        depth = _depth(_any.decode(result))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "the result is not JSON that can be read: return what can be written as JSON"
    if depth > MAX_RESULT_DEPTH:
        return f"the result is nested more than {MAX_RESULT_DEPTH} deep: return it flatter, or a reference to it"
    return None


def _depth(value: object) -> int:
    """How many levels of objects and lists there are, counted no further than one beyond the bound."""
    depth, level = 0, [value]
    while level and depth <= MAX_RESULT_DEPTH:
        level = [child for one in level for child in _children(one)]
        depth += bool(level)
    return depth


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
