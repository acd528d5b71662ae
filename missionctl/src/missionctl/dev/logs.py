"""What a dev process says besides its own lines: the soldier's log, for a person in front of it."""

import logging
import os
import sys
from typing import Final

import structlog

from mission_soldier import logs

# uvicorn speaks of its own end, and takes a watcher that still listens then for an error.
TALKATIVE: Final = ("uvicorn.error", "uvicorn.asgi")


def be_quiet() -> None:
    """While it starts: that memory forgets is said in the greeting, better than in a warning."""
    logs.configure("console", "error")
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def speak(level: str) -> None:
    """What handlers log, and what goes wrong; without local variables, which may be secrets."""
    logs.configure("console", level)
    is_for_people = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    renderer = structlog.dev.ConsoleRenderer(
        colors=is_for_people, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], renderer])
