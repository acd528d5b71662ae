"""What people and their objects ask of living missions: cancel, suspend, resume, acknowledge."""

from collections.abc import Callable, Sequence

from mission_commander.domain import life
from mission_commander.domain.life import Moment, Surroundings
from mission_commander.domain.record import Mission
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_contracts.envelope import Envelope
from mission_contracts.mission import MissionId


class Wishes:
    """Each gives the mission as it stands afterwards, or None where there is none. All are idempotent."""

    def __init__(self, recorder: Recorder, around: Callable[[Envelope], Surroundings]) -> None:
        self._recorder = recorder
        self._around = around

    async def cancel(self, mission_id: MissionId, *, deleted: bool = False, message: str = "") -> Mission | None:
        return await self._wish(mission_id, lambda one, at: life.cancel(one, at, deleted=deleted, message=message))

    async def suspend(self, mission_id: MissionId) -> Mission | None:
        return await self._wish(mission_id, life.suspend)

    async def resume(self, mission_id: MissionId) -> Mission | None:
        return await self._wish(mission_id, lambda one, at: life.resume(one, at, self._around(one.envelope)))

    async def acknowledge(self, ids: Sequence[MissionId]) -> None:
        """Note that these missions' objects show their final state, or are gone."""
        await self._recorder.decide_all([_command(mission_id, life.acknowledge) for mission_id in ids])

    async def _wish(self, mission_id: MissionId, move: "Move") -> Mission | None:
        return await self._recorder.decide(_command(mission_id, move))


Move = Callable[[Mission, Moment], Mission | None]


def _command(mission_id: MissionId, move: Move) -> Command[Mission | None]:
    def decide(mission: Mission | None, moment: Moment) -> Decision[Mission | None]:
        if mission is None:
            return Decision(None)
        moved = move(mission, moment)
        return Decision(moved or mission, moved)

    return Command(mission_id, decide)
