"""docs/reference/settings.md: every environment variable of the three services, from the classes that read them."""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Final

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from mission_commander.settings import CommanderSettings
from mission_operator.settings import OperatorSettings
from mission_soldier.settings import Settings as SoldierSettings

SERVICES: Final[Mapping[str, type[BaseSettings]]] = {
    "The Commander (`mission-commander`)": CommanderSettings,
    "The soldier (`mission-soldier`)": SoldierSettings,
    "The operator (`mission-operator`)": OperatorSettings,
}

_HEADING: Final = """# Settings

Each service reads its settings once, at start, from the environment. What it cannot read it names, and does not start.
"""


def page() -> str:
    """Give the page's text."""
    parts = [_HEADING]
    for title, settings in SERVICES.items():
        parts.append(f"## {title}\n")
        parts += _sections(settings)
    return "\n".join(parts)


def _sections(settings: type[BaseSettings]) -> Iterator[str]:
    said = _field_docs(settings)
    prefix = str(settings.model_config.get("env_prefix", ""))
    for name, field in settings.model_fields.items():
        text = field.description or said.get(name, "")
        yield f"### `{prefix}{name.upper()}`\n\n{_default(field)}\n\n{inspect.cleandoc(text)}\n"


def _field_docs(settings: type[BaseSettings]) -> dict[str, str]:
    """The strings that stand under a class's fields."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(settings))).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    return {
        field.target.id: said.value.value
        for field, said in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(said, ast.Expr)
        and isinstance(said.value, ast.Constant)
        and isinstance(said.value.value, str)
    }


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "Required."
    if field.default_factory is not None and _is_made_up(field.default_factory):
        return "Default: made at start."
    value = field.get_default(call_default_factory=True, validated_data={})
    text = "" if value is None else _text(value)
    return f"Default: `{text}`." if text else "Default: none."


def _is_made_up(factory: object) -> bool:
    """A named function computes something of this process; a lambda or a type writes down a value."""
    return not isinstance(factory, type) and getattr(factory, "__name__", "") != "<lambda>"


def _text(value: object) -> str:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case Enum():
            return str(value.value)
        case dict():
            return ", ".join(f"{name}={_text(item)}" for name, item in value.items())
        case list() | tuple():
            return ", ".join(_text(item) for item in value)
        case Path():
            return value.as_posix()
        case _:
            return str(value)
