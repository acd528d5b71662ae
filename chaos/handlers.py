"""What the soldiers of a chaos run handle: work that succeeds, fails once, gives up, or kills its process."""

import os
import signal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from chaos.sink import BEGAN, ENDED, FAILED, STOPPED, note
from mission_soldier import Context, GiveUp, MissionCancelledError, Soldier
from mission_soldier.builtin import Simulation, simulate

soldier = Soldier()


class Work(BaseModel):
    """How long to work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: Annotated[float, Field(ge=0, le=600)] = 0.0


@soldier.handler("work")
async def work(ctx: Context, asked: Work) -> dict[str, int]:
    """Succeed."""
    note(BEGAN, ctx)
    await _work(ctx, asked)
    note(ENDED, ctx)
    return {"epoch": ctx.epoch}


@soldier.handler("flaky")
async def flaky(ctx: Context, asked: Work) -> dict[str, int]:
    """Fail in the first attempt, succeed in the second."""
    note(BEGAN, ctx)
    await _work(ctx, asked)
    if ctx.attempt == 1:
        note(FAILED, ctx)
        raise RuntimeError("fails once, as asked")
    note(ENDED, ctx)
    return {"epoch": ctx.epoch}


@soldier.handler("hopeless")
async def hopeless(ctx: Context, asked: Work) -> None:
    """Give up."""
    note(BEGAN, ctx)
    await _work(ctx, asked)
    note(FAILED, ctx)
    raise GiveUp("never again, as asked")


@soldier.handler("poison")
async def poison(ctx: Context, _asked: Work) -> None:
    """Take the whole process down, as a segmentation fault or the kernel's memory killer would."""
    note(BEGAN, ctx)
    os.kill(os.getpid(), signal.SIGKILL)


async def _work(ctx: Context, asked: Work) -> None:
    steady = Simulation(min_seconds=asked.seconds, max_seconds=asked.seconds, success_rate=1, progress_steps=0)
    try:
        await simulate(ctx, steady)
    except MissionCancelledError:
        note(STOPPED, ctx)
        raise
