"""The process: `python -m mission_operator`. Everything it can be told is in the environment; see --help."""

import argparse
import asyncio
import gc
import inspect
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

import structlog
import uvloop
from pydantic import ValidationError

from mission_operator import logs
from mission_operator.composition import serve
from mission_operator.settings import OperatorSettings

_EXIT_USAGE: Final = 2
_EXIT_FAILED: Final = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM; 0 then, 1 when it had to give up (start it again), 2 when the settings are wrong."""
    _parser().parse_args(arguments)
    try:
        settings = OperatorSettings()
    except ValidationError as error:
        sys.stderr.write(_explain(error))
        return _EXIT_USAGE
    logs.configure(settings.log_format, settings.log_level)
    _spare_the_collector()
    return _serve(settings)


def _spare_the_collector() -> None:
    """What is imported stays, and so does the index: a sixth of a start with many objects was spent looking at both."""
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


def _serve(settings: OperatorSettings) -> int:
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except KeyboardInterrupt:
        return 0
    except Exception as error:  # noqa: BLE001 - the last line of a process is a log line, not a traceback
        for one in _leaves(error):
            structlog.get_logger().error("the operator stops", why=str(one), kind=type(one).__name__)
        return _EXIT_FAILED
    return 0


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


def _parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog="mission-operator",
        description="Reconciles Mission and SoldierPool objects with the Commander.",
        epilog=f"environment variables:\n{_variables()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _variables() -> str:
    return "\n".join(_variable(name) for name in OperatorSettings.model_fields)


def _variable(name: str) -> str:
    field = OperatorSettings.model_fields[name]
    required = " (required)" if field.is_required() else ""
    text = inspect.cleandoc(field.description or "")
    return f"  OPERATOR_{name.upper()}{required}\n{textwrap.indent(text, ' ' * 6)}"


def _explain(error: ValidationError) -> str:
    lines = [f"OPERATOR_{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}\n" for one in error.errors()]
    return "".join(["the operator cannot start with these settings; see --help\n", *lines])


if __name__ == "__main__":
    sys.exit(main())
