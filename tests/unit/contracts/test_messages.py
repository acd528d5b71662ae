"""The wire format, frozen: a golden file is never edited; a new version of the format adds files."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mission_contracts.envelope import Door, Envelope, Retry
from mission_contracts.errors import ContractError, UnreadableMessageError
from mission_contracts.messages import (
    MAX_MESSAGE_BYTES,
    VERSION,
    Acceptance,
    AttemptError,
    ControlMessage,
    Heard,
    Order,
    Report,
    ReportKind,
    SealedAcceptance,
    Shown,
    StatusMessage,
    decode,
    decode_acceptance,
    encode,
    encode_acceptance,
    encode_report,
)
from mission_contracts.mission import Epoch, Era, Failure, Instance, MissionId, MissionState, Priority, Sequence
from mission_contracts.soldiering import Beat

GOLDEN = Path(__file__).parent / "golden"

SMALL = Envelope(
    mission_id=MissionId("7d1f3a52-6c0e-4b8e-9a44-0a4a0c6e2f11"),
    namespace="shop",
    pool="default",
    type="noop",
    accepted_at=1_780_000_000.25,
)
FULL = Envelope(
    mission_id=MissionId("0b0e9a52-6c0e-4b8e-9a44-0a4a0c6e2f22"),
    namespace="shop",
    pool="images",
    type="resize-image",
    accepted_at=1_780_000_000.5,
    door=Door.CLUSTER,
    name="resize-7",
    subject="operator",
    digest="5feceb66",
    start_after=1_780_000_060.0,
    timeout_seconds=90,
    deadline_seconds=600,
    retry=Retry(5, 0.5, 3, 60),
    priority=Priority.HIGH,
    ordering_key="customer-7",
    sequence_number=12,
    callback_url="https://example.org/done",
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    retry_of=SMALL.mission_id,
)
ERA, EPOCH = Era(29_666_666), Epoch(29_666_666_000_003)
REPORTS = (
    Report(
        kind=ReportKind.PROGRESS,
        mission_id=FULL.mission_id,
        epoch=EPOCH,
        secret="5ec2e7",
        attempt=1,
        envelope=FULL,
        progress=42.5,
        note="page 17 of 40",
    ),
    Report(
        kind=ReportKind.COMPLETED,
        mission_id=SMALL.mission_id,
        epoch=EPOCH,
        secret="5ec2e7",
        attempt=2,
        envelope=SMALL,
        ran_seconds=1.25,
        result=msgspec.Raw(b'{"pages":40}'),
    ),
    Report(
        kind=ReportKind.FAILED,
        mission_id=SMALL.mission_id,
        epoch=EPOCH,
        secret="5ec2e7",
        attempt=3,
        envelope=SMALL,
        ran_seconds=0.5,
        error=AttemptError(
            failure=Failure.RETRY_LATER,
            message="the source is late",
            traceback="Traceback …",
            retry_after_seconds=30,
        ),
    ),
    Report(
        kind=ReportKind.RELEASED, mission_id=SMALL.mission_id, epoch=EPOCH, secret="5ec2e7", attempt=3, envelope=SMALL
    ),
)
SEALED_REPORTS = (msgspec.structs.replace(REPORTS[0], envelope_seal="5ea1e2"),)
ACCEPTANCES = (
    Acceptance(era=ERA, envelope=SMALL, payload=msgspec.Raw(b"{}")),
    Acceptance(
        era=ERA,
        envelope=FULL,
        payload=msgspec.Raw('{"source": "ü", "width": 64.50}'.encode()),
        floor=Shown(state=MissionState.QUEUED, epoch=EPOCH, sequence=Sequence(EPOCH + 1), attempt=2),
    ),
)
BEAT = Beat(
    beat=7, after=1_700_000_000.5, held=((SMALL.mission_id, EPOCH),), unclaimed=(), slots=16, taking=True, left=False
)
Message = Order | StatusMessage | ControlMessage
FROZEN: dict[str, Message] = {
    "order-small": Order(v=1, era=ERA, epoch=EPOCH, envelope=SMALL, payload=msgspec.Raw(b"{}")),
    "order-full": Order(
        v=1, era=ERA, epoch=EPOCH, envelope=FULL, payload=msgspec.Raw('{"source": "ü", "width": 64.50}'.encode())
    ),
    "order-sealed": Order(
        v=1, era=ERA, epoch=EPOCH, envelope=SMALL, payload=msgspec.Raw(b"{}"), envelope_seal="5ea1e2", seal="5ea1"
    ),
    "status-reports-sealed": StatusMessage(v=1, era=ERA, instance=Instance("soldier-1/7f3a"), reports=SEALED_REPORTS),
    "status-reports": StatusMessage(v=1, era=ERA, instance=Instance("soldier-1/7f3a"), reports=REPORTS),
    "status-accepted": StatusMessage(
        v=1,
        accepted=tuple(
            SealedAcceptance(seal="5ea1", acceptance=msgspec.Raw(encode_acceptance(one))) for one in ACCEPTANCES
        ),
    ),
    "status-marker": StatusMessage(v=1, marker="a5c1"),
    "status-heard": StatusMessage(v=1, heard=(Heard(instance=Instance("soldier-1/7f3a"), beat=BEAT),)),
    "control-cancel": ControlMessage(v=1, cancel=(SMALL.mission_id, FULL.mission_id)),
}
EACH = pytest.mark.parametrize("name", FROZEN)


def golden(name: str) -> bytes:
    return (GOLDEN / f"v1-{name}.json").read_bytes().removesuffix(b"\n")


@EACH
def test_what_is_written_has_not_changed(name: str) -> None:
    assert encode(FROZEN[name]) == golden(name)


@EACH
def test_what_was_written_is_still_read(name: str) -> None:
    kind: type[Any] = type(FROZEN[name])
    assert decode(golden(name), kind) == FROZEN[name]


def test_every_golden_file_is_used() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {f"v1-{name}.json" for name in FROZEN}


def test_an_acceptance_is_read_as_it_was_sealed() -> None:
    message = decode(golden("status-accepted"), StatusMessage)
    assert tuple(decode_acceptance(bytes(one.acceptance)) for one in message.accepted) == ACCEPTANCES


def test_an_acceptance_of_another_shape_says_why() -> None:
    with pytest.raises(UnreadableMessageError, match="not an Acceptance"):
        decode_acceptance(b"[]")


def test_a_payloads_bytes_pass_unchanged() -> None:
    payload = b'{ "width":64.50,\n"source":"\\u00fc" }'
    order = Order(v=VERSION, era=ERA, epoch=EPOCH, envelope=SMALL, payload=msgspec.Raw(payload))
    assert bytes(decode(encode(order), Order).payload) == payload


def test_a_newer_sides_additions_are_ignored() -> None:
    message = msgspec.json.decode(golden("control-cancel")) | {"colour": "red"}
    assert decode(msgspec.json.encode(message), ControlMessage) == FROZEN["control-cancel"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b"", "not a Order", id="nothing"),
        pytest.param(b"{", "not a Order", id="half of it"),
        pytest.param(b"\xff\xfe", "not a Order", id="no text"),
        pytest.param(b"[]", "not a Order", id="another shape"),
        pytest.param(b'{"v":1}', "missing required field", id="too little"),
        pytest.param(b"[" * 100_000, "not a Order", id="far too deep"),
        pytest.param(golden("order-small").replace(b'"v":1', b'"v":2'), "of version 2", id="a version to come"),
        pytest.param(b" " * (MAX_MESSAGE_BYTES + 1), "exceeds the bound", id="too large"),
    ],
)
def test_what_cannot_be_read_says_why(body: bytes, says: str) -> None:
    with pytest.raises(UnreadableMessageError, match=says):
        decode(body, Order)


@pytest.mark.parametrize("kind", [Order, StatusMessage, ControlMessage])
def test_a_message_of_another_shape_that_is_nested_too_deep_is_only_unreadable(kind: type[Order]) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    for odd in (b'"era":"x"', b'"reports":{}', b'"cancel":1'):
        with pytest.raises(UnreadableMessageError):
            decode(b'{"v":1,' + odd + b',"x":' + deep + b"}", kind)


def test_a_report_that_nobody_could_read_is_not_encoded() -> None:
    report = next(iter(decode(golden("status-reports"), StatusMessage).reports))
    for odd in ({"note": "\ud800"}, {"note": "n" * 257}, {"ran_seconds": 1e300}, {"progress": 101.0}):
        with pytest.raises(ContractError):
            encode_report(msgspec.structs.replace(report, **odd))
