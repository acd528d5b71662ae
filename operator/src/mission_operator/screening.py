"""What the API server sends, made readable: an object that cannot be read harms neither the others nor the operator.

Anybody who may create an object chooses its text. Nested deeply enough it ends every recursive parser (how deep that
is differs from one Python to the next), and a watch that fails on an object fails on it again after each restart. So
the nesting is measured before anything is parsed, and what is deeper than any object of use is left out. What cannot
be read even so comes as an object without its spec, with a sentence in place of it.
"""

import re
from typing import Any, Final

import msgspec
import structlog

from mission_contracts.strict_json import is_deeper_than

_log: Final = structlog.get_logger()

MAX_READ_DEPTH: Final = 128
"""Of a whole answer. A payload of the greatest depth allowed is within it, its managedFields too; a deeper one is cut
here, and is refused for what is left."""

UNREADABLE: Final = "missioncontrol.dev/unreadable"
"""Stands in an object that could not be read, beside its metadata: the reason."""

BEGIN_AGAIN: Final = b'{"type":"ERROR","object":{"kind":"Status","code":410}}'
"""An event of a watch after which kopf lists again."""

_GONE: Final = 410
_TOKENS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)
_CONTROL: Final = bytes(range(32))
_AS_SPACES: Final = bytes.maketrans(_CONTROL, b" " * len(_CONTROL))
_NO_NUMBERS: Final = re.compile(rb'("(?:[^"\\]++|\\.)*+")|NaN|-?Infinity', re.DOTALL)
_SURROGATES: Final = re.compile(rb"\\\\|\\u[dD][89abAB]..(?:\\u[dD][c-fC-F]..)?|\\u[dD][c-fC-F]..")
_BEYOND_NUMBERS: Final = b"1e999"
_PAIR_BYTES: Final = 12
_OPENING: Final = frozenset(b"[{")
_CLOSING: Final = frozenset(b"]}")
_FAULTS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_decoder: Final = msgspec.json.Decoder()


class _Metadata(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What the operator cannot do without."""

    uid: str
    name: str
    namespace: str = ""
    resource_version: str = ""
    generation: int = 1
    deletion_timestamp: str | None = None


class _Salvaged(msgspec.Struct, frozen=True, rename="camel"):
    """An object of which the rest was not read."""

    metadata: _Metadata
    api_version: str = ""
    kind: str = ""
    status: msgspec.Raw = msgspec.Raw()


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _List(msgspec.Struct, frozen=True):
    items: tuple[msgspec.Raw, ...] | None = None
    metadata: dict[str, Any] = {}
    kind: str = ""
    api_version: str = msgspec.field(default="", name="apiVersion")


def shallow(document: bytes) -> bytes:
    """Return the document with null for whatever is nested deeper than `MAX_READ_DEPTH`."""
    return _pruned(document) if is_deeper_than(document, MAX_READ_DEPTH) else document


def read_list(document: bytes) -> dict[str, Any]:
    """Read a list of objects; each item for itself if the whole cannot be read. Raises MsgspecError."""
    document = shallow(document)
    try:
        found: dict[str, Any] = _decoder.decode(document)
    except _FAULTS:
        listed = msgspec.json.decode(_mended(document), type=_List)
        items = [item for raw in listed.items or () if (item := read_object(bytes(raw))) is not None]
        return {"kind": listed.kind, "apiVersion": listed.api_version, "metadata": listed.metadata, "items": items}
    return found


def read_object(document: bytes) -> dict[str, Any] | None:
    """Read one object; without its spec if that cannot be read, and None if nothing of use can."""
    document = shallow(document)
    try:
        found: dict[str, Any] = _decoder.decode(document)
    except _FAULTS as error:
        return _salvaged(document, str(error))
    return found


def read_event(line: bytes) -> bytes | None:
    """Return a line of a watch as it can be read; None for one that is worth nothing."""
    line = shallow(line)
    try:
        found = _decoder.decode(line)
    except _FAULTS:
        return _salvaged_event(line)
    return line if _names_an_object(found) else None


def ends_the_watch(line: bytes) -> bool:
    """Whether the API server speaks of a fault of the watch other than that it has to begin again (410)."""
    if not line.startswith(b'{"type":"ERROR"'):
        return False
    found = _decoder.decode(line)
    return bool(found["object"].get("code") != _GONE)


def _salvaged_event(line: bytes) -> bytes | None:
    try:
        event = msgspec.json.decode(_mended(line), type=_Event)
    except _FAULTS as error:
        _log.error("a line of a watch cannot be read, and is passed over", bytes=len(line), why=str(error))
        return None
    body = read_object(bytes(event.object))
    return None if body is None else msgspec.json.encode({"type": event.type, "object": body})


def _salvaged(raw: bytes, why: str) -> dict[str, Any] | None:
    try:
        kept = msgspec.json.decode(_mended(raw), type=_Salvaged)
    except _FAULTS as error:
        _log.error("an object cannot be read, and is passed over", bytes=len(raw), why=str(error))
        return None
    _log.warning("an object cannot be read as a whole", name=kept.metadata.name, why=why)
    metadata = msgspec.to_builtins(kept.metadata)
    body = {"apiVersion": kept.api_version, "kind": kept.kind, "metadata": metadata, UNREADABLE: why}
    try:
        return body | {"status": _decoder.decode(bytes(kept.status) or b"{}")}
    except _FAULTS:
        return body


def _names_an_object(event: Any) -> bool:
    """kopf takes it for granted, and its watch ends where it is not so."""
    if not isinstance(event, dict) or not isinstance(body := event.get("object"), dict):
        return False
    if event.get("type") in {"ERROR", "BOOKMARK"}:
        return True
    return isinstance(metadata := body.get("metadata"), dict) and isinstance(metadata.get("uid"), str)


def _pruned(document: bytes) -> bytes:
    kept: list[bytes] = []
    depth = start = 0
    for token in _TOKENS.finditer(document):
        first = document[token.start()]
        if first in _OPENING:
            depth += 1
            if depth == MAX_READ_DEPTH + 1:
                kept += (document[start : token.start()], b"null")
        elif first in _CLOSING:
            depth -= 1
            if depth == MAX_READ_DEPTH:
                start = token.end()
    return b"".join([*kept, document[start:]])


def _mended(document: bytes) -> bytes:
    """Return JSON where only texts and numbers were not: the texts as the API server itself stores such (U+FFFD).

    A number that is none becomes one that cannot be read either, so that its object is known by it.
    """
    as_text = document.decode(errors="replace").encode().translate(_AS_SPACES)
    numbered = _NO_NUMBERS.sub(lambda found: found[1] or _BEYOND_NUMBERS, as_text)
    return _SURROGATES.sub(lambda found: found[0] if _is_whole(found[0]) else b"\\ufffd", numbered)


def _is_whole(escape: bytes) -> bool:
    """Whether it is an escaped backslash, or both halves of a pair."""
    return escape == b"\\\\" or len(escape) == _PAIR_BYTES
