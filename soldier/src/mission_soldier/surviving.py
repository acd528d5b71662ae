"""Keeps the event loop running through what handlers' own tasks do to it."""

import asyncio

import structlog

log = structlog.get_logger(__name__)


def run_through_exits(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    """Run to the task's end.

    A SystemExit or KeyboardInterrupt in a task that some handler started ends the event loop's run: an attempt's own
    task is guarded, but nobody awaits that one. The loop is simply run again.
    """
    while not task.done():
        try:
            loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt):
            if task.done():
                raise
            log.exception("a task that some handler started tried to end the process")
        except RuntimeError:
            if task.done() or loop.is_closed():
                raise
            log.exception("some handler stopped the event loop: it goes on")
    task.result()
