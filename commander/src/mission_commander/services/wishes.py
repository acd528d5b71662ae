"""What people and their objects ask of living missions: cancel, suspend, resume, acknowledge."""

from collections.abc import Callable, Sequence
from typing import Final

from mission_broker.port import Broker, Message
from mission_commander.domain import life
from mission_commander.domain.life import Moment, Surroundings
from mission_commander.domain.record import Mission
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_contracts import messages, topology
from mission_contracts.envelope import Envelope
from mission_contracts.mission import MissionId

HINT_SECONDS: Final = 1.0


class Wishes:
    """Each gives the mission as it stands afterwards, or None where there is none. All are idempotent."""

    def __init__(self, recorder: Recorder, broker: Broker, around: Callable[[Envelope], Surroundings]) -> None:
        self._recorder = recorder
        self._broker = broker
        self._around = around

    async def cancel(self, mission_id: MissionId, *, deleted: bool = False, message: str = "") -> Mission | None:
        mission = await self._wish(mission_id, lambda one, at: life.cancel(one, at, deleted=deleted, message=message))
        if mission is not None and not mission.is_final:
            await self._hint(mission_id)
        return mission

    async def suspend(self, mission_id: MissionId) -> Mission | None:
        return await self._wish(mission_id, life.suspend)

    async def resume(self, mission_id: MissionId) -> Mission | None:
        return await self._wish(mission_id, lambda one, at: life.resume(one, at, self._around(one.envelope)))

    async def acknowledge(self, ids: Sequence[MissionId]) -> None:
        """Note that these missions' objects show their final state, or are gone."""
        await self._recorder.decide_all([_command(mission_id, life.acknowledge) for mission_id in ids])

    async def _hint(self, mission_id: MissionId) -> None:
        """Tell all soldiers at once. It may get lost: the next heartbeat's answer says the same for sure."""
        control = messages.ControlMessage(v=messages.VERSION, cancel=(mission_id,))
        hint = Message(exchange=topology.CONTROL, key="", body=messages.encode(control))
        await self._broker.publish([hint], HINT_SECONDS)

    async def _wish(self, mission_id: MissionId, move: "Move") -> Mission | None:
        return await self._recorder.decide(_command(mission_id, move))


Move = Callable[[Mission, Moment], Mission | None]


def _command(mission_id: MissionId, move: Move) -> Command[Mission | None]:
    """Fresh: to memory that has not heard of the last wish, its opposite would seem to be nothing to do."""

    def decide(mission: Mission | None, moment: Moment) -> Decision[Mission | None]:
        if mission is None:
            return Decision(None)
        moved = move(mission, moment)
        return Decision(moved or mission, moved)

    return Command(mission_id, decide, fresh=True)
