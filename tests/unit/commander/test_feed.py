"""The event stream: into memory, and out to watchers without a gap and without a double, or with a word about it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import pytest
from support.commander_stage import SOLDIER, Stage, eventually, running, turns

from mission_commander.domain import life
from mission_commander.domain.record import Mission, Phase
from mission_commander.services import feed as module
from mission_commander.services.feed import Announced, Feed
from mission_contracts.mission import Reason
from mission_contracts.rest import MissionView

EVERYTHING: Callable[[Mission], bool] = lambda _: True  # noqa: E731


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.005)
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)


class Watcher:
    """Reads in the background what a watch gives."""

    def __init__(self, watch: AsyncIterator[Sequence[Announced] | None]) -> None:
        self.seen: list[Announced] = []
        self.resets = 0
        self.quiet = 0
        self._watch = watch
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for batch in self._watch:
            if batch is None:
                self.resets += 1
            elif not batch:
                self.quiet += 1
            else:
                self.seen += batch

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.seen]

    @property
    def sequences(self) -> list[int]:
        return [one.mission.sequence for one in self.seen]

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def watch(
    stage: Stage, after: str | None = None, wanted: Callable[[Mission], bool] = EVERYTHING, quiet: float = 10
) -> Watcher:
    return Watcher(stage.feed.watch(after, wanted, quiet_seconds=quiet))


async def changes(stage: Stage, count: int, mission_id: str = "m-1") -> Mission:
    """A mission that changes so often."""
    mission = await stage.accept(mission_id)
    for number in range(count - 1):
        reason = (Reason.POOL_AT_MAX, Reason.POOL_SCALING_UP)[number % 2]
        mission = await stage.move(mission, lambda one, at, why=reason: life.explain(one, at, why, "why"))  # type: ignore[misc]
    return mission


async def caught_up(stage: Stage) -> None:
    await eventually(lambda: stage.feed.last == stage.store.data.stream.last, "the feed has heard of everything")


# Into memory.


async def test_what_another_commander_writes_is_heard(stage: Stage) -> None:
    other = stage.another()
    async with running(stage.feed.run, other.recorder.run):
        mission = await other.accept("m-1")
        await eventually(lambda: stage.memory.get(mission.id) == mission, "it is heard")


async def test_all_live_missions_are_loaded_and_their_payloads_only_later(stage: Stage) -> None:
    async with running(stage.recorder.run):
        live = await stage.claim(await stage.accept("live", b'{"width":640}'))
        await stage.cancel(await stage.accept("final"))
    restarted = stage.another()
    await restarted.feed.load()
    assert list(restarted.memory.live()) == [live]
    assert restarted.memory.payload_bytes == 0
    assert list(restarted.memory.held_by(SOLDIER)) == [live]


async def test_without_ledger_the_feed_goes_on_when_it_is_back(stage: Stage) -> None:
    other = stage.another()
    async with running(stage.feed.run, other.recorder.run):
        stage.ledger.cut()
        mission = await other.accept("m-1")
        await turns(50)
        assert stage.memory.get(mission.id) is None
        stage.ledger.mend()
        await eventually(lambda: stage.memory.get(mission.id) == mission, "it is heard")


async def test_a_feed_that_the_stream_left_behind_reads_all_live_missions_again() -> None:
    stage = Stage(events_kept=5)
    other = stage.another()
    watcher = watch(stage)
    async with running(other.recorder.run):
        mission = await changes(other, 20)
        async with running(stage.feed.run):
            await eventually(lambda: stage.memory.get(mission.id) == mission, "it is read")
            await eventually(lambda: watcher.resets == 1, "whoever watches is told that something was missed")
            after = await other.claim(mission)
            await eventually(lambda: watcher.sequences == [after.sequence], "it goes on from there")
    await watcher.stop()
    assert watcher.resets == 1


@pytest.mark.parametrize("accident", ["wiped", "rolled back"])
async def test_a_stream_that_went_back_is_told_to_whoever_restores(stage: Stage, accident: str) -> None:
    told: list[str] = []
    stage.feed.on_gap(lambda: told.append(accident))
    async with running(stage.recorder.run, stage.feed.run):
        backup = stage.store.backup()
        await changes(stage, 3)
        await caught_up(stage)
        if accident == "wiped":
            stage.store.wipe()
        else:
            stage.store.roll_back(backup)
        await eventually(lambda: told, "it is noticed")


# Out to watchers.


async def test_every_change_is_seen_once_and_in_order(stage: Stage) -> None:
    async with running(stage.recorder.run, stage.feed.run):
        watcher = watch(stage)
        await changes(stage, 50)
        await eventually(lambda: len(watcher.seen) == 50, "all are seen")
        await watcher.stop()
    assert watcher.sequences == sorted(set(watcher.sequences))
    assert watcher.resets == 0


async def test_only_what_is_wanted_is_seen(stage: Stage) -> None:
    async with running(stage.recorder.run, stage.feed.run):
        watcher = watch(stage, wanted=lambda mission: mission.id == "mine")
        await stage.accept("theirs")
        await stage.accept("mine")
        await eventually(lambda: watcher.seen, "mine is seen")
        await watcher.stop()
    assert [one.mission.id for one in watcher.seen] == ["mine"]


async def test_a_watcher_misses_nothing_from_the_moment_of_its_request(stage: Stage) -> None:
    async with running(stage.recorder.run, stage.feed.run):
        promised = stage.feed.watch(None, EVERYTHING, quiet_seconds=10)
        mission = await stage.accept("m-1")
        await caught_up(stage)
        watcher = Watcher(promised)
        await eventually(lambda: watcher.sequences == [mission.sequence], "it is seen")
        await watcher.stop()


@pytest.mark.parametrize("kept", [1_000, 10, 1], ids=["from memory", "from ledger and memory", "from the ledger"])
async def test_a_watcher_resumes_from_any_id_without_gap_or_double(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(module, "KEPT_EVENTS", kept)
    monkeypatch.setattr(module, "PAGE", 7)
    stage.feed = Feed(stage.ledger, stage.memory, stage.recorder.horizon)
    async with running(stage.recorder.run, stage.feed.run):
        first = watch(stage)
        await changes(stage, 30)
        await caught_up(stage)
        await eventually(lambda: len(first.seen) == 30, "all are seen")
        for place in (0, 1, 12, 28, 29):
            resumed = watch(stage, first.ids[place])
            await eventually(lambda r=resumed, p=place: len(r.seen) >= 29 - p, f"the rest after {place} is seen")  # type: ignore[misc]
            await turns(20)
            assert resumed.ids == first.ids[place + 1 :]
            assert resumed.resets == 0
            await resumed.stop()
        await first.stop()


async def test_a_slow_reader_of_the_ledger_misses_nothing_that_memory_forgets_meanwhile(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_EVENTS", 5)
    monkeypatch.setattr(module, "PAGE", 3)
    stage.feed = Feed(stage.ledger, stage.memory, stage.recorder.horizon)
    async with running(stage.recorder.run, stage.feed.run):
        await changes(stage, 20, "before")
        await caught_up(stage)
        resumed = stage.feed.watch("0-0", EVERYTHING, quiet_seconds=10)
        seen = [one.id for one in await anext(resumed) or ()]
        await changes(stage, 20, "meanwhile")
        await caught_up(stage)
        while len(seen) < 40:
            batch = await anext(resumed)
            assert batch is not None, "nothing was lost"
            seen += [one.id for one in batch]
    assert seen == sorted(set(seen), key=lambda one: tuple(map(int, one.split("-"))))


async def test_an_id_that_nobody_holds_any_more_is_told_and_then_it_goes_on() -> None:
    stage = Stage(events_kept=5)
    async with running(stage.recorder.run):
        await changes(stage, 20)
        await stage.feed.load()
        async with running(stage.feed.run):
            watcher = watch(stage, "1-1")
            await eventually(lambda: watcher.resets == 1, "the loss is told")
            mission = await stage.accept("m-2")
            await eventually(lambda: watcher.sequences == [mission.sequence], "it goes on")
            await watcher.stop()


async def test_a_watcher_that_reads_too_slowly_is_told_what_it_missed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_EVENTS", 5)
    stage.feed = Feed(stage.ledger, stage.memory, stage.recorder.horizon)
    async with running(stage.recorder.run, stage.feed.run):
        slow = stage.feed.watch(None, EVERYTHING, quiet_seconds=10)
        await changes(stage, 1)
        assert await anext(slow)
        await changes(stage, 20, "m-2")
        await caught_up(stage)
        assert await anext(slow) is None
        mission = await stage.accept("m-3")
        assert [one.mission for one in await anext(slow) or ()] == [mission]


async def test_without_ledger_a_resuming_watcher_waits_for_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_EVENTS", 5)
    stage.feed = Feed(stage.ledger, stage.memory, stage.recorder.horizon)
    async with running(stage.recorder.run, stage.feed.run):
        await changes(stage, 20)
        await caught_up(stage)
        stage.ledger.cut()
        watcher = watch(stage, "0-0")
        await eventually(lambda: watcher.quiet, "it is still there")
        stage.ledger.mend()
        await eventually(lambda: len(watcher.seen) == 20, "all are seen")
        await watcher.stop()
    assert watcher.resets == 0


async def test_a_quiet_watch_gives_a_sign_of_life(stage: Stage) -> None:
    async with running(stage.feed.run):
        watcher = watch(stage, quiet=0.01)
        await eventually(lambda: watcher.quiet >= 3, "it gives signs of life")
        await watcher.stop()
    assert not watcher.seen


async def test_traffic_that_a_watch_does_not_want_is_quiet_too(stage: Stage) -> None:
    async with running(stage.recorder.run, stage.feed.run):
        watcher = watch(stage, wanted=lambda _: False, quiet=0.05)
        number = 0
        while watcher.quiet < 3:
            await stage.accept(f"m-{(number := number + 1)}")
            await asyncio.sleep(0.005)
            assert number < 1_000, "no sign of life while others are busy"
        await watcher.stop()
    assert not watcher.seen


async def test_the_text_of_an_event_is_a_servers_sent_event(stage: Stage) -> None:
    async with running(stage.recorder.run, stage.feed.run):
        watcher = watch(stage)
        mission = await stage.accept("m-1")
        await eventually(lambda: watcher.seen, "it is seen")
        await watcher.stop()
    [announced] = watcher.seen
    head, event, data, *end = announced.text().decode().split("\n")
    assert (head, event, end) == (f"id: {announced.id}", "event: mission", ["", ""])
    shown: Any = msgspec.json.decode(data.removeprefix("data: "), type=MissionView)
    assert (shown.mission_id, shown.sequence) == (mission.id, mission.sequence)
    assert announced.text() is announced.text(), "made once, however many watch"


async def test_memory_follows_also_what_this_commander_did_itself(stage: Stage) -> None:
    async with running(stage.recorder.run, stage.feed.run):
        mission = await stage.claim(await stage.accept("m-1"))
        await caught_up(stage)
    assert stage.memory.get(mission.id) == mission
    assert mission.phase is Phase.CLAIMED


async def test_what_is_held_for_watchers_is_bounded_in_bytes_and_older_events_come_from_the_ledger(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_EVENT_BYTES", 20_000)
    async with running(stage.recorder.run, stage.feed.run):
        missions = [await stage.accept(f"m-{number}") for number in range(50)]
        await eventually(lambda: all(stage.memory.get(one.id) for one in missions), "all are heard of")
        assert sum(one.size_bytes for one in stage.feed._recent) == stage.feed._recent_bytes <= 20_000
        watcher = watch(stage, after="0-0")
        await eventually(lambda: len(watcher.seen) == 50, "all are seen")
        assert watcher.resets == 0
        await watcher.stop()
