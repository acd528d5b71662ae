"""What travels through the broker: JSON with a schema version. Golden files freeze the bytes of each version."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final, TypeVar

import msgspec

from mission_contracts import bounds
from mission_contracts.envelope import Envelope
from mission_contracts.errors import ContractError, Defect, UnreadableMessageError
from mission_contracts.mission import Epoch, Era, Failure, Instance, MissionState, Sequence
from mission_contracts.optional_json import OptionalJson
from mission_contracts.soldiering import Beat

VERSION: Final = 1
MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One hand-out of a mission to the soldiers of its pool."""

    v: bounds.Count
    era: bounds.EraNumber
    epoch: bounds.EpochNumber
    envelope: Envelope
    payload: msgspec.Raw
    """The handler's input as JSON; its bytes are passed on, never re-encoded."""
    envelope_seal: bounds.Word = ""
    """Proves the envelope; a soldier returns it with the envelope. Empty in orders of Commanders before seals."""
    seal: bounds.Word = ""
    """Proves the whole order (`order_seals.OrderSeals`)."""


class ReportKind(StrEnum):
    """What a soldier says of an attempt."""

    PROGRESS = "progress"
    COMPLETED = "completed"
    FAILED = "failed"
    RELEASED = "released"  # given back unfinished and uncharged: the soldier leaves


class AttemptError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an attempt failed."""

    failure: Failure
    message: bounds.Sentence = ""
    """One sentence for a person, at most 1,024 characters."""
    traceback: bounds.Traceback = ""
    """At most 8 KiB, newest frames kept; shown in the mission's history, never in a CR."""
    retry_after_seconds: float | None = None
    """For RetryLater: when to try again."""


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A soldier's word on one (mission, epoch) that it claimed; the secret alone authorises it."""

    kind: ReportKind
    mission_id: bounds.Id
    epoch: bounds.EpochNumber
    secret: bounds.Word
    attempt: bounds.Count
    envelope: Envelope
    ran_seconds: bounds.Seconds = 0
    """How long the handler ran, by the soldier's monotonic clock."""
    result: OptionalJson = None
    """JSON, at most 16 KiB; larger results are the handler's to store, with a reference here."""
    progress: bounds.Percent | None = None
    """Percent, 0 to 100."""
    note: bounds.Note = ""
    """What the handler last said of its progress, at most 256 characters."""
    error: AttemptError | None = None
    envelope_seal: bounds.Word = ""
    """As in the order: without it the envelope rebuilds no mission."""


class Shown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a Mission object showed when it was submitted: the floor of its numbers (`rest.Floor`) as it travels."""

    state: MissionState
    epoch: bounds.EpochNumber = Epoch(0)
    sequence: bounds.SequenceNumber = Sequence(0)
    attempt: bounds.Count = 0


class Acceptance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A mission that a Commander accepted while the ledger was away: to be recorded once it is back."""

    era: bounds.EraNumber
    """The one that the Commander worked in; 0 where it had not read the ledger yet."""
    envelope: Envelope
    payload: msgspec.Raw
    floor: Shown | None = None


class SealedAcceptance(msgspec.Struct, frozen=True, kw_only=True):
    """An acceptance's own bytes, and the Commander's seal on them: soldiers write to this queue too."""

    seal: bounds.Word
    acceptance: msgspec.Raw


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A beat that a Commander took and could not tell the ledger."""

    instance: bounds.InstanceName
    beat: Beat


class StatusMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message on `missions.status`: many reports of one instance, or a Commander's acceptances or marker.

    Or one to other Commanders (`missions.accepted`): acceptances, or beats.
    """

    v: bounds.Count
    era: bounds.EraNumber = Era(0)
    instance: bounds.InstanceName = Instance("")
    reports: Annotated[tuple[Report, ...], msgspec.Meta(max_length=bounds.MAX_REPORTS)] = ()
    accepted: Annotated[tuple[SealedAcceptance, ...], msgspec.Meta(max_length=bounds.MAX_REPORTS)] = ()
    marker: bounds.Word = ""
    """A reaper's own token: when it comes back, every report published before it has been applied."""
    heard: Annotated[tuple[Heard, ...], msgspec.Meta(max_length=bounds.MAX_REPORTS)] = ()


class ControlMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A hint to every soldier; the next heartbeat's answer says the same for sure."""

    v: bounds.Count
    cancel: Annotated[tuple[bounds.Id, ...], msgspec.Meta(max_length=bounds.MAX_HINTS)] = ()


class _Versioned(msgspec.Struct, frozen=True):
    v: bounds.Count


class _Apart(msgspec.Struct, frozen=True, omit_defaults=True):
    """A StatusMessage whose reports are not read yet."""

    v: bounds.Count
    era: bounds.EraNumber = Era(0)
    instance: bounds.InstanceName = Instance("")
    reports: Annotated[tuple[msgspec.Raw, ...], msgspec.Meta(max_length=bounds.MAX_REPORTS)] = ()
    accepted: Annotated[tuple[SealedAcceptance, ...], msgspec.Meta(max_length=bounds.MAX_REPORTS)] = ()
    marker: bounds.Word = ""


