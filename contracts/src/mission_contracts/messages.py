"""What travels through the broker: JSON with a schema version. Golden files freeze the bytes of each version."""

from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from mission_contracts.envelope import Envelope
from mission_contracts.errors import UnreadableMessageError
from mission_contracts.mission import Epoch, Era, Failure, Instance, MissionId
from mission_contracts.optional_json import OptionalJson

VERSION: Final = 1
MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One hand-out of a mission to the soldiers of its pool."""

    v: int
    era: Era
    epoch: Epoch
    envelope: Envelope
    payload: msgspec.Raw
    """The handler's input as JSON; its bytes are passed on, never re-encoded."""


class ReportKind(StrEnum):
    """What a soldier says of an attempt."""

    PROGRESS = "progress"
    COMPLETED = "completed"
    FAILED = "failed"
    RELEASED = "released"  # given back unfinished and uncharged: the soldier leaves


class AttemptError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an attempt failed."""

    failure: Failure
    message: str = ""
    """One sentence for a person, at most 1,024 characters."""
    traceback: str = ""
    """At most 8 KiB, newest frames kept; shown in the mission's history, never in a CR."""
    retry_after_seconds: float | None = None
    """For RetryLater: when to try again."""


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A soldier's word on one (mission, epoch) that it claimed; the secret alone authorises it."""

    kind: ReportKind
    mission_id: MissionId
    epoch: Epoch
    secret: str
    attempt: int
    envelope: Envelope
    ran_seconds: float = 0
    """How long the handler ran, by the soldier's monotonic clock."""
    result: OptionalJson = None
    """JSON, at most 16 KiB; larger results are the handler's to store, with a reference here."""
    progress: float | None = None
    """Percent, 0 to 100."""
    note: str = ""
    """What the handler last said of its progress, at most 256 characters."""
    error: AttemptError | None = None


class StatusMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message on `missions.status`: many reports of one instance, or a Commander's marker."""

    v: int
    era: Era = Era(0)
    instance: Instance = Instance("")
    reports: tuple[Report, ...] = ()
    marker: str = ""
    """A reaper's own token: when it comes back, every report published before it has been applied."""


class ControlMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A hint to every soldier; the next heartbeat's answer says the same for sure."""

    v: int
    cancel: tuple[MissionId, ...] = ()


_T = TypeVar("_T", Order, StatusMessage, ControlMessage)

_encoder: Final = msgspec.json.Encoder()
_decoders: Final = {kind: msgspec.json.Decoder(kind) for kind in (Order, StatusMessage, ControlMessage)}


def encode(message: Order | StatusMessage | ControlMessage) -> bytes:
    """Give the message's bytes."""
    return _encoder.encode(message)


def decode(body: bytes, kind: type[_T]) -> _T:
    """Read a message.

    Raises UnreadableMessageError when it is too large, not JSON, of another shape or of an unknown version.
    """
    if len(body) > MAX_MESSAGE_BYTES:
        raise UnreadableMessageError(f"message of {len(body)} bytes exceeds the bound of {MAX_MESSAGE_BYTES}")
    try:
        message = _decoders[kind].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableMessageError(f"not a {kind.__name__}: {error}") from error
    if message.v != VERSION:  # type: ignore[attr-defined]
        raise UnreadableMessageError(f"{kind.__name__} of version {message.v}, this side reads {VERSION}")  # type: ignore[attr-defined]
    return message  # type: ignore[return-value]
