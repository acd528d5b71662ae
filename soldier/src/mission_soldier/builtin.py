"""Handlers that every soldier has: `noop` to measure the path, `simulate` to try things with."""

import asyncio
import contextlib
import random
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mission_soldier.context import Context
from mission_soldier.soldier import Soldier

_HOUR_SECONDS: Final = 3600


class Simulation(BaseModel):
    """How long to pretend to work, and how often to succeed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_seconds: Annotated[float, Field(ge=0, le=_HOUR_SECONDS)] = 5.0
    max_seconds: Annotated[float, Field(ge=0, le=_HOUR_SECONDS)] = 15.0
    success_rate: Annotated[float, Field(ge=0, le=1)] = 0.9
    progress_steps: Annotated[int, Field(ge=0, le=1000)] = 10
    seed: int | None = None
    """With a seed, each attempt number always does the same."""

    @model_validator(mode="after")
    def _shortest_before_longest(self) -> Self:
        if self.max_seconds < self.min_seconds:
            raise ValueError("max_seconds is less than min_seconds: give both, the longer one as max_seconds")
        return self


class SimulationFailedError(Exception):
    """The failure that was asked for."""


async def noop(_ctx: Context) -> None:
    """Do nothing, successfully."""


async def simulate(ctx: Context, simulation: Simulation) -> dict[str, float]:
    """Take a random time between the bounds, tell the progress, then succeed or fail by chance."""
    chance = _chance(simulation.seed, ctx.attempt)
    seconds = chance.uniform(simulation.min_seconds, simulation.max_seconds)
    succeeds = chance.random() < simulation.success_rate
    await _pretend(ctx, seconds, max(1, simulation.progress_steps), tells=simulation.progress_steps > 0)
    if not succeeds:
        raise SimulationFailedError(
            f"simulated failure: success_rate is {simulation.success_rate:g}, attempt {ctx.attempt} drew the other side"
        )
    return {"seconds": round(seconds, 3)}


def built_in() -> Soldier:
    """Give a collection of the built-in handlers."""
    soldier = Soldier()
    soldier.handler("noop")(noop)
    soldier.handler("simulate")(simulate)
    return soldier


def _chance(seed: int | None, attempt: int) -> random.Random:
    return random.Random(None if seed is None else f"{seed}/{attempt}")  # noqa: S311 - a simulation, no secret


async def _pretend(ctx: Context, seconds: float, steps: int, *, tells: bool) -> None:
    for step in range(1, steps + 1):
        # Not asyncio.wait_for: before Python 3.12 it swallows a cancellation that arrives together with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds / steps):
                await ctx.cancelled.wait()
        ctx.cancelled.raise_if_set()
        if tells:
            ctx.progress(100 * step / steps, f"step {step} of {steps}")
