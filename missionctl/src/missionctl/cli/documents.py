"""YAML as kubectl reads it, with the line of every value kept, so that a complaint can point at it."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec
import yaml

from missionctl.cli.exits import CommandError, Exit

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
STANDARD_INPUT: Final = "-"

FieldPath = tuple[str | int, ...]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One document of a file."""

    file: str
    number: int
    content: Mapping[str, Any]
    lines: Mapping[FieldPath, int]
    """Where each value begins, by its path."""

    def refuse(self, sentence: str, *, at: FieldPath = ()) -> NoReturn:
        """Complain about the value at a path, or about its nearest ancestor that exists."""
        while at not in self.lines:
            at = at[:-1]
        raise CommandError(f"{self.file}, document {self.number}, line {self.lines[at]}: {sentence}", Exit.USAGE)


def read_all(names: Iterable[str]) -> list[Document]:
    """Read files, folders (their files, by name) and `-` (standard input); CommandError at the first mistake."""
    return [document for name in names for file, text in _texts(name) for document in parse(file, text)]


def _texts(name: str) -> Iterator[tuple[str, str]]:
    if name == STANDARD_INPUT:
        yield "standard input", sys.stdin.read()
        return
    path = Path(name)
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES) if path.is_dir() else [path]
    if not files:
        raise CommandError(f"{name} has no file that ends in .yaml, .yml or .json", Exit.USAGE)
    for file in files:
        yield str(file), _text(file)


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}", Exit.USAGE) from error


def parse(file: str, text: str) -> Iterator[Document]:
    """Read the documents of one text; empty ones are passed over."""
    loader = _Loader(text)
    number = 1
    try:
        while (node := loader.next_node()) is not None:
            content = loader.construct_document(node)
            if content is not None:
                yield _document(file, number, content, node)
            number += 1
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or str(error)
        raise CommandError(f"{file}, document {number}, line {line}: {problem}", Exit.USAGE) from error
    finally:
        loader.dispose()


def _document(file: str, number: int, content: object, node: yaml.Node) -> Document:
    lines = dict(_lines(node, ()))
    if not isinstance(content, dict):
        Document(file=file, number=number, content={}, lines=lines).refuse("this is no object: it needs apiVersion")
    return Document(file=file, number=number, content=content, lines=lines)


def _lines(node: yaml.Node, path: FieldPath) -> Iterator[tuple[FieldPath, int]]:
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _lines_below(key, value, (*path, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _lines(item, (*path, index))


def _lines_below(key: yaml.Node, value: yaml.Node, path: FieldPath) -> Iterator[tuple[FieldPath, int]]:
    yield from _lines(value, path)
    yield path, key.start_mark.line + 1  # a block value begins below its key, which is what one looks for


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """What a plain word means: as in kubectl, 12:30 and 2026-01-01 are text, and 1e3 is a number."""
    number: Final = {
        "tag:yaml.org,2002:int": re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$"),
        "tag:yaml.org,2002:float": re.compile(
            r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
        ),
    }
    kept = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in number and not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    numbers = {first: [*kept.get(first, ()), *number.items()] for first in "-+.0123456789"}
    return kept | numbers


class _Loader(yaml.SafeLoader):
    """Makes what kubectl makes of it: JSON values only, keys are text, a key is given once."""

    yaml_implicit_resolvers = _resolvers()

    def next_node(self) -> yaml.Node | None:
        """The next document, None behind the last."""
        return self.get_node() if self.check_node() else None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: ARG002
        self._refuse_repeated_keys(node)
        self.flatten_mapping(node)
        return {self._key(key): self.construct_object(value, deep=True) for key, value in node.value}

    def _refuse_repeated_keys(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f'"{key.value}" is given twice', key.start_mark)
            seen.add(key.value)

    @staticmethod
    def _key(node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key must be text", node.start_mark)
        return str(node.value)
