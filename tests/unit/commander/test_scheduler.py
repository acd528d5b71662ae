"""The switch of the outbox relay holds for every Commander, over restarts, and over a wipe."""

from collections.abc import AsyncIterator, Callable

import pytest
from support.commander_stage import Stage, eventually, running, turns

from mission_commander.ports import LedgerAwayError
from mission_commander.services import scheduling
from mission_commander.services.outbox import Outbox
from mission_commander.services.scheduling import Scheduler
from mission_contracts import topology

QUEUE = topology.orders_of("default", "default")


class Desk:
    """A Commander's relay and its switch."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.outbox = Outbox(stage.ledger, stage.broker, stage.memory, stage.order_seals)
        self.scheduler = Scheduler(stage.ledger, self.outbox)
        stage.recorder.on_hand_out(self.outbox.add)


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "LOOK_SECONDS", 0.005)


@pytest.fixture
async def desk(stage: Stage) -> AsyncIterator[Desk]:
    await stage.broker.declare(topology.queues_of("default", "default"))
    desk = Desk(stage)
    async with running(stage.recorder.run, desk.outbox.run):
        yield desk


async def test_a_stopped_relay_publishes_nothing_until_it_is_started(desk: Desk) -> None:
    await desk.scheduler.stop()
    await desk.stage.accept()
    await turns(200)
    assert (desk.stage.ready(QUEUE), desk.outbox.depth) == (0, 1)
    await desk.scheduler.start()
    await eventually(lambda: desk.stage.ready(QUEUE) == 1, "it is published")


@pytest.mark.parametrize("before", [True, False], ids=["there already", "of a later start"])
async def test_the_other_commanders_follow(desk: Desk, before: bool) -> None:
    def another() -> Desk:
        return Desk(desk.stage.another())

    other = another() if before else None
    await desk.scheduler.stop()
    other = other or another()
    await other.scheduler.look()
    assert other.scheduler.is_stopped
    async with running(other.scheduler.run):
        await desk.scheduler.start()
        await eventually(lambda: not other.scheduler.is_stopped, "it goes on too")


async def test_a_wiped_ledger_is_told_again_that_the_relay_is_stopped(desk: Desk) -> None:
    await desk.scheduler.stop()
    desk.stage.store.wipe()
    await desk.scheduler.look()
    assert desk.scheduler.is_stopped
    assert desk.stage.store.data.scheduler_stopped is True


async def test_a_ledger_that_never_heard_of_a_stop_stops_nobody(desk: Desk) -> None:
    await desk.scheduler.look()
    assert not desk.scheduler.is_stopped
    assert desk.stage.store.data.scheduler_stopped is None


async def test_a_stop_that_cannot_be_kept_is_not_made(desk: Desk) -> None:
    desk.stage.ledger.cut()
    with pytest.raises(LedgerAwayError):
        await desk.scheduler.stop()
    assert not desk.scheduler.is_stopped


async def test_without_ledger_the_last_word_holds(desk: Desk) -> None:
    await desk.scheduler.stop()
    desk.stage.ledger.cut()
    async with running(desk.scheduler.run):
        await turns(500)
    assert desk.scheduler.is_stopped


async def test_an_answer_from_before_a_stop_does_not_undo_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ask: Callable[[], object] = desk.stage.ledger.scheduler_stopped

    async def while_it_is_stopped() -> bool | None:
        said = await ask()  # type: ignore[misc]
        await desk.scheduler.stop()
        return said  # type: ignore[no-any-return]

    await desk.scheduler.start()
    monkeypatch.setattr(desk.stage.ledger, "scheduler_stopped", while_it_is_stopped)
    await desk.scheduler.look()
    assert desk.scheduler.is_stopped
