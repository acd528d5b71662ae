"""Where lines go: results to stdout, remarks and complaints to stderr; colours only for people."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import yaml
from rich.console import Console
from rich.text import Text

from mission_contracts.rest import MissionView
from missionctl.cli.formats import Format
from missionctl.cli.tables import STYLES, Cell, name_of


class Screen:
    """rich leaves colours away by itself where the output is no terminal, or NO_COLOR is set."""

    def __init__(self) -> None:
        self._out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
        self._remarks = Console(highlight=False, soft_wrap=True, markup=False, emoji=False, stderr=True)

    def cells(self, cells: Sequence[Cell]) -> None:
        """Print one line of styled pieces."""
        self._out.print(Text.assemble(*cells, end=""))

    def lines(self, lines: Iterable[Sequence[Cell]]) -> None:
        for line in lines:
            self.cells(line)

    def text(self, text: str) -> None:
        self._out.print(Text(text))

    def remark(self, text: str) -> None:
        """Say something that is no result."""
        self._remarks.print(Text(text, style="dim"))

    def complain(self, text: str) -> None:
        self._remarks.print(Text.assemble(("error: ", "bold red"), text))

    def mission(self, mission: MissionView, remark: str = "") -> None:
        """One mission in one line."""
        state = (mission.state.camel, STYLES[mission.state])
        self.cells([(f"mission/{name_of(mission)}   ", ""), state, (f"   {remark}" if remark else "", "dim")])


def structured(value: Any, form: Format) -> str:
    """JSON or YAML text of anything that goes over the wire."""
    encoded = msgspec.json.encode(value)
    if form is Format.YAML:
        return yaml.safe_dump(msgspec.json.decode(encoded), sort_keys=False, allow_unicode=True).rstrip("\n")
    return msgspec.json.format(encoded).decode()
