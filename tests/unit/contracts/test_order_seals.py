"""What a seal on an order covers, and what it outlasts: every field, and a passage through any JSON decoder."""

from typing import Any

import msgspec
import pytest

from mission_contracts import messages
from mission_contracts.envelope import Door, Envelope, Retry
from mission_contracts.install_key import InstallKey
from mission_contracts.messages import Order
from mission_contracts.mission import Epoch, Era, MissionId, Priority
from mission_contracts.order_seals import OrderSeals
from mission_contracts.soldiering import Hold

SEALS = OrderSeals(InstallKey(b"of these tests, and of no installation"))
ERA, EPOCH = Era(29_666_666), Epoch(29_666_666_000_003)
OTHERWISE: dict[str, Any] = {
    "mission_id": "m-2",
    "namespace": "other",
    "pool": "other",
    "type": "other",
    "accepted_at": 1.5,
    "door": Door.CLUSTER,
    "name": "other",
    "subject": "operator",
    "digest": "other",
    "start_after": 2.5,
    "timeout_seconds": 7.0,
    "deadline_seconds": 7.0,
    "retry": Retry(9),
    "priority": Priority.HIGH,
    "ordering_key": "other",
    "sequence_number": 7,
    "callback_url": "https://example.org",
    "trace_id": "other",
    "retry_of": MissionId("m-3"),
}
# Whole numbers in fields that a decoder reads as floats.
ENVELOPE = Envelope(
    mission_id=MissionId("m-1"),
    namespace="shop",
    pool="default",
    type="noop",
    accepted_at=1_780_000_000,
    timeout_seconds=90,
)


def an_order(payload: bytes = b'{"width": 64.50}') -> Order:
    return SEALS.order(ERA, EPOCH, ENVELOPE, payload)


@pytest.mark.parametrize("payload", [b"{}", b' {"a" :\n1} \t\r\n', '{"ü": "\\u00fc"}'.encode()])
def test_an_order_is_proven_after_any_number_of_passages(payload: bytes) -> None:
    order = an_order(payload)
    for _ in range(3):
        assert SEALS.prove(order)
        order = messages.decode(messages.encode(order), Order)


def test_an_envelope_is_proven_as_a_soldier_returns_it() -> None:
    order = messages.decode(messages.encode(an_order()), Order)
    hold = Hold(
        mission_id=ENVELOPE.mission_id,
        epoch=EPOCH,
        secret="s",
        envelope=order.envelope,
        envelope_seal=order.envelope_seal,
    )
    returned = msgspec.json.decode(msgspec.json.encode(hold), type=Hold)
    assert returned.envelope is not None
    assert SEALS.prove_envelope(returned.envelope, returned.envelope_seal)


@pytest.mark.parametrize("field", Envelope.__struct_fields__)
def test_every_field_of_the_envelope_is_covered(field: str) -> None:
    order = an_order()
    changed = msgspec.structs.replace(ENVELOPE, **{field: OTHERWISE[field]})
    assert not SEALS.prove_envelope(changed, order.envelope_seal)
    assert not SEALS.prove(msgspec.structs.replace(order, envelope=changed))


@pytest.mark.parametrize("field", Retry.__struct_fields__)
def test_every_field_of_the_retry_policy_is_covered(field: str) -> None:
    changed = msgspec.structs.replace(ENVELOPE, retry=msgspec.structs.replace(ENVELOPE.retry, **{field: 7}))
    assert not SEALS.prove_envelope(changed, an_order().envelope_seal)


@pytest.mark.parametrize(
    "change",
    [
        {"era": Era(ERA + 1)},
        {"epoch": Epoch(EPOCH + 1)},
        {"payload": msgspec.Raw(b"{}")},
        {"seal": ""},
        {"seal": "ü"},
        {"envelope_seal": ""},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_order_with_any_other_part_is_not_proven(change: dict[str, Any]) -> None:
    assert not SEALS.prove(msgspec.structs.replace(an_order(), **change))


def test_the_seal_of_one_use_is_none_of_another() -> None:
    order = an_order()
    assert not SEALS.prove_envelope(ENVELOPE, order.seal)
    assert not SEALS.prove(msgspec.structs.replace(order, seal=order.envelope_seal))


def test_another_installations_seal_proves_nothing() -> None:
    other = OrderSeals(InstallKey(b"of another installation, and of no use"))
    assert not other.prove(an_order())
    assert not other.prove_envelope(ENVELOPE, an_order().envelope_seal)


def test_parts_cannot_be_moved_from_one_field_to_the_next() -> None:
    one = msgspec.structs.replace(ENVELOPE, namespace="ab", pool="c")
    assert SEALS.of_envelope(one) != SEALS.of_envelope(msgspec.structs.replace(one, namespace="a", pool="bc"))
