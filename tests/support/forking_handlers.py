"""Handlers in child processes that start processes of their own."""

import os
import subprocess
import threading
import time

from mission_soldier import Context, Soldier

soldier = Soldier()
LONG = ("sleep", "1000")


def _daemonised() -> int:
    """Start a process whose parent is gone at once, in a session of its own."""
    told = subprocess.run(
        ["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!"], capture_output=True, text=True, check=True
    )
    return int(told.stdout)


STARTS = {
    "in the group": lambda: subprocess.Popen(LONG).pid,
    "in a session of its own": lambda: subprocess.Popen(LONG, start_new_session=True).pid,
    "a daemon": _daemonised,
}


@soldier.handler("leave-behind", isolation="process")
def leave_behind(_ctx: Context, order: dict[str, str]) -> dict[str, int]:
    return {"child": os.getpid(), "left": STARTS[order["how"]]()}


@soldier.handler("wait-with", isolation="process")
def wait_with(ctx: Context, order: dict[str, str]) -> None:
    ctx.progress(1, str(STARTS[order["how"]]()))
    while True:
        time.sleep(1)


@soldier.handler("exit-with", isolation="process")
def exit_with(ctx: Context, order: dict[str, str]) -> None:
    ctx.progress(1, str(STARTS[order["how"]]()))
    time.sleep(0.7)  # the note is told at most every half second
    os._exit(3)


@soldier.handler("start-and-wait", isolation="process")
def start_and_wait(_ctx: Context) -> dict[str, int]:
    subprocess.run(["true"], check=True)
    subprocess.Popen(["true"])  # a zombie until it is reaped
    time.sleep(0.2)
    return {"child": os.getpid()}


@soldier.handler("tell-later", isolation="process")
def tell_later(ctx: Context) -> dict[str, int]:
    def tell() -> None:
        for _ in range(200):
            ctx.progress(99, "of a mission that has ended")
            time.sleep(0.005)

    threading.Thread(target=tell, daemon=True).start()
    return {"child": os.getpid()}


@soldier.handler("listen", isolation="process")
def listen(ctx: Context) -> dict[str, int]:
    ctx.progress(10, "its own")
    time.sleep(0.8)
    return {"child": os.getpid()}
