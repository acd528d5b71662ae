"""The tap, fed by hand: a stream may break anywhere, and every frame still reaches its channel."""

import asyncio
import itertools
from collections.abc import Sequence
from unittest.mock import create_autospec

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, frame, header
from support.broker_probe import eventually

from mission_broker.port import Delivery
from mission_broker.rabbitmq import frames
from mission_broker.rabbitmq.consuming import ConsumeChannel
from mission_broker.rabbitmq.tap import Tap


def delivered(channel: int, tag: int, content: bytes, piece: int) -> bytes:
    parts: list[frame.FrameTypes] = [
        commands.Basic.Deliver(consumer_tag="c", delivery_tag=tag, exchange="e", routing_key="k"),
        header.ContentHeader(body_size=len(content), properties=commands.Basic.Properties(delivery_mode=2)),
    ]
    parts += [body.ContentBody(content[at : at + piece]) for at in range(0, len(content), piece)]
    return b"".join(frame.marshal(part, channel) for part in parts)


def a_tap() -> tuple[Tap, asyncio.StreamReader, asyncio.Transport]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    tap = Tap(reader, loop)
    transport: asyncio.Transport = create_autospec(asyncio.Transport, instance=True)
    tap.connection_made(transport)
    return tap, reader, transport


def received(stream: bytes, cuts: Sequence[int]) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]], bytes]:
    """Feed a stream in pieces; gives what channels 1 and 2 and aiormq got."""

    async def run() -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]], bytes]:
        tap, reader, _ = a_tap()
        inboxes: list[list[Delivery]] = [[], []]
        for number, inbox in enumerate(inboxes, 1):
            ConsumeChannel(tap, number, rpc_timeout_seconds=1).on_deliveries = inbox.extend
        edges = [0, *sorted(cuts), len(stream)]
        for begin, end in itertools.pairwise(edges):
            tap.data_received(stream[begin:end])
        await asyncio.sleep(0)
        reader.feed_eof()
        one, two = ([(each.tag, each.body) for each in inbox] for inbox in inboxes)  # type: ignore[attr-defined]
        return one, two, await reader.read()

    return asyncio.run(run())


@given(st.data())
def test_frames_reach_their_channels_wherever_the_stream_breaks(data: st.DataObject) -> None:
    bodies = data.draw(st.lists(st.binary(max_size=60), min_size=1, max_size=6))
    piece = data.draw(st.integers(1, 70))
    parts, expected = [], ([], [])  # type: tuple[list[bytes], tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]]
    for tag, content in enumerate(bodies, 1):
        channel = data.draw(st.sampled_from([1, 2]))
        parts += [delivered(channel, tag, content, piece), frames.HEARTBEAT_FRAME, delivered(9, tag, content, piece)]
        expected[channel - 1].append((tag, content))
    stream = b"".join(parts)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))

    assert received(stream, cuts) == (*expected, frames.HEARTBEAT_FRAME * len(bodies))


async def test_what_is_no_frame_drops_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    tap, _, transport = a_tap()
    tap.data_received(frame.marshal(commands.Basic.QosOk(), 1)[:-1] + b"\x00")

    assert "cannot be read" in caplog.text
    assert "unreadable frame" in str(tap.lost.result())
    transport.abort.assert_called_once()  # type: ignore[attr-defined]


async def test_a_refused_protocol_version_is_aiormqs_to_tell() -> None:
    tap, reader, _ = a_tap()
    tap.data_received(b"AMQP\x00\x00\x09\x01")

    assert await reader.readexactly(8) == b"AMQP\x00\x00\x09\x01"


async def test_a_connection_that_speaks_now_and_then_is_not_dropped_and_a_silent_one_is() -> None:
    tap, reader, _ = a_tap()
    tap.watch(0.5)
    for _ in range(8):
        await asyncio.sleep(0.1)
        tap.data_received(delivered(9, 1, b"x", 10))
    assert not tap.lost.done()
    assert (await reader.read(8)) == frames.HEARTBEAT_FRAME, "aiormq hears that there is life"

    await eventually(tap.lost.done, "silence ends it", 3)
    assert "nothing was heard" in str(tap.lost.result())


async def test_a_writer_that_waits_is_woken_by_the_end() -> None:
    tap, _, _ = a_tap()
    tap.pause_writing()
    waiting = asyncio.create_task(tap.writable())
    await asyncio.sleep(0)
    assert not waiting.done()
    tap.connection_lost(None)

    await asyncio.wait_for(waiting, 1)
    tap.write(b"into the void")
    assert str(tap.lost.result()) == "the other side closed it"
