"""Handlers that write down what they do, so that a test can count executions where they happen."""

from chaos.sink import BEGAN, ENDED, STOPPED, note

from mission_soldier import Context, MissionCancelledError, Soldier
from mission_soldier.builtin import Simulation, simulate

soldier = Soldier()


@soldier.handler("noted")
async def noted(ctx: Context, simulation: Simulation) -> dict[str, float]:
    """Do what the built-in `simulate` does, and note it."""
    note(BEGAN, ctx)
    try:
        result = await simulate(ctx, simulation)
    except MissionCancelledError:
        note(STOPPED, ctx)
        raise
    note(ENDED, ctx)
    return result
