"""Where lines go: results to stdout, remarks and complaints to stderr; colours only for people."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import yaml
from rich.console import Console
from rich.text import Text

from mission_contracts.rest import MissionView
from mission_contracts.text import printable
from missionctl.cli.formats import Format
from missionctl.cli.tables import STYLES, Cell, name_of


class Screen:
    """rich leaves colours away by itself where the output is no terminal, or NO_COLOR is set.

    Names, messages and errors were written by anyone: what a terminal would obey is printed as its escape.
    """

    def __init__(self) -> None:
        self._out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
        self._remarks = Console(highlight=False, soft_wrap=True, markup=False, emoji=False, stderr=True)

    def cells(self, cells: Sequence[Cell]) -> None:
        """Print one line of styled pieces."""
        self._out.print(Text.assemble(*((printable(text), style) for text, style in cells), end=""))

    def lines(self, lines: Iterable[Sequence[Cell]]) -> None:
        for line in lines:
            self.cells(line)

    def document(self, text: str) -> None:
        """Print JSON or YAML as it is, for programs; it must come from `structured` or `compact`."""
        self._out.print(Text(text))

    def text(self, text: str) -> None:
        self._out.print(Text(printable(text)))

    def remark(self, text: str) -> None:
        """Say something that is no result."""
        self._remarks.print(Text(printable(text), style="dim"))

    def complain(self, text: str) -> None:
        self._remarks.print(Text.assemble(("error: ", "bold red"), printable(text)))

    def mission(self, mission: MissionView, remark: str = "") -> None:
        """One mission in one line."""
        state = (mission.state.camel, STYLES[mission.state])
        self.cells([(f"mission/{name_of(mission)}   ", ""), state, (f"   {remark}" if remark else "", "dim")])


def structured(value: Any, form: Format) -> str:
    """Return JSON or YAML of anything that goes over the wire: exact, and with no character that a terminal obeys."""
    encoded = compact(value)
    if form is Format.YAML:
        is_plain = _OBEYED.search(msgspec.json.encode(value).decode()) is None
        return yaml.safe_dump(msgspec.json.decode(encoded), sort_keys=False, allow_unicode=is_plain).rstrip("\n")
    return msgspec.json.format(encoded)


def compact(value: Any) -> str:
    """Return JSON in one line; what a terminal would obey is an escape, which means the same."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", msgspec.json.encode(value).decode())


_OBEYED: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Controls and what turns text around; what comes before the space is an escape in JSON anyway."""