_T = TypeVar("_T", Order, StatusMessage, ControlMessage)

_encoder: Final = msgspec.json.Encoder()
_acceptance: Final = msgspec.json.Decoder(Acceptance)
_decoders: Final = {kind: msgspec.json.Decoder(kind) for kind in (Order, StatusMessage, ControlMessage)}
_versioned: Final = msgspec.json.Decoder(_Versioned)
_apart: Final = msgspec.json.Decoder(_Apart)
_report: Final = msgspec.json.Decoder(Report)
_QUOTED: Final = re.compile(r"Invalid enum value .*?(?= - at |$)", re.DOTALL)


def encode(message: Order | StatusMessage | ControlMessage) -> bytes:
    """Give the message's bytes."""
    return _encoder.encode(message)


def decode(body: bytes, kind: type[_T]) -> _T:
    """Read a message.

    Raises UnreadableMessageError when it is too large, not JSON, of another shape or of an unknown version.
    """
    _check_size(body)
    try:
        _check_text(body)
        message = _decoders[kind].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(body, kind.__name__, error) from error
    _check_version(message.v, kind.__name__)  # type: ignore[attr-defined]
    return message  # type: ignore[return-value]


def encode_report(report: Report) -> bytes:
    """Return a report's bytes, for `encode_reports`. Raises ContractError for what no reader could read."""
    try:
        encoded = _encoder.encode(report)
        _report.decode(encoded)
    except (msgspec.MsgspecError, UnicodeError, TypeError, ValueError, RecursionError, OverflowError) as error:
        raise ContractError(_told(error)) from error
    return encoded


def encode_reports(era: Era, instance: Instance, reports: Iterable[bytes]) -> bytes:
    """Return the bytes of a StatusMessage with reports that are encoded already."""
    raws = tuple(map(msgspec.Raw, reports))
    return _encoder.encode(_Apart(v=VERSION, era=era, instance=instance, reports=raws))


def encode_acceptance(acceptance: Acceptance) -> bytes:
    """Give the bytes that are sealed."""
    return _encoder.encode(acceptance)


def decode_acceptance(body: bytes) -> Acceptance:
    """Read an acceptance whose seal is genuine. Raises UnreadableMessageError."""
    try:
        return _acceptance.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableMessageError(Defect.WRONG_SHAPE, f"not an Acceptance: {_told(error)}") from error


def decode_status(body: bytes) -> tuple[StatusMessage, str]:
    """Read a StatusMessage; a report in it that cannot be read costs its neighbours nothing.

    Gives what can be read, and a sentence on what cannot, empty where all can. Raises UnreadableMessageError when
    the message itself is of no use.
    """
    try:
        return decode(body, StatusMessage), ""
    except UnreadableMessageError as error:
        if error.defect is not Defect.WRONG_SHAPE:
            raise
        try:
            apart = _apart.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise error from None
    reports, defects = [], []
    for place, raw in enumerate(apart.reports):
        try:
            reports.append(_report.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            defects.append(f"report {place}: {_told(error)}")
    if not defects:
        raise UnreadableMessageError(Defect.WRONG_SHAPE, "not a StatusMessage: what is beside its reports does not fit")
    message = StatusMessage(
        v=apart.v,
        era=apart.era,
        instance=apart.instance,
        reports=tuple(reports),
        accepted=apart.accepted,
        marker=apart.marker,
    )
    return message, f"{len(defects)} of {len(apart.reports)} reports cannot be read, first {defects[0]}"


def _check_size(body: bytes) -> None:
    if len(body) > MAX_MESSAGE_BYTES:
        sentence = f"message of {len(body)} bytes exceeds the bound of {MAX_MESSAGE_BYTES}"
        raise UnreadableMessageError(Defect.TOO_LARGE, sentence)


def _check_text(body: bytes) -> None:
    # What is passed on as it is (payloads, results) is not looked into by the decoder.
    if not body.isascii():
        body.decode()


def _check_version(version: int, name: str) -> None:
    if version != VERSION:
        sentence = f"{name} of version {version}, this side reads {VERSION}"
        raise UnreadableMessageError(Defect.WRONG_VERSION, sentence)


def _unreadable(body: bytes, name: str, error: Exception) -> UnreadableMessageError:
    if not isinstance(error, msgspec.ValidationError):
        return UnreadableMessageError(Defect.NOT_JSON, f"not a {name}: {_told(error)}")
    try:
        # Another version may well have another shape: then it is the version that matters.
        _check_version(_versioned.decode(body).v, name)
    except UnreadableMessageError as of_version:
        return of_version
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    return UnreadableMessageError(Defect.WRONG_SHAPE, f"not a {name}: {_told(error)}")


def _told(error: Exception) -> str:
    """The error without what the message says: that may be a secret, or endless."""
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    return _QUOTED.sub("a word that is not known", str(error))
