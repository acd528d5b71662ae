"""What one may choose about a dev process."""

from pathlib import Path
from typing import Final

import msgspec

DEFAULT_PORT: Final = 8484


class DevOptions(msgspec.Struct, frozen=True, kw_only=True):
    """All of it loopback, all of it in memory."""

    state_dir: Path
    port: int = DEFAULT_PORT
    """0 takes a free one."""
    handlers: str = ""
    """`module:attribute`; empty: only the built-in ones."""
    concurrency: int = 16
    namespace: str = "default"
    pool: str = "default"
    drain_seconds: float = 20.0
    log_level: str = "info"
