"""Files, folders and standard input to documents whose complaints point at the file and the line."""

import codecs
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

import msgspec

from missionctl.cli.exits import CommandError, Exit
from missionctl.kubectl_yaml import ManifestError, manifests

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
STANDARD_INPUT: Final = "-"
MAX_FILE_BYTES: Final = 64 * 1024 * 1024

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


def parse(file: str, data: bytes) -> Iterator[Document]:
    """Read the objects of one file; empty documents are passed over."""
    try:
        for manifest in manifests(_decoded(file, data)):
            document = Document(
                file=file,
                number=manifest.number,
                content=manifest.value if isinstance(manifest.value, dict) else {},
                lines=manifest.lines,
            )
            if not isinstance(manifest.value, dict):
                document.refuse("this is no object: it needs apiVersion")
            yield document
    except ManifestError as error:
        raise CommandError(f"{file}, document {error.document}, line {error.line}: {error}", Exit.USAGE) from error


def _texts(name: str) -> Iterator[tuple[str, bytes]]:
    if name == STANDARD_INPUT:
        yield "standard input", _bounded("standard input", sys.stdin.buffer)
        return
    path = Path(name)
    try:
        files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES) if path.is_dir() else [path]
    except (OSError, ValueError) as error:
        raise CommandError(f"{name} cannot be read: {error}", Exit.USAGE) from error
    if not files:
        raise CommandError(f"{name} has no file that ends in .yaml, .yml or .json", Exit.USAGE)
    for file in files:
        yield str(file), _read(file)


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return _bounded(str(file), opened)
    except (OSError, ValueError) as error:
        raise CommandError(f"{file} cannot be read: {error}", Exit.USAGE) from error


def _bounded(name: str, opened: BinaryIO) -> bytes:
    data = opened.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise CommandError(f"{name} has more than {MAX_FILE_BYTES:,} bytes: split it", Exit.USAGE)
    return data


def _decoded(file: str, data: bytes) -> str:
    """UTF-8, or UTF-16 where a byte order mark says so, as YAML allows."""
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        sentence = f"{file} is not text in UTF-8: byte {error.start} cannot be read, so save it as UTF-8"
        raise CommandError(sentence, Exit.USAGE) from error
