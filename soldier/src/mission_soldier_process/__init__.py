"""The first thing that a soldier's process does: it hears SIGTERM, before it imports anything that takes time.

The kernel drops signals for a container's first process while it has no handler for them. A pod that is told to end
while its soldier starts would otherwise go on, take missions, and be killed with them when its grace is over. It holds
nothing yet, so it ends at once; when it serves, the runtime's own handler, which drains, takes this one's place.

This is a package of its own, because importing `mission_soldier` is what takes the time.
"""

import os
import signal
from types import FrameType


def main() -> None:
    """Run a soldier."""
    signal.signal(signal.SIGTERM, _end)
    from mission_soldier.__main__ import main as run  # noqa: PLC0415 - the handler comes first

    run()


def _end(_number: int, _frame: FrameType | None) -> None:
    # Not by an exception: it would be thrown into whatever import is under way, which may swallow it.
    os._exit(0)
