"""Reading a batch of missions: its items are counted before an object is made of each.

A body of 32 MiB can hold sixteen million items of one byte, which are a gigabyte once they are read. So a body that
might hold very many is looked through item by item first, until there is one too many.
"""

import json
import re
from typing import Final, TypeVar

import msgspec
from starlette.requests import Request

from mission_commander.api import bodies
from mission_commander.api.answers import ProblemError
from mission_contracts.json_defects import too_deep
from mission_contracts.rest import MAX_BATCH, BatchRequest
from mission_contracts.strict_json import MAX_DEPTH

T = TypeVar("T")

FEW_BYTES: Final = 1024 * 1024
FEW_COMMAS: Final = 64 * MAX_BATCH
"""No more items than these can be read without harm; most batches hold far fewer."""

_BETWEEN: Final = re.compile(r"[ \t\n\r]*[,\[]?[ \t\n\r]*")


_BEFORE: Final = re.compile(rb'[ \t\n\r]*\{[ \t\n\r]*"missions"[ \t\n\r]*:[ \t\n\r]*')
_BEHIND: Final = re.compile(rb"[ \t\n\r]*\}[ \t\n\r]*")


class _Unread(msgspec.Struct):
    """A batch whose items are text still."""

    missions: msgspec.Raw


_reader: Final = json.JSONDecoder(parse_int=str, parse_float=str)
_batch: Final = msgspec.json.Decoder(BatchRequest)
_unread: Final = msgspec.json.Decoder(_Unread)


async def read(request: Request, *, counted: bool = True) -> tuple[msgspec.Raw, ...]:
    """Give the items of a batch, each still to be read; 422 where there are too many."""
    body = await bodies.read(request, bodies.MANY_BYTES, counted=counted)
    array = bytes(_decoded(body, _unread).missions)
    if not _is_all(body, array):
        detail = "a batch has one field, missions, and that once: leave out what else is there"
        raise ProblemError(422, "BadField", detail, field="missions")
    if _may_hold_many(body) and _has_too_many(array):
        raise _too_large(f"more than {MAX_BATCH}")
    items = _decoded(body, _batch).missions
    if len(items) > MAX_BATCH:
        raise _too_large(str(len(items)))
    return items


def _decoded(body: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    """Read the frame. Each item is checked by itself, so that one which is not strict JSON refuses only itself."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise ProblemError(422, "BadField", f"the body does not fit: {error}") from error
    except RecursionError as error:
        raise ProblemError(400, "BadJson", f"the body cannot be read: {too_deep(MAX_DEPTH)}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProblemError(400, "BadJson", f"the body cannot be read: not JSON: {error}") from error


def _is_all(body: bytes, array: bytes) -> bool:
    """Whether there is nothing but the array: of a field that is there twice, the decoder keeps the last."""
    before = _BEFORE.match(body)
    return before is not None and _BEHIND.fullmatch(body, before.end() + len(array)) is not None


def _too_large(number: str) -> ProblemError:
    detail = f"{number} missions in one request, at most {MAX_BATCH}: split them"
    return ProblemError(422, "BatchTooLarge", detail, field="missions")


def _may_hold_many(body: bytes) -> bool:
    return len(body) > FEW_BYTES and body.count(b",") > FEW_COMMAS


def _has_too_many(array: bytes) -> bool:
    """Count the items of what is known to be JSON; each is let go at once, and read for good later.

    So it does not matter here whether a text is UTF-8, or how many digits a number has.
    """
    text, read = array.decode(errors="replace"), _reader.raw_decode
    at, end = _past(text, 0), len(text) - 1
    for _ in range(MAX_BATCH):
        if text[0] != "[" or at >= end:
            return False
        at = _past(text, read(text, at)[1])
    return at < end


def _past(text: str, at: int) -> int:
    """Go to the next item, or to the end of the array."""
    found = _BETWEEN.match(text, at)
    return found.end() if found else at
