"""Handlers that make a leaving soldier wait."""

import time

from mission_soldier import Context, Soldier

soldier = Soldier()


@soldier.handler("deaf")
def deaf(_ctx: Context) -> None:
    time.sleep(60)
