"""What waits for a time is moved when it has come, also after trouble."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.commander_stage import (
    CANCEL_DEADLINE_SECONDS,
    SOLDIER,
    Stage,
    a_pool,
    a_soldier,
    eventually,
    running,
    turns,
)

from mission_commander.domain import life
from mission_commander.domain.life import Moment
from mission_commander.domain.record import Mission, Phase
from mission_commander.services import timing
from mission_commander.services.timing import Timer
from mission_contracts.mission import MissionState, Reason


@pytest.fixture
async def timer(stage: Stage) -> Timer:
    await stage.garrison.declare(a_pool())
    return Timer(
        stage.recorder, stage.memory, stage.clock, stage.around, cancel_deadline_seconds=CANCEL_DEADLINE_SECONDS
    )


@asynccontextmanager
async def ticking(stage: Stage, timer: Timer) -> AsyncIterator[None]:
    async with running(stage.recorder.run, timer.run):
        yield


def in_seconds(stage: Stage, seconds: float) -> float:
    return stage.clock.now() + seconds


async def test_at_its_start_time_it_is_handed_out(stage: Stage, timer: Timer) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1", start_after=in_seconds(stage, 60))
        stage.clock.turn(59)
        await timer.move_due()
        assert stage.record(mission).phase is Phase.WAITING
        stage.clock.turn(1)
        await timer.move_due()
    assert stage.record(mission).phase is Phase.OUT


async def test_at_its_deadline_it_fails(stage: Stage, timer: Timer) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1", deadline_seconds=10)
        stage.clock.turn(10)
        await timer.move_due()
    assert stage.record(mission).reason is Reason.DEADLINE_EXCEEDED


async def test_a_soldier_that_does_not_answer_a_cancellation_is_overruled(stage: Stage, timer: Timer) -> None:
    async with running(stage.recorder.run):
        mission = await stage.cancel(await stage.claim(await stage.accept("m-1")))
        stage.clock.turn(CANCEL_DEADLINE_SECONDS)
        await timer.move_due()
    assert stage.record(mission).state is MissionState.CANCELLED


async def test_a_running_timer_hears_of_earlier_moments(stage: Stage, timer: Timer) -> None:
    async with ticking(stage, timer):
        late = await stage.accept("late", start_after=in_seconds(stage, 3_600))
        early = await stage.accept("early", start_after=in_seconds(stage, 60))
        stage.clock.turn(60)
        await eventually(lambda: stage.record(early).phase is Phase.OUT, "the early one is handed out")
        assert stage.record(late).phase is Phase.WAITING


async def test_very_many_at_once_are_moved_in_rounds(
    stage: Stage, timer: Timer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "MOST_AT_ONCE", 7)
    async with running(stage.recorder.run):
        missions = [await stage.accept(f"m-{n}", start_after=in_seconds(stage, 60)) for n in range(20)]
        stage.clock.turn(60)
        await timer.move_due()
        assert sum(stage.record(one).phase is Phase.OUT for one in missions) == 7
        async with running(timer.run):
            await eventually(lambda: all(stage.record(one).phase is Phase.OUT for one in missions), "all go out")


async def test_without_ledger_it_is_tried_again(stage: Stage, timer: Timer) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1", start_after=in_seconds(stage, 60))
        stage.clock.turn(60)
        stage.ledger.cut()
        await timer.move_due()
        stage.ledger.mend()
        await timer.move_due()
        assert stage.record(mission).phase is Phase.WAITING, "not at once: the ledger has just come back"
        stage.clock.turn(timing.LOOK_AGAIN_SECONDS)
        await timer.move_due()
    assert stage.record(mission).phase is Phase.OUT


def without_handler(mission: Mission, moment: Moment) -> Mission | None:
    dropped = life.claim(mission, mission.epoch, SOLDIER, moment, has_handler=False)
    assert isinstance(dropped, life.Dropped)
    return dropped.mission


async def test_what_waits_for_its_pool_is_looked_at_no_more_until_that_comes(stage: Stage, timer: Timer) -> None:
    await stage.garrison.remove(("default", "default"))
    async with ticking(stage, timer):
        mission = await stage.accept("m-1", start_after=in_seconds(stage, 60))
        stage.clock.turn(60)
        await eventually(lambda: stage.record(mission).reason is Reason.NO_POOL, "it waits for its pool")
        assert stage.memory.next_time() == mission.envelope.deadline_at


async def test_what_cannot_go_yet_is_looked_at_each_second_without_a_busy_loop(
    stage: Stage, timer: Timer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look = timer.look

    def counted(mission_id: object) -> object:
        nonlocal looks
        looks += 1
        return look(mission_id)  # type: ignore[arg-type]

    monkeypatch.setattr(timer, "look", counted)
    await stage.garrison.register(a_soldier(SOLDIER, "another-type"))
    async with ticking(stage, timer):
        out = await stage.accept("m-1")
        mission = await stage.move(out, without_handler)
        stage.clock.turn(1)
        await eventually(lambda: looks, "it is looked at")
        await turns(200)
        assert looks <= 3
        await stage.garrison.register(a_soldier("soldier-2", "noop"))
        stage.clock.turn(timing.LOOK_AGAIN_SECONDS)
        await eventually(lambda: stage.record(mission).phase is Phase.OUT, "it is handed out")


async def test_a_defect_on_one_mission_does_not_end_the_timer(
    stage: Stage, timer: Timer, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet_deadline = life.meet_deadline

    def sometimes_broken(mission: Mission, moment: life.Moment) -> Mission | None:
        if mission.id == "broken":
            raise life.IllegalMoveError("a defect")
        return meet_deadline(mission, moment)

    monkeypatch.setattr(life, "meet_deadline", sometimes_broken)
    async with ticking(stage, timer):
        await stage.accept("broken", start_after=in_seconds(stage, 60))
        sound = await stage.accept("sound", start_after=in_seconds(stage, 60))
        stage.clock.turn(60)
        await eventually(lambda: stage.record(sound).phase is Phase.OUT, "its neighbour is handed out")
        stage.clock.turn(60)
        await turns(50)


async def test_a_suspended_mission_is_moved_by_its_deadline_only(stage: Stage, timer: Timer) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1", start_after=in_seconds(stage, 60), deadline_seconds=100, suspended=True)
        stage.clock.turn(99)
        await timer.move_due()
        assert stage.record(mission) == mission
        stage.clock.turn(1)
        await timer.move_due()
    assert stage.record(mission).reason is Reason.DEADLINE_EXCEEDED
