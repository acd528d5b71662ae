"""The forms of output one can ask for."""

from enum import StrEnum


class Format(StrEnum):
    """How to print missions."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
