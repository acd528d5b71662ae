"""The few AMQP frames that travel per message, as bytes: a general codec costs ten times what these do.

Everything rarer goes through pamqp. Pure functions; the numbers are those of AMQP 0-9-1.
"""

import struct
from collections.abc import Mapping
from typing import Final

from pamqp import commands, decode, frame
from pamqp.base import Frame

from mission_broker.port import Message

METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3
HEARTBEAT: Final = 8
FRAME_END: Final = 0xCE
FRAME_OVERHEAD: Final = 8
"""Seven bytes before a frame's payload and one after it."""

HEARTBEAT_FRAME: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"

CONNECTION_CLOSE: Final = 0x000A0032
CONNECTION_BLOCKED: Final = 0x000A003C
CONNECTION_UNBLOCKED: Final = 0x000A003D
CHANNEL_CLOSE: Final = 0x00140028
CHANNEL_CLOSE_OK: Final = 0x00140029
BASIC_CANCEL: Final = 0x003C001E
BASIC_RETURN: Final = 0x003C0032
BASIC_DELIVER: Final = 0x003C003C
BASIC_ACK: Final = 0x003C0050
BASIC_REJECT: Final = 0x003C005A
BASIC_NACK: Final = 0x003C0078

_END: Final = b"\xce"
_HAS_HEADERS: Final = 1 << 13
_HAS_DELIVERY_MODE: Final = 1 << 12
_HAS_MESSAGE_ID: Final = 1 << 7
_BEFORE_HEADERS: Final = (1 << 15, 1 << 14)
_BETWEEN: Final = ((1 << 12, 0), (1 << 11, 0), (1 << 10, 1), (1 << 9, 1), (1 << 8, 1))
"""What stands between headers and message id: flag, and 1 for a short string, 0 for one octet."""
_PERSISTENT: Final = b"\x02"
_MORE: Final = 1
_REQUEUE: Final = 2

FRAME_START: Final = struct.Struct(">BHI")
INDEX: Final = struct.Struct(">I")
TAG: Final = struct.Struct(">Q")
_TAG_AND_BITS: Final = struct.Struct(">QB")
_SETTLE: Final = struct.Struct(">BHIIQBB")
_CONTENT: Final = struct.Struct(">BHIHHQH")
_FLAGS: Final = struct.Struct(">H")
_CONTENT_SIZE: Final = struct.Struct(">HHQ")
PROPERTIES_AT: Final = _CONTENT_SIZE.size


def method(command: Frame, channel: int) -> bytes:
    """Give the bytes of any method frame."""
    return frame.marshal(command, channel)


def read_method(data: bytes, start: int, stop: int) -> Frame:
    """Read any method frame's payload."""
    command: Frame = commands.INDEX_MAPPING[INDEX.unpack_from(data, start)[0]]()
    command.unmarshal(data[start + 4 : stop])
    return command


def read_confirm(data: bytes, start: int) -> tuple[int, bool]:
    """Give tag and `multiple` of a basic.ack or basic.nack."""
    tag, bits = _TAG_AND_BITS.unpack_from(data, start + 4)
    return tag, bool(bits & 1)


def read_deliver(data: bytes, start: int) -> tuple[int, bool]:
    """Give tag and `redelivered` of a basic.deliver."""
    tag, bits = _TAG_AND_BITS.unpack_from(data, start + 5 + data[start + 4])
    return tag, bool(bits & 1)


def read_body_size(data: bytes, start: int) -> int:
    """Give the size that a content header announces."""
    size: int = _CONTENT_SIZE.unpack_from(data, start)[2]
    return size


def ack(channel: int, tag: int, *, multiple: bool = False) -> bytes:
    return _SETTLE.pack(METHOD, channel, 13, BASIC_ACK, tag, multiple, FRAME_END)


def nack(channel: int, tag: int) -> bytes:
    """Give the delivery back to its queue."""
    return _SETTLE.pack(METHOD, channel, 13, BASIC_NACK, tag, _REQUEUE, FRAME_END)


def reject(channel: int, tag: int) -> bytes:
    """Make the delivery a dead letter."""
    return _SETTLE.pack(METHOD, channel, 13, BASIC_REJECT, tag, 0, FRAME_END)


