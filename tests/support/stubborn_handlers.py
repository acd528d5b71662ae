"""Handlers that make a soldier wait: for the end of a drain, for its event loop, for the interpreter's lock."""

import time

from mission_soldier import Context, Soldier

soldier = Soldier()


@soldier.handler("deaf")
def deaf(_ctx: Context) -> None:
    time.sleep(60)


@soldier.handler("block")
async def block(_ctx: Context) -> None:
    time.sleep(8)  # noqa: ASYNC251 - to block is the point


@soldier.handler("compute")
def compute(_ctx: Context) -> int:
    began, rounds = time.monotonic(), 0
    while time.monotonic() < began + 4:
        rounds += 1
    return rounds
