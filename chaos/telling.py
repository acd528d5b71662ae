"""Progress while a run goes on: one moving line on a terminal, a line per round elsewhere."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console
from rich.status import Status

LOG_SECONDS: Final = 15.0
"""How often a run that nobody watches says that it lives."""


class Teller:
    """Speaks on standard error, so that the table alone is on standard output."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._status: Status | None = None
        self._said = ("", 0.0)

    def say(self, what: str) -> None:
        self._console.print(f"[dim]{what} …[/dim]")

    def trouble(self, what: str) -> None:
        self._stop()
        self._console.print(f"[red]error:[/red] {what}", soft_wrap=True)

    def about(self, rounds: Sequence[str]) -> Callable[[int, str, int, int], None]:
        """Give what tells how far each of these rounds is."""

        def tell(index: int, what: str, final: int, total: int) -> None:
            line = f"{index + 1}/{len(rounds)} {rounds[index]}: {what}, {final} of {total} missions final"
            if self._console.is_terminal:
                self._move(line)
            else:
                self._log(f"{index}", line)

        return tell

    def _move(self, line: str) -> None:
        if self._status is None:
            self._status = self._console.status(line)
            self._status.start()
        self._status.update(line)

    def _log(self, subject: str, line: str) -> None:
        known, at = self._said
        if subject != known or time.monotonic() - at > LOG_SECONDS:
            self._said = (subject, time.monotonic())
            self._console.print(line, soft_wrap=True)

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