def publish(message: Message, channel: int) -> bytes:
    """Give the frame that opens a publish: the same bytes for every message to one exchange and key."""
    return method(
        commands.Basic.Publish(exchange=message.exchange.name, routing_key=message.key, mandatory=True), channel
    )


def content(message: Message, channel: int, tag: int, frame_max: int) -> bytes:
    """Give content header and body. The message id is the tag that its confirm will carry, so returns match."""
    message_id = b"%d" % tag
    body = message.body
    if message.headers:
        table = encode_table(message.headers)
        flags = _HAS_HEADERS | _HAS_DELIVERY_MODE | _HAS_MESSAGE_ID
    else:
        table = b""
        flags = _HAS_DELIVERY_MODE | _HAS_MESSAGE_ID
    size = PROPERTIES_AT + 2 + len(table) + 2 + len(message_id)
    start = _CONTENT.pack(HEADER, channel, size, 60, 0, len(body), flags)
    properties = b"%b%b%b%c%b\xce" % (start, table, _PERSISTENT, len(message_id), message_id)
    if not body:
        return properties
    if len(body) + FRAME_OVERHEAD <= frame_max:
        return b"%b%b%b\xce" % (properties, FRAME_START.pack(BODY, channel, len(body)), body)
    return properties + _split(body, channel, frame_max - FRAME_OVERHEAD)


def _split(body: bytes, channel: int, piece: int) -> bytes:
    parts: list[bytes] = []
    for position in range(0, len(body), piece):
        part = body[position : position + piece]
        parts += (FRAME_START.pack(BODY, channel, len(part)), part, _END)
    return b"".join(parts)


def encode_table(headers: Mapping[str, str]) -> bytes:
    """Encode headers as a field table of long strings."""
    parts: list[bytes] = []
    for name, value in headers.items():
        key = name.encode()
        text = value.encode()
        if len(key) > 255:
            raise ValueError(f"header name of {len(key)} bytes: the wire takes at most 255, choose a shorter one")
        parts.append(b"%c%bS%b%b" % (len(key), key, INDEX.pack(len(text)), text))
    table = b"".join(parts)
    return INDEX.pack(len(table)) + table


def read_headers(properties: bytes) -> dict[str, str]:
    """Read the headers among a message's properties; what is no text is told as text or, if nested, left out."""
    (flags,) = _FLAGS.unpack_from(properties)
    if not flags & _HAS_HEADERS:
        return {}
    return _read_table(properties, _before_headers(properties, flags))


def read_message_id(properties: bytes) -> str:
    """Read the message id among a message's properties; empty when there is none."""
    (flags,) = _FLAGS.unpack_from(properties)
    if not flags & _HAS_MESSAGE_ID:
        return ""
    position = _before_headers(properties, flags)
    if flags & _HAS_HEADERS:
        position += 4 + INDEX.unpack_from(properties, position)[0]
    for flag, is_text in _BETWEEN:
        if flags & flag:
            position += 1 + (properties[position] if is_text else 0)
    return properties[position + 1 : position + 1 + properties[position]].decode()


def _before_headers(properties: bytes, flags: int) -> int:
    position = 2
    for flag in _BEFORE_HEADERS:
        if flags & flag:
            position += 1 + properties[position]
    return position


def _read_table(data: bytes, position: int) -> dict[str, str]:
    begin = position
    end = position + 4 + INDEX.unpack_from(data, position)[0]
    position += 4
    headers = {}
    while position < end:
        text_at = position + 1 + data[position]
        if data[text_at] != 0x53:  # S: a long string, all that we write; brokers add other things
            return _read_any_table(data[begin:end])
        stop = text_at + 5 + INDEX.unpack_from(data, text_at + 1)[0]
        headers[data[position + 1 : text_at].decode()] = data[text_at + 5 : stop].decode(errors="replace")
        position = stop
    return headers


def _read_any_table(data: bytes) -> dict[str, str]:
    _, table = decode.field_table(data)
    texts = ((name, _as_text(value)) for name, value in table.items())
    return {name: text for name, text in texts if text is not None}


def _as_text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray):
        return value.decode(errors="replace")
    return str(value) if isinstance(value, int | float) else None
