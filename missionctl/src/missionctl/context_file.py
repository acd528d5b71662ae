"""The note that `missionctl dev` leaves for the other commands: where it listens, and with which secrets.

It holds secrets that are made anew at each start, so it belongs to its owner alone and goes when dev ends.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

STATE_DIR_VARIABLE: Final = "MISSIONCTL_STATE_DIR"
FILE_NAME: Final = "dev.json"


class Secret(msgspec.Struct, frozen=True):
    """Client credentials of one role."""

    client_id: str
    client_secret: str

    def __repr__(self) -> str:
        return f"Secret({self.client_id!r}, …)"


class DevContext(msgspec.Struct, frozen=True, kw_only=True):
    """Where a dev process is, and how to speak to it as a user and as an operator."""

    url: str
    pid: int
    namespace: str
    user: Secret
    operator: Secret


def state_dir(environment: Mapping[str, str]) -> Path:
    """Where state is kept: MISSIONCTL_STATE_DIR, else as the XDG base directories say."""
    if chosen := environment.get(STATE_DIR_VARIABLE):
        return Path(chosen)
    home = environment.get("XDG_STATE_HOME")
    # The specification says to ignore a relative path.
    base = Path(home) if home and Path(home).is_absolute() else Path.home() / ".local" / "state"
    return base / "missionctl"


def path_in(directory: Path) -> Path:
    return directory / FILE_NAME


def read(path: Path) -> DevContext | None:
    """The context, or None where there is none; one that cannot be read is none: dev writes it anew."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=DevContext)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def write(path: Path, context: DevContext) -> None:
    """Put it in place whole, readable by its owner only."""
    put(path, context)


def put(path: Path, note: msgspec.Struct) -> None:
    """Write any note whole, readable by its owner only, in a folder that is its owner's."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(note)) + b"\n")
    draft.replace(path)


def remove(path: Path, *, pid: int) -> None:
    """Take it away, unless it is another dev's by now."""
    context = read(path)
    if context is not None and context.pid == pid:
        path.unlink(missing_ok=True)
