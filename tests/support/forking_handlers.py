"""Handlers in child processes that start processes of their own."""

import gc
import os
import subprocess
import threading
import time
from multiprocessing.connection import Connection

from mission_soldier import Context, Soldier

soldier = Soldier()
LONG = ("sleep", "1000")


def _daemonised() -> int:
    """Start a process whose parent is gone at once, in a session of its own."""
    told = subprocess.run(
        ["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!"],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
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
    subprocess.run(["true"], check=True, timeout=10)
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


MESSAGES = {
    "no JSON": b"\xff",
    "another message": b'{"type":"odd"}',
    "nested without end": b"[" * 500_000,
    "2 MB": b" " * 2_000_000,
    "an outcome of its own": b'{"type":"ended","outcome":{"kind":"completed","result":{"of":[NaN]}}}',
}


@soldier.handler("speak-for-itself", isolation="process")
def speak_for_itself(_ctx: Context, order: dict[str, str]) -> None:
    """Write to the pipe that only the runtime should write to."""
    for pipe in [found for found in gc.get_objects() if type(found) is Connection and found.writable]:
        pipe.send_bytes(MESSAGES[order["what"]])
    time.sleep(5)


@soldier.handler("close-everything", isolation="process")
def close_everything(_ctx: Context) -> None:
    os.closerange(0, 1024)
