"""The event stream: its grammar, and a watch that misses nothing while connections come and go."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import pairwise

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mission_contracts.mission import MissionId, MissionState
from missionctl import client
from missionctl.client import MissionChanged, MissionControl, MissionControlSync, Reset, Retries, Submission
from missionctl.client._sse import Frame, Parser
from missionctl.testing import FakeCommander, refusal

QUICK = Retries(patience_seconds=5, first_seconds=0.001, longest_seconds=0.002)
NOOP = Submission(type="noop", payload={})


@pytest.fixture
def commander() -> FakeCommander:
    return FakeCommander()


@pytest.fixture
async def control(commander: FakeCommander) -> AsyncIterator[MissionControl]:
    async with MissionControl(commander.url, transport=commander.transport, retries=QUICK) as control:
        yield control


# Grammar.

STREAM = (
    "id: 1\nevent: mission\ndata: {\ndata: }\n\n: a comment\r\n\r\nid: 2\r\n\r\nevent:reset\r\r:end\ndata: grüß\n\n"
)
FRAMES = [Frame("mission", "{\n}", "1"), Frame("reset", "", "2"), Frame("message", "grüß", "2")]


def test_frames_are_read_as_the_standard_says() -> None:
    assert list(Parser().feed(STREAM.encode())) == FRAMES


@given(st.lists(st.integers(0, len(STREAM.encode())), max_size=8))
def test_pieces_may_end_anywhere(cuts: list[int]) -> None:
    stream, parser = STREAM.encode(), Parser()
    bounds = [0, *sorted(cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(bounds)]
    assert [frame for piece in pieces for frame in parser.feed(piece)] == FRAMES


# Events.


async def test_events_begin_with_a_reset_and_go_on_with_changes(
    control: MissionControl, commander: FakeCommander
) -> None:
    async with aclosing(control.events()) as events:
        assert await anext(events) == Reset()
        mission = await control.submit(NOOP)
        # Nothing was heard yet, so there is no id to resume from: this too is said.
        assert await anext(events) == Reset()
        await control.cancel(mission.mission_id)
        assert await anext(events) == Reset()
    assert len(commander.sent("GET", "/events")) == 3


async def test_a_lost_connection_is_resumed_behind_the_last_event(
    control: MissionControl, commander: FakeCommander
) -> None:
    mission = await control.submit(NOOP)
    async with aclosing(control.events(after="0-0")) as events:
        first = await anext(events)
        commander.finish(mission.mission_id)
        commander.fail_next(httpx.ConnectError("refused"), refusal(503, "NotLoaded", "soon"))
        second = await anext(events)
    assert isinstance(first, MissionChanged)
    assert isinstance(second, MissionChanged)
    assert (first.mission.state, second.mission.state) == (MissionState.QUEUED, MissionState.COMPLETED)
    assert [one.headers["last-event-id"] for one in commander.sent("GET", "/events")][-1] == "1-0"


async def test_an_event_that_cannot_be_read_ends_the_stream_with_a_sentence(
    control: MissionControl, commander: FakeCommander
) -> None:
    stream = b'id: 1-0\nevent: mission\ndata: {"half": 1}\n\n'
    commander.fail_next(httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream))
    events = control.events(after="0-0")
    with pytest.raises(client.StrangeAnswerError, match="event 1-0 is no mission"):
        await anext(events)


async def test_events_of_kinds_that_are_not_known_yet_are_passed_over(
    control: MissionControl, commander: FakeCommander
) -> None:
    await control.submit(NOOP)
    stream = b"id: 0-0\nevent: weather\ndata: {}\n\n"
    commander.fail_next(httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream))
    async with aclosing(control.events(after="0-0")) as events:
        assert isinstance(await anext(events), MissionChanged)


async def test_a_page_instead_of_a_stream_is_named(control: MissionControl, commander: FakeCommander) -> None:
    commander.fail_next(httpx.Response(200, text="<html>"))
    with pytest.raises(client.StrangeAnswerError):
        await anext(control.events())


# Watching.


async def test_a_watch_shows_what_is_there_then_what_changes_and_nothing_twice(
    control: MissionControl, commander: FakeCommander
) -> None:
    first = await control.submit(NOOP)
    async with aclosing(control.watch()) as changes:
        seen = [await anext(changes)]
        commander.change(first.mission_id, state=MissionState.IN_PROGRESS)
        seen.append(await anext(changes))
        commander.finish(first.mission_id)
        seen.append(await anext(changes))
    assert [one.state for one in seen] == [
        MissionState.QUEUED,
        MissionState.IN_PROGRESS,
        MissionState.COMPLETED,
    ]


async def test_a_watch_finds_out_after_a_reset_what_it_has_missed(
    control: MissionControl, commander: FakeCommander
) -> None:
    first = await control.submit(NOOP)
    async with aclosing(control.watch()) as changes:
        await anext(changes)
        commander.finish(first.mission_id)
        reset = b"event: reset\ndata: {}\n\n"
        commander.fail_next(httpx.Response(200, headers={"content-type": "text/event-stream"}, content=reset))
        assert (await anext(changes)).state is MissionState.COMPLETED


async def test_a_watch_never_goes_back(control: MissionControl, commander: FakeCommander) -> None:
    mission = await control.submit(NOOP)
    final = commander.finish(mission.mission_id)
    late = msgspec.json.encode(msgspec.structs.replace(final, state=MissionState.QUEUED, sequence=1)).decode()
    other = msgspec.json.encode(msgspec.structs.replace(final, mission_id=MissionId("other"))).decode()
    stream = f"id: 1-0\nevent: mission\ndata: {late}\n\nid: 2-0\nevent: mission\ndata: {other}\n\n"
    commander.fail_next(httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream.encode()))
    async with aclosing(control.watch()) as changes:
        assert [(await anext(changes)).mission_id for _ in range(2)] == [mission.mission_id, "other"]


async def test_a_watch_shows_only_what_was_chosen(control: MissionControl) -> None:
    await control.submit(NOOP)
    wanted = await control.submit(Submission(type="resize", payload={}))
    async with aclosing(control.watch(client.Filter(mission_type="resize"))) as changes:
        assert (await anext(changes)).mission_id == wanted.mission_id


def test_the_blocking_watch_is_the_same(commander: FakeCommander) -> None:
    with MissionControlSync(commander.url, transport=commander.transport, retries=QUICK) as control:
        mission = control.submit(NOOP)
        changes = control.watch()
        assert next(changes).state is MissionState.QUEUED
        commander.finish(mission.mission_id)
        assert next(changes).state is MissionState.COMPLETED
        changes.close()
