"""Which Commander is on duty: the one whose own marker comes back."""

from support.commander_stage import Stage, eventually, running

from mission_commander.services.duty import BELIEVED_SECONDS, Duty
from mission_contracts import messages, topology


def markers(stage: Stage) -> list[str]:
    held = stage.broker.server.find(topology.STATUS.name)
    waiting = list(held._waiting) if held else []
    return [messages.decode(stored.body, messages.StatusMessage).marker for stored in waiting]


async def test_it_is_on_duty_once_its_own_marker_came_back_and_as_long_as_it_does(stage: Stage) -> None:
    await stage.broker.declare(topology.FIXED_QUEUES)
    duty = Duty(stage.broker, stage.clock)
    async with running(duty.run):
        await eventually(lambda: markers(stage), "a marker is on its way")
        [marker] = markers(stage)
    duty.take_marker("of somebody else")
    assert not duty.is_on_duty
    duty.take_marker(marker)
    assert duty.is_on_duty
    stage.clock.turn(BELIEVED_SECONDS + 1)
    assert not duty.is_on_duty


async def test_without_broker_nobody_knows(stage: Stage) -> None:
    stage.broker.cut()
    duty = Duty(stage.broker, stage.clock)
    async with running(duty.run):
        assert not duty.is_on_duty
