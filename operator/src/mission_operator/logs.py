"""One log format for everything in the process, kopf's and aiohttp's lines included."""

import logging
import re
import sys

import structlog

from mission_operator.settings import LogFormat

_SHARED: tuple[structlog.typing.Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)

# Loggers that say something about every object or every request; their warnings stay.
_TALKATIVE = ("kopf.objects", "kopf.activities", "httpx", "httpcore", "aiohttp.access", "asyncio")

_ANOTHER_TRY = re.compile(r"Request attempt #(?!1\b)\d+\S* failed; will retry")
# Where kopf says so of its watches, several times a second and for as long as the API server is away.
_PATIENT = ("kopf._cogs.clients.watching", "kopf._cogs.clients.fetching")


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Tell the first failure of a request from its repetitions."""
    return not _ANOTHER_TRY.match(record.getMessage())


def configure(log_format: LogFormat, level: str) -> None:
    """Send structlog and the standard library's logging to stderr, in one format."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(log_format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _PATIENT:
        logging.getLogger(name).addFilter(is_worth_a_line)


def _formatter(log_format: LogFormat) -> logging.Formatter:
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format is LogFormat.JSON
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
