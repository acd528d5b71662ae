"""What the chart's values may be, read from values.yaml: its comments are the descriptions, its defaults the types.

Where a value is a setting of a service, the setting's own bounds hold. What neither tells is in `chart_rules`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from pydantic.alias_generators import to_snake
from pydantic_settings import BaseSettings

from mission_commander.settings import CommanderSettings
from mission_operator.settings import OperatorSettings
from tools.generate.chart_rules import RULES
from tools.generate.errors import GenerateError
from tools.generate.structural import Schema

SOURCE: Final = "charts/mission-control/values.yaml"
SETTINGS: Final[Mapping[str, type[BaseSettings]]] = {"commander": CommanderSettings, "operator": OperatorSettings}
BOUNDS: Final = ("type", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")

_KEY: Final = re.compile(r"^(?P<indent> *)(?P<key>\w+):")
_BEGINS: Final = "# -- "

Keys = tuple[str, ...]


class Value(msgspec.Struct, frozen=True):
    """One value that a user may set."""

    path: Keys
    description: str
    default: Any

    @property
    def name(self) -> str:
        return ".".join(self.path)


def read(root: Path) -> tuple[Value, ...]:
    """Every value of the chart, in the file's order."""
    text = (root / SOURCE).read_text(encoding="utf-8")
    defaults = yaml.safe_load(text)
    values = tuple(Value(path, description, _at(defaults, path)) for path, description in _described(text))
    _demand_all(defaults, {value.path for value in values})
    return values


def schema(values: tuple[Value, ...]) -> Schema:
    """The JSON Schema that helm holds a user's values against: every object is closed."""
    whole = _closed()
    for value in values:
        *folders, name = value.path
        here = whole
        for folder in folders:
            here = here["properties"].setdefault(folder, _closed())
        here["properties"][name] = {"description": value.description} | _allowed(value)
    whole["properties"]["global"] = {"description": "Helm's own, for charts that use this one.", "type": "object"}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of mission-control"} | whole


def schema_text(values: tuple[Value, ...], notice: str) -> str:
    """As a file, whose first line says where it comes from."""
    text = json.dumps(schema(values), indent=2, ensure_ascii=False)
    return f'{{ "$comment": {json.dumps(notice)},\n' + text.removeprefix("{\n") + "\n"


def page(values: tuple[Value, ...]) -> str:
    """As a table for people."""
    lines = ["# Values", "", "| value | default | what it means |", "| --- | --- | --- |"]
    lines += [
        f"| `{one.name}` | `{json.dumps(one.default)}` | {one.description.replace('|', chr(92) + '|')} |"
        for one in values
    ]
    return "\n".join(lines) + "\n"


def _described(text: str) -> Iterator[tuple[Keys, str]]:
    """Pair each comment that begins with `# --` with the key below it."""
    above: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith(_BEGINS):
            comment = [stripped.removeprefix(_BEGINS)]
        elif stripped.startswith("#") and comment:
            comment.append(stripped.removeprefix("#").strip())
        elif (found := _KEY.match(line)) is not None:
            indent = len(found["indent"])
            above = [*(one for one in above if one[0] < indent), (indent, found["key"])]
            if comment:
                yield tuple(key for _, key in above), " ".join(comment)
            comment = []


def _at(defaults: Any, path: Keys) -> Any:
    for key in path:
        defaults = defaults[key]
    return defaults


def _demand_all(defaults: Mapping[str, Any], described: set[Keys], above: Keys = ()) -> None:
    for key, default in defaults.items():
        path = (*above, key)
        if path in described:
            continue
        if not isinstance(default, dict) or not default:
            raise GenerateError(f"{SOURCE}: {'.'.join(path)} has no comment that begins with `{_BEGINS}`")
        _demand_all(default, described, path)


def _closed() -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def _allowed(value: Value) -> Schema:
    return _ruled(value) or _as_the_setting(value) or _like_its_default(value)


def _ruled(value: Value) -> Schema | None:
    """The most specific rule: `commander.logLevel` before `logLevel`."""
    names = (".".join(value.path[start:]) for start in range(len(value.path)))
    return next((RULES[name] for name in names if name in RULES), None)


def _as_the_setting(value: Value) -> Schema | None:
    settings = SETTINGS.get(value.path[0])
    if settings is None or len(value.path) != 2:
        return None
    field = settings.model_json_schema()["properties"].get(to_snake(value.path[1]))
    return None if field is None else {key: field[key] for key in BOUNDS if key in field}


def _like_its_default(value: Value) -> Schema:
    if isinstance(value.default, bool):
        return {"type": "boolean"}
    if isinstance(value.default, str):
        return {"type": "string"}
    raise GenerateError(f"{SOURCE}: nothing says what {value.name} may be: add a rule to tools/generate/chart_rules.py")
