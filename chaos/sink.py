"""Where handlers leave what they do: one line per deed, appended in one write to the file that NOTES names.

Lines of one file are in one order, so `applied` can judge afterwards what a sink would have done that takes each
effect once per idempotency key, and none of an epoch below one that it has seen.
"""

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from mission_soldier import Context

NOTES_VARIABLE: Final = "NOTES"
BEGAN: Final = "began"
ENDED: Final = "ended"
"""The handler's effect: the last thing that it does."""
FAILED: Final = "failed"
"""It ends by raising, as asked."""
STOPPED: Final = "stopped"
"""It was told to stop, and does."""


class Deed(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One deed of one execution."""

    deed: str
    key: str
    """The idempotency key that the handler was given."""
    mission_id: str
    epoch: int
    attempt: int
    process: int
    at: float = 0.0


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Deed)


def note(deed: str, ctx: Context) -> None:
    """Append a line."""
    line = Deed(
        deed=deed,
        key=ctx.idempotency_key,
        mission_id=ctx.mission_id,
        epoch=ctx.epoch,
        attempt=ctx.attempt,
        process=os.getpid(),
        at=time.time(),
    )
    file = os.open(os.environ[NOTES_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, _encoder.encode(line) + b"\n")
    finally:
        os.close(file)


def deeds_in(file: Path, *, after: int = 0) -> list[Deed]:
    """Read what was noted so far, in order, from a byte offset on; a line that is being written is left out."""
    if not file.exists():
        return []
    with file.open("rb") as lines:
        lines.seek(after)
        return [_decoder.decode(line) for line in lines if line.endswith(b"\n")]


def running(deeds: Iterable[Deed], process: int) -> Mapping[str, Deed]:
    """What this process has begun and not ended, by mission id."""
    begun: dict[str, Deed] = {}
    for deed in deeds:
        if deed.process != process:
            continue
        if deed.deed == BEGAN:
            begun[deed.mission_id] = deed
        else:
            begun.pop(deed.mission_id, None)
    return begun


def applied(deeds: Iterable[Deed]) -> list[Deed]:
    """Give the effects that a sink takes which checks key and epoch."""
    newest: dict[str, int] = {}
    taken: dict[str, Deed] = {}
    for deed in deeds:
        newest[deed.key] = max(deed.epoch, newest.get(deed.key, 0))
        if deed.deed == ENDED and deed.epoch == newest[deed.key]:
            taken.setdefault(deed.key, deed)
    return list(taken.values())
