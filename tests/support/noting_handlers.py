"""Handlers that write down what they do, so that a test can count executions where they happen.

One line per deed, `deed mission epoch process`, appended in one write to the file that NOTES names.
"""

import os
from pathlib import Path
from typing import Final, NamedTuple

from mission_soldier import Context, MissionCancelledError, Soldier
from mission_soldier.builtin import Simulation, simulate

NOTES_VARIABLE: Final = "NOTES"

soldier = Soldier()


@soldier.handler("noted")
async def noted(ctx: Context, simulation: Simulation) -> dict[str, float]:
    """Do what the built-in `simulate` does, and note it."""
    _note("began", ctx)
    try:
        result = await simulate(ctx, simulation)
    except MissionCancelledError:
        _note("stopped", ctx)
        raise
    _note("ended", ctx)
    return result


class Note(NamedTuple):
    """One deed of one execution."""

    deed: str
    mission_id: str
    epoch: int
    process: int


def notes_in(file: Path) -> list[Note]:
    """Read what was noted so far, in order."""
    if not file.exists():
        return []
    lines = (line.split() for line in file.read_text().splitlines())
    return [Note(deed, mission_id, int(epoch), int(process)) for deed, mission_id, epoch, process in lines]


def _note(deed: str, ctx: Context) -> None:
    line = f"{deed} {ctx.mission_id} {ctx.epoch} {os.getpid()}\n"
    file = os.open(os.environ[NOTES_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
