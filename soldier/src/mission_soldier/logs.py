"""Logging, set up in one place: one line per event, with the mission it belongs to and without secrets."""

import logging
import sys
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from mission_contracts.text import printable
from mission_soldier import log_values
from mission_soldier.context import current_context
from mission_soldier.describing import text_of

_SECRETS: Final = frozenset({"secret", "client_secret", "token", "access_token", "authorization", "password"})
_CHATTY: Final = ("httpx", "httpcore", "aio_pika", "aiormq")


def configure(log_format: str = "json", level: str = "info") -> None:
    """Send structlog and the standard library's logging to stderr, in one form."""
    structlog.configure(
        processors=_processors(log_format),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_ToStructlog()]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _processors(log_format: str) -> list[Processor]:
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _name_the_mission,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _leave_secrets_out,
    ]
    if log_format == "console":
        # Plain tracebacks: pretty ones print local variables, and a token may be among them.
        return [
            *shared,
            _make_printable,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
    return [*shared, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]


def _name_the_mission(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    context = current_context.get()
    return event if context is None else {**context.log_fields(), **event}


def _leave_secrets_out(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name in _SECRETS.intersection(event):
        event[name] = "…"
    return event


def _make_printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape what a terminal would obey. A traceback keeps its lines."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = "\n".join(map(printable, value.split("\n"))) if name == "exception" else printable(value)
    return event


class _ToStructlog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields: dict[str, Any] = {"logger": record.name}
            if record.exc_info:
                fields["exc_info"] = record.exc_info
            structlog.get_logger().log(record.levelno, _message_of(record), **fields)
        except Exception:  # noqa: BLE001 - a log line never fails what wrote it, as the standard library has it
            self.handleError(record)


def _message_of(record: logging.LogRecord) -> str:
    try:
        message = record.getMessage()
    except BaseException:  # noqa: BLE001 - arguments that do not fit, or that raise when they are written
        message = f"{text_of(record.msg)} (its arguments cannot be written)"
    return text_of(message, max_characters=log_values.MAX_TEXT)
