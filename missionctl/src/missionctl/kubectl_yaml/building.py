"""One YAML document to the JSON value that kubectl makes of it, from the parser's events and without recursion."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import yaml

from mission_contracts import json_defects
from mission_contracts.strict_json import MAX_DEPTH
from missionctl.kubectl_yaml import scalars
from missionctl.kubectl_yaml.errors import ManifestError, ValueRefusedError

FieldPath = tuple[str | int, ...]

PARSER: Final = getattr(yaml, "CLoader", yaml.Loader)
"""libyaml where it is installed: Go's parser was translated from it. Only its events are used, never its values."""

MAX_LEVELS: Final = MAX_DEPTH + 8
"""A payload may be as deep as JSON may be, and lies within an object, which may lie within a List."""
FREE_BYTES: Final = 4 * 1024 * 1024
"""What aliases may add to a document; kubectl too refuses "excessive aliasing"."""
MAX_LINE_LEVELS: Final = 8
"""Deeper values are complained about at the line of what holds them."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One document: its value, and where each part begins."""

    number: int
    value: Any
    lines: Mapping[FieldPath, int]


@dataclass
class _Open:
    """A mapping or sequence that is being read."""

    value: dict[str, Any] | list[Any]
    path: FieldPath
    anchor: str | None
    line: int
    spent_before: int
    key: str | None = None
    is_merge: bool = False
    own_keys: set[str] = field(default_factory=set)


def build(text: str, number: int, first_line: int) -> Manifest | None:
    """Return the document in a text, None where there is nothing in it. Raises ManifestError."""
    builder = _Builder(number, first_line, len(text) + FREE_BYTES)
    for event in _events(text, number, first_line):
        builder.take(event)
    return builder.manifest()


def _events(text: str, number: int, first_line: int) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=PARSER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ManifestError(problem, number, first_line + (mark.line if mark else 0)) from error
    except ValueError as error:  # a character that does not exist, by the parser in Python
        raise ManifestError(f"an escape is no character: {error}", number, first_line) from error


class _Builder:
    """Takes events in turn. `_spent` counts what the value will take as text, aliases written out."""

    def __init__(self, number: int, first_line: int, budget: int) -> None:
        self._number = number
        self._first_line = first_line
        self._left = budget
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._lines: dict[FieldPath, int] = {}
        self._documents = 0
        self._root: Any = None

    def manifest(self) -> Manifest | None:
        return None if self._root is None else Manifest(number=self._number, value=self._root, lines=self._lines)

    def take(self, event: yaml.Event) -> None:
        line = self._first_line + (event.start_mark.line if event.start_mark else 0)
        try:
            self._take(event, line)
        except ValueRefusedError as error:
            raise ManifestError(str(error), self._number, line) from error

    def _take(self, event: yaml.Event, line: int) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise ValueRefusedError("another document begins here: put a line with --- before it")
            case yaml.ScalarEvent():
                self._scalar(event, line)
            case yaml.AliasEvent():
                self._alias(str(event.anchor), line)
            case yaml.SequenceStartEvent():
                self._open([], event.anchor, line)
            case yaml.MappingStartEvent():
                self._open({}, event.anchor, line)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._close()

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        text, tag, is_plain = event.value, event.tag, bool(event.implicit[0]) and event.tag is None
        _check_encodable(text)
        before = self._left
        self._spend(len(text) + 1)
        value = scalars.value_of(text, tag, is_plain=is_plain)
        if self._wants_key():
            is_merge = text == scalars.MERGE and (is_plain or tag == f"{scalars.TAGS}merge")
            self._key(value, line, is_merge=is_merge)
        else:
            value = scalars.json_value(value)
            self._add(value, line)
        self._remember(event.anchor, value, before)

    def _alias(self, anchor: str, line: int) -> None:
        if any(one.anchor == anchor for one in self._stack):
            raise ValueRefusedError(f"*{anchor} lies within &{anchor}: a value cannot contain itself")
        if anchor not in self._anchors:
            raise ValueRefusedError(f"there is no &{anchor} before *{anchor}: name it first")
        value, cost = self._anchors[anchor]
        self._spend(cost)
        if self._wants_key():
            self._key(value, line, is_merge=False)
        else:
            self._add(value, line)

    def _open(self, value: dict[str, Any] | list[Any], anchor: str | None, line: int) -> None:
        if self._wants_key():
            scalars.key_of(value)
        if len(self._stack) >= MAX_LEVELS:
            raise ValueRefusedError(json_defects.too_deep(MAX_DEPTH))
        before = self._left
        self._spend(2)
        self._stack.append(_Open(value, self._path(), anchor, line, before))

    def _close(self) -> None:
        done = self._stack.pop()
        self._add(done.value, done.line)
        self._remember(done.anchor, done.value, done.spent_before)

    def _add(self, value: Any, line: int) -> None:
        path = self._path()
        if len(path) <= MAX_LINE_LEVELS:
            self._lines.setdefault(path, line)
        if not self._stack:
            self._root = value
            return
        parent = self._stack[-1]
        if isinstance(parent.value, list):
            parent.value.append(value)
            return
        if parent.is_merge:
            _merge(parent.value, value)
        elif parent.key is not None:
            parent.value[parent.key] = value
        parent.key, parent.is_merge = None, False

    def _key(self, value: Any, line: int, *, is_merge: bool) -> None:
        parent = self._stack[-1]
        parent.key, parent.is_merge = scalars.key_of(value), is_merge
        if is_merge:
            return
        if parent.key in parent.own_keys:
            raise ValueRefusedError(f'"{parent.key}" is given twice, so one of its values would be lost')
        parent.own_keys.add(parent.key)
        if len(self._stack) <= MAX_LINE_LEVELS:
            self._lines[self._path()] = line  # a block value begins below its key, which is what one looks for

    def _wants_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None

    def _path(self) -> FieldPath:
        if not self._stack:
            return ()
        parent = self._stack[-1]
        return (*parent.path, len(parent.value) if isinstance(parent.value, list) else str(parent.key))

    def _remember(self, anchor: str | None, value: Any, before: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = value, before - self._left

    def _spend(self, cost: int) -> None:
        self._left -= cost
        if self._left < 0:
            raise ValueRefusedError("its aliases (*name) stand for too much text: write it out, or make it smaller")


def _merge(into: dict[str, Any], value: Any) -> None:
    """Add what `<<` names where it stands: a key behind it wins, and of several mappings the first that has the key."""
    for one in _merged(value):
        into.update(one)


def _merged(value: Any) -> Iterator[dict[str, Any]]:
    for one in reversed(value) if isinstance(value, list) else [value]:
        if not isinstance(one, dict):
            raise ValueRefusedError("<< takes a mapping, or a list of mappings")
        yield one


def _check_encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueRefusedError(json_defects.half_a_pair()) from error
