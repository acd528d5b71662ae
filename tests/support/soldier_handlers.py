"""Handlers that a child process finds by their name."""

import asyncio
import os
import sys
import time

from mission_soldier import Context, Soldier

soldier = Soldier()


@soldier.handler("die", isolation="process")
def die(_ctx: Context) -> None:
    os._exit(3)


@soldier.handler("die-async")
async def die_async(_ctx: Context) -> None:
    os._exit(4)


@soldier.handler("sleep-for-ever", isolation="process")
def sleep_for_ever(ctx: Context) -> None:
    ctx.progress(1, "asleep")
    while True:
        time.sleep(1)


@soldier.handler("stop-when-asked", isolation="process")
def stop_when_asked(ctx: Context) -> str:
    ctx.progress(1, "waiting")
    ctx.cancelled.wait_in_thread(30)
    ctx.cancelled.raise_if_set()
    return "never asked"


@soldier.handler("who-am-i", isolation="process")
def who_am_i(ctx: Context, order: dict[str, int]) -> dict[str, int]:
    return {"pid": os.getpid(), "attempt": ctx.attempt, "number": order["number"]}


@soldier.handler("async-in-child", isolation="process")
async def async_in_child(ctx: Context) -> dict[str, object]:
    await asyncio.sleep(0)
    return {"pid": os.getpid(), "mission_id": ctx.mission_id}


@soldier.handler("exit-in-child", isolation="process")
def exit_in_child(_ctx: Context) -> None:
    sys.exit(5)
