"""Following the Commander's event stream."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from support.operator_builders import NAMESPACE, a_view
from support.patience import until

from mission_contracts.testing import FakeClock
from mission_operator.commander.client import CommanderAwayError
from mission_operator.commander.events import Event, EventFollower, parse
from mission_operator.commander.reachability import Reachability


async def _lines(lines: Sequence[str]) -> AsyncIterator[str]:
    for line in lines:
        yield line


def _told(sequence: int, *, event_id: str, namespace: str = NAMESPACE) -> list[str]:
    view = msgspec.structs.replace(a_view(sequence=sequence), namespace=namespace)
    return [f"id: {event_id}", "event: mission", f"data: {msgspec.json.encode(view).decode()}", ""]


class FakeStreams:
    """Opens one prepared stream after the other, then holds the last one open."""

    def __init__(self, *streams: Sequence[str]) -> None:
        self._streams = list(streams)
        self.resumed_from: list[str] = []

    @asynccontextmanager
    async def events(
        self, namespace: str, last_event_id: str, *, silence_seconds: float
    ) -> AsyncIterator[AsyncIterator[str]]:
        self.resumed_from.append(last_event_id)
        if not self._streams:
            await asyncio.Event().wait()
        yield _lines(self._streams.pop(0))
        raise CommanderAwayError("the stream ended")


class Ear:
    """What a follower heard."""

    def __init__(self, streams: FakeStreams) -> None:
        self.sequences: list[int] = []
        self.gaps: list[str] = []
        self.streams = streams
        self._follower = EventFollower(
            streams,
            Reachability(FakeClock()),
            NAMESPACE,
            on_view=lambda view: self.sequences.append(view.sequence),
            on_gap=self.gaps.append,
        )

    async def listen(self) -> None:
        work = asyncio.create_task(self._follower.run())
        expected = len(self.streams._streams) + 1
        await until(lambda: len(self.streams.resumed_from) == expected, "all streams were followed", seconds=5)
        work.cancel()
        await asyncio.wait([work])


async def test_server_sent_events_are_read() -> None:
    lines = [": hello", "", "id: 1-0", "event: mission", "data: {", "data: }", "", "data:x", "", "retry: 5", ""]
    assert [one async for one in parse(_lines(lines))] == [
        None,
        Event("mission", "{\n}", "1-0"),
        Event("message", "x", "1-0"),
    ]


async def test_a_broken_stream_is_resumed_where_it_broke_and_everything_is_compared() -> None:
    ear = Ear(FakeStreams([": listening", "", *_told(1, event_id="5-0")], _told(2, event_id="6-0")))
    await ear.listen()
    assert ear.sequences == [1, 2]
    assert ear.streams.resumed_from == ["", "5-0", "6-0"]
    assert ear.gaps == ["connecting", "connected"] * 2


async def test_a_reset_is_a_gap_and_the_lost_place_is_not_asked_for_again() -> None:
    ear = Ear(FakeStreams([*_told(1, event_id="5-0"), "event: reset", "data: {}", ""]))
    await ear.listen()
    assert ear.gaps == ["connecting", "connected", "reset"]
    assert ear.streams.resumed_from == ["", ""]


async def test_an_unreadable_event_is_skipped() -> None:
    ear = Ear(FakeStreams(["event: mission", "data: {not json", "", *_told(2, event_id="6-0")]))
    await ear.listen()
    assert ear.sequences == [2]


async def test_missions_of_other_namespaces_are_not_ours() -> None:
    ear = Ear(FakeStreams([*_told(1, event_id="5-0", namespace="elsewhere"), *_told(2, event_id="6-0")]))
    await ear.listen()
    assert ear.sequences == [2]
