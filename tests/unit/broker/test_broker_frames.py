"""Our bytes against pamqp's: what we write it reads, what it writes we read."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, frame, header

from mission_broker.port import Message
from mission_broker.rabbitmq import frames
from mission_contracts.topology import Exchange

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=32)  # AMQP: 128 bytes at most
TAGS = st.integers(min_value=1, max_value=2**63 - 1)


def a_message(content: bytes = b"{}", headers: Mapping[str, str] | None = None) -> Message:
    return Message(exchange=Exchange("missions"), key="orders", body=content, headers=headers or {})


def read(data: bytes) -> list[tuple[int, Any]]:
    """Read frames with pamqp: channel and frame."""
    found = []
    while data:
        consumed, channel, value = frame.unmarshal(data)
        found.append((channel, value))
        data = data[consumed:]
    return found


@given(headers=st.dictionaries(NAMES, TEXTS, max_size=5), content=st.binary(max_size=200), tag=TAGS)
def test_pamqp_reads_what_we_publish(headers: dict[str, str], content: bytes, tag: int) -> None:
    parts = read(frames.content(a_message(content, headers), 7, tag, 131_072))

    properties = parts[0][1].properties
    assert parts[0][1].body_size == len(content)
    assert (properties.headers or {}) == headers
    assert (properties.delivery_mode, properties.message_id) == (2, str(tag))
    assert b"".join(part.value for _, part in parts[1:]) == content
    assert {channel for channel, _ in parts} == {7}


@pytest.mark.parametrize("size", [0, 1, 91, 92, 93, 184, 185, 1_000])
def test_no_frame_is_larger_than_the_broker_allows(size: int) -> None:
    data = frames.content(a_message(b"x" * size), 1, 1, 100)

    bodies = [value.value for _, value in read(data) if isinstance(value, body.ContentBody)]
    assert sum(map(len, bodies)) == size
    assert all(0 < len(piece) <= 92 for piece in bodies)


def test_a_publish_is_mandatory() -> None:
    ((channel, opening),) = read(frames.publish(a_message(), 3))

    assert (channel, opening.exchange, opening.routing_key, opening.mandatory) == (3, "missions", "orders", True)


@given(tag=TAGS)
def test_pamqp_reads_our_words_on_deliveries(tag: int) -> None:
    words = (
        frames.ack(9, tag),
        frames.ack(9, tag, multiple=True),
        frames.nack(9, tag),
        frames.reject(9, tag),
    )
    (_, ack), (_, many), (_, nack), (channel, reject) = read(b"".join(words))

    assert (channel, ack.delivery_tag, ack.multiple, many.multiple) == (9, tag, False, True)
    assert isinstance(nack, commands.Basic.Nack)
    assert (nack.delivery_tag, nack.multiple, nack.requeue) == (tag, False, True)
    assert isinstance(reject, commands.Basic.Reject)
    assert (reject.delivery_tag, reject.requeue) == (tag, False)


@given(tag=TAGS, redelivered=st.booleans(), consumer=st.text("abc.1", max_size=30))
def test_we_read_pamqps_deliveries(tag: int, redelivered: bool, consumer: str) -> None:
    deliver = commands.Basic.Deliver(
        consumer_tag=consumer, delivery_tag=tag, redelivered=redelivered, exchange="e", routing_key="k"
    )
    assert frames.read_deliver(frames.method(deliver, 1), 7) == (tag, redelivered)


@given(tag=TAGS, multiple=st.booleans())
def test_we_read_pamqps_confirms(tag: int, multiple: bool) -> None:
    assert frames.read_confirm(frames.method(commands.Basic.Ack(tag, multiple), 1), 7) == (tag, multiple)
    assert frames.read_confirm(frames.method(commands.Basic.Nack(tag, multiple), 1), 7) == (tag, multiple)


@given(
    headers=st.dictionaries(NAMES, TEXTS, max_size=4),
    content_type=st.none() | st.just("application/json"),
    priority=st.none() | st.integers(0, 9),
    correlation_id=st.none() | st.text("abc", min_size=1, max_size=9),
    message_id=st.none() | st.text("0123456789", min_size=1, max_size=20),
)
def test_we_read_properties_whatever_else_is_among_them(headers: dict[str, Any], **others: Any) -> None:
    properties = commands.Basic.Properties(headers=dict(headers) or None, delivery_mode=2, **others)
    data = frame.marshal(header.ContentHeader(body_size=5, properties=properties), 1)[7:-1]

    assert frames.read_body_size(data, 0) == 5
    assert frames.read_headers(data[frames.PROPERTIES_AT :]) == headers
    assert frames.read_message_id(data[frames.PROPERTIES_AT :]) == (others["message_id"] or "")


def test_headers_that_are_no_text_are_told_as_text_or_left_out() -> None:
    headers: dict[str, Any] = {
        "reason": "rejected",
        "x-delivery-count": 3,
        "x-death": [{"queue": "q", "count": 1}],
        "ratio": 0.5,
        "nothing": None,
    }
    data = frame.marshal(header.ContentHeader(properties=commands.Basic.Properties(headers=headers)), 1)[7:-1]

    assert frames.read_headers(data[frames.PROPERTIES_AT :]) == {
        "reason": "rejected",
        "x-delivery-count": "3",
        "ratio": "0.5",
    }


def test_a_header_value_that_is_not_utf_8_is_read_with_replacements() -> None:
    table = b"\x00\x00\x00\x08\x01aS\x00\x00\x00\x01\xff"
    properties = (1 << 13).to_bytes(2, "big") + table

    assert frames.read_headers(properties) == {"a": "\N{REPLACEMENT CHARACTER}"}


def test_a_header_name_that_is_too_long_is_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="choose a shorter one"):
        frames.encode_table({"k" * 256: "v"})
