"""What documentation pages show, as tests run it: the fenced blocks of a page, in order."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
_FENCED: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Snippet(NamedTuple):
    """A fenced block, and the line of the page on which it begins."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file name that its first line gives it, as a comment."""
        named = re.match(r"# (\S+\.\w+)\n", self.text)
        return named[1] if named else None

    @property
    def commands(self) -> list[str]:
        """What a reader types at a prompt."""
        return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]


def pages() -> Iterator[Path]:
    """Every page that a user reads."""
    yield ROOT / "README.md"
    yield from sorted((ROOT / "docs").rglob("*.md"))


def snippets(page: Path) -> Iterator[Snippet]:
    text = page.read_text()
    for found in _FENCED.finditer(text):
        yield Snippet(found[1], found[2], text.count("\n", 0, found.start()) + 1)
