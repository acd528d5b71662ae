"""Calls a handler and turns whatever it does into an outcome; the same in the loop, in a thread and in a child."""

import asyncio
from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any

import msgspec
from typing_extensions import TypeIs

from mission_soldier import outcomes
from mission_soldier.context import Context, current_context
from mission_soldier.handlers import Handler
from mission_soldier.outcomes import Outcome


async def in_loop(handler: Handler, context: Context, payload: msgspec.Raw) -> Outcome:
    """Run an async handler in this task.

    Nothing escapes but a cancellation of this task: SystemExit and KeyboardInterrupt of a handler are its errors.
    """
    return await _finished(handler, context, lambda: _called(handler, context, payload))


async def awaited(handler: Handler, context: Context, coroutine: Coroutine[Any, Any, Any]) -> Outcome:
    """Run to its end, in this task, what a sync handler returned: it wraps an async function."""
    return await _finished(handler, context, lambda: coroutine)


def in_thread(handler: Handler, context: Context, payload: msgspec.Raw) -> Outcome | Coroutine[Any, Any, Any]:
    """Run a sync handler in this thread. A coroutine that it returns is given back, for `awaited`."""
    token = current_context.set(context)
    try:
        result = _called(handler, context, payload)
        return result if is_coroutine(result) else _completed(handler, result)
    except BaseException as error:  # noqa: BLE001 - as above
        return outcomes.of_exception(error)
    finally:
        current_context.reset(token)


def is_coroutine(result: object) -> TypeIs[Coroutine[Any, Any, Any]]:
    """Whether a handler returned a coroutine. By its type: an object's `__class__` may raise, or lie."""
    return issubclass(type(result), CoroutineType)


def _called(handler: Handler, context: Context, payload: msgspec.Raw) -> Any:
    return handler.function(context) if handler.read is None else handler.function(context, handler.read(payload))


async def _finished(handler: Handler, context: Context, call: Callable[[], Any]) -> Outcome:
    current_context.set(context)  # a task has a context of its own: nothing to reset
    try:
        result = await call()
        if is_coroutine(result):
            result = await result
        return _completed(handler, result)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return outcomes.of_exception(error)
    except BaseException as error:  # noqa: BLE001 - one handler's exception touches nothing else
        return outcomes.of_exception(error)


def _completed(handler: Handler, result: object) -> Outcome:
    written = handler.write(result)
    return outcomes.COMPLETED_WITHOUT_RESULT if result is None else outcomes.completed(written)
