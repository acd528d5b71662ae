"""Calls a handler and turns whatever it does into an outcome; the same in the loop, in a thread and in a child."""

import asyncio

import msgspec

from mission_soldier import outcomes
from mission_soldier.context import Context, current_context
from mission_soldier.handlers import Handler
from mission_soldier.outcomes import Outcome


async def in_loop(handler: Handler, context: Context, payload: msgspec.Raw) -> Outcome:
    """Run an async handler in this task.

    Nothing escapes but a cancellation of this task: SystemExit and KeyboardInterrupt of a handler are its errors.
    """
    current_context.set(context)  # a task has a context of its own: nothing to reset
    try:
        if handler.read is None:
            result = await handler.function(context)
        else:
            result = await handler.function(context, handler.read(payload))
        return _completed(handler, result)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return outcomes.of_exception(error)
    except BaseException as error:  # noqa: BLE001 - one handler's exception touches nothing else
        return outcomes.of_exception(error)


def in_thread(handler: Handler, context: Context, payload: msgspec.Raw) -> Outcome:
    """Run a sync handler in this thread."""
    token = current_context.set(context)
    try:
        result = handler.function(context) if handler.read is None else handler.function(context, handler.read(payload))
        return _completed(handler, result)
    except BaseException as error:  # noqa: BLE001 - as above
        return outcomes.of_exception(error)
    finally:
        current_context.reset(token)


def _completed(handler: Handler, result: object) -> Outcome:
    return outcomes.COMPLETED_WITHOUT_RESULT if result is None else outcomes.completed(handler.write(result))
