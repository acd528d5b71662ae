"""How the Commander logs: one line per event on stderr, JSON for machines or colours for people."""

import logging
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_TALKATIVE: Final = ("httpx", "httpcore")
"""They tell of every request; the questions to RabbitMQ's and the cluster's APIs come every few seconds."""
_CHATTY: Final = ("aiormq", "uvicorn.error", "asyncio")
"""They tell as news what is everyday here: a broker that is away, a client that went."""


def set_up(log_format: str, level: str) -> None:
    """Configure logging for this process, the libraries' too; called once, by the one who starts it."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, *_rendering(log_format)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(log_format)],
        foreign_pre_chain=shared,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def _in_one_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A terminal obeys what JSON would escape: words that callers chose must not end a line, nor colour the next."""
    return {name: _escaped(value) if isinstance(value, str) else value for name, value in event.items()}


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _rendering(log_format: str) -> list[Processor]:
    if log_format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [
        _in_one_line,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback, pad_event_to=0),
    ]
