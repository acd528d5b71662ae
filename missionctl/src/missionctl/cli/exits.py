"""How a command ends: the exit codes, and the sentence on stderr."""

from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """What a script can tell from the exit code; `missionctl --help` shows this table."""

    OK = 0
    NOT_COMPLETED = 1  # a mission failed, was cancelled or took too long; health says down
    USAGE = 2  # something typed, or written in a file, is wrong
    UNREACHABLE = 3  # no Commander is known, or none answers
    REFUSED = 4  # the Commander said no


TABLE: Final = (
    "[bold]Exit codes[/bold]  0 done · 1 a mission failed or did not finish in time · "
    "2 wrong usage or file · 3 no Commander reached · 4 the Commander refused"
)


class CommandError(Exception):
    """A command cannot go on: the sentence for stderr, and the exit code."""

    def __init__(self, sentence: str, code: Exit) -> None:
        super().__init__(sentence)
        self.code = code
