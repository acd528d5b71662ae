"""The description as one page for people. It is whole by itself: no script, and nothing is loaded from anywhere."""

import json
from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby
from typing import Any, Final

from mission_commander.api.described.document import operations
from mission_commander.api.described.operation import Answer, Operation

STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
:root { color-scheme: light dark; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8886; border-radius: .4rem; font-size: .85rem; }
section { border-top: 1px solid #8886; margin-top: 1.5rem; }
td, th { text-align: left; vertical-align: top; padding: .15rem 1rem .15rem 0; }
h3 code { font-size: 1.05rem; }
"""


def page() -> str:
    """Write it."""
    described = sorted(operations(), key=lambda one: one.group)
    groups = [(group, list(held)) for group, held in groupby(described, lambda one: one.group)]
    parts = [_HEAD, *_contents(groups)]
    for group, held in groups:
        parts += [f"<h2>{escape(group)}</h2>", *(part for one in held for part in _operation(one))]
    return "\n".join([*parts, "</body></html>", ""])


_HEAD: Final = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Mission Control: the API</title>
<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>
<h1>Mission Control: the API</h1>
<p>For programs the same is at <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).
Every refusal is <code>application/problem+json</code> with a stable <code>code</code> and a sentence that helps.</p>"""


def _contents(groups: Iterable[tuple[str, list[Operation]]]) -> Iterator[str]:
    for group, held in groups:
        links = ", ".join(f'<a href="#{one.name}">{escape(one.method)} {escape(one.path)}</a>' for one in held)
        yield f"<p><b>{escape(group)}</b>: {links}</p>"


def _operation(one: Operation) -> Iterator[str]:
    yield f'<section id="{one.name}"><h3><code>{one.method} {escape(one.path)}</code></h3>'
    yield f"<p>{_text(one.summary)}. {_text(one.text)}</p>"
    yield f"<p>{_who(one)}</p>"
    if one.parameters:
        yield _table((f"{each.name} ({each.place})", each.text) for each in one.parameters)
    if one.body:
        yield _example("Send", one.body.example)
    for answer in one.answers:
        yield _example(f"{answer.status}", answer.example, answer)
    yield _table((str(status), text) for status, text in one.all_problems().items())
    yield "</section>"


def _who(one: Operation) -> str:
    if one.roles is None:
        return "Needs no token."
    return f"Roles: {', '.join(role.value for role in one.roles)}."


def _table(rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"<tr><th>{escape(name)}</th><td>{_text(text)}</td></tr>" for name, text in rows]
    return f"<table>{''.join(lines)}</table>"


def _example(title: str, example: Any, answer: Answer | None = None) -> str:
    said = f" {_text(answer.text)}" if answer else ""
    if example is None:
        return f"<p><b>{title}</b>{said}</p>"
    text = example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
    return f"<p><b>{title}</b>{said}</p><pre>{escape(text)}</pre>"


def _text(text: str) -> str:
    """Plain words; what stands between backticks is code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))
