"""How the demo speaks: what it does, which command that is, and what comes of it. Colours only on a terminal."""

import sys
from collections.abc import Mapping
from typing import Final, TextIO

from tools.demo.watching import Look

BOLD: Final = "1"
DIM: Final = "2"
RED: Final = "31"
STATE_COLOURS: Final[Mapping[str, str]] = {
    "Queued": "33",
    "InProgress": "36",
    "Completed": "32",
    "Failed": RED,
    "Cancelled": "35",
}


class Teller:
    """Writes for a person; a pipe gets the same text without colours."""

    def __init__(self, out: TextIO = sys.stdout, *, colours: bool | None = None) -> None:
        self._out = out
        self._colours = out.isatty() if colours is None else colours

    def step(self, text: str) -> None:
        """Say what comes now."""
        self.line(f"\n{self._in(BOLD, text)}")

    def command(self, text: str) -> None:
        """Show a command as the reader could type it."""
        self.line(self._in(DIM, f"$ {text}"))

    def look(self, look: Look, after_seconds: float) -> None:
        """Show what the watch saw, and when."""
        self.line(self._in(DIM, f"{after_seconds:6.1f}s  ") + self._painted(look.text()))

    def rows(self, table: str) -> None:
        """Show what `kubectl get missions` printed, its states in colour."""
        for line in table.splitlines():
            self.line(self._painted(line))

    def trouble(self, text: str) -> None:
        self.line(self._in(RED, text))

    def line(self, text: str = "") -> None:
        print(text, file=self._out, flush=True)

    def _painted(self, text: str) -> str:
        for state, colour in STATE_COLOURS.items():
            if f" {state} " in text:
                return text.replace(f" {state} ", f" {self._in(colour, state)} ", 1)
        return text

    def _in(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text
