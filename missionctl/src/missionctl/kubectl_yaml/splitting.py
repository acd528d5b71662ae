"""One file to its documents: YAML between lines of `---`, JSON with or without them, and Lists taken apart."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from mission_contracts import json_defects, strict_json
from mission_contracts.strict_json import MAX_DEPTH, StrictJsonError
from missionctl.kubectl_yaml import building, scalars
from missionctl.kubectl_yaml.building import FieldPath, Manifest
from missionctl.kubectl_yaml.errors import ManifestError

LIST: Final = "List"

_SEPARATOR: Final = re.compile(r"^---[^\r\n]*(?=[\r\n]|\Z)", re.MULTILINE)
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_REST_OF_LINE: Final = re.compile(r"[ \t]*(?=[\r\n]|$)")

_reader: Final = json.JSONDecoder(parse_int=str, parse_float=str)


def manifests(text: str) -> Iterator[Manifest]:
    """Yield the objects of a text, those of a List one by one. Empty documents are passed over."""
    for manifest in _documents(text.removeprefix("\ufeff")):
        yield from _taken_apart(manifest)


def _documents(text: str) -> Iterator[Manifest]:
    at, number = 0, 1
    while at < len(text):
        found, at = _next(text, at, number)
        if found is not None:
            yield found
            number += 1


def _next(text: str, at: int, number: int) -> tuple[Manifest | None, int]:
    """Read what begins here, and return where it ends: a separator, JSON, or YAML up to the next separator."""
    separator = _SEPARATOR.match(text, at)
    if separator is not None:
        _check_separator(separator[0], number, _line(text, at))
        return None, separator.end() + 1
    space = _SPACE.match(text, at)
    begin = space.end() if space else at
    if text.startswith("{", begin):
        return _json_or_yaml(text, begin, number)
    return _yaml(text, at, number)


def _check_separator(line: str, number: int, at: int) -> None:
    rest = line.removeprefix("---").strip()
    if rest and not rest.startswith("#"):
        raise ManifestError("--- stands alone on its line: put what follows on the next one", number, at)


def _yaml(text: str, at: int, number: int) -> tuple[Manifest | None, int]:
    following = _SEPARATOR.search(text, at)
    end = following.start() if following else len(text)
    return building.build(text[at:end], number, _line(text, at)), end


def _json_or_yaml(text: str, at: int, number: int) -> tuple[Manifest | None, int]:
    """What begins with a brace is JSON; else it may still be YAML, which has braces too."""
    line = _line(text, at)
    try:
        end = _reader.raw_decode(text, at)[1]
    except RecursionError:
        raise ManifestError(json_defects.too_deep(MAX_DEPTH), number, line) from None
    except json.JSONDecodeError as error:
        try:
            return _yaml(text, at, number)
        except ManifestError:
            if not re.match(r'\{[ \t\r\n]*"', text[at : at + 256]):
                raise
            raise ManifestError(f"not JSON: {error.msg}", number, error.lineno) from error
    rest = _REST_OF_LINE.match(text, end)
    if rest is None and not text.startswith("{", end):
        raise ManifestError("something follows the JSON object on its line: remove it", number, _line(text, end))
    manifest = Manifest(number=number, value=_json(text[at:end], number, line), lines={(): line})
    return manifest, rest.end() if rest else end


def _json(text: str, number: int, line: int) -> Any:
    try:
        strict_json.check(text.encode())
    except UnicodeEncodeError:
        raise ManifestError(json_defects.half_a_pair(), number, line) from None
    except StrictJsonError as error:
        raise ManifestError(str(error), number, line) from error
    # Read once more, as Go writes numbers: 5 for 5.0.
    return json.loads(text, parse_float=lambda digits: scalars.whole(float(digits)))


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _taken_apart(manifest: Manifest) -> Iterator[Manifest]:
    value = manifest.value
    kind = value.get("kind") if isinstance(value, dict) else None
    if not (isinstance(kind, str) and kind.endswith(LIST) and "items" in value):
        yield manifest
        return
    items = value["items"]
    if not isinstance(items, list | None):
        raise ManifestError("items of a List is a list of objects", manifest.number, manifest.lines[()])
    named = {"kind": kind.removesuffix(LIST), "apiVersion": value.get("apiVersion")} if kind != LIST else {}
    for place, item in enumerate(items or ()):
        lines = _lines_of(manifest, ("items", place))
        if not isinstance(item, dict) or item.get("kind") == LIST:
            raise ManifestError("an item of a List is an object, and no List itself", manifest.number, lines[()])
        yield Manifest(number=manifest.number, value=named | item, lines=lines)


def _lines_of(manifest: Manifest, within: FieldPath) -> dict[FieldPath, int]:
    """Return the lines of a part, by paths that begin in it."""
    size = len(within)
    lines = {path[size:]: line for path, line in manifest.lines.items() if path[:size] == within}
    return {(): manifest.lines[()]} | lines
