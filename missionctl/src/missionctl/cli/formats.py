"""What one can choose of, where a word is chosen."""

from enum import StrEnum


class Format(StrEnum):
    """How to print missions."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


class LogLevel(StrEnum):
    """What a dev process logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
