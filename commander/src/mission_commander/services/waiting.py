"""Long polls: waiting for one mission's end."""

import asyncio
from collections import defaultdict

from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.record import Mission
from mission_contracts.mission import MissionId


class Ends:
    """Wakes whoever waits for a mission once it is final."""

    def __init__(self, memory: MissionMemory) -> None:
        self._memory = memory
        self._waiting: defaultdict[MissionId, set[asyncio.Future[None]]] = defaultdict(set)
        memory.listen(self._notice)

    async def wait(self, mission_id: MissionId, seconds: float) -> None:
        """Return when the mission is final, or the time is over."""
        known = self._memory.get(mission_id)
        if known is not None and known.is_final:
            return
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[mission_id].add(end)
        try:
            await asyncio.wait([end], timeout=seconds)
        finally:
            self._stop_waiting(mission_id, end)

    def _stop_waiting(self, mission_id: MissionId, end: asyncio.Future[None]) -> None:
        self._waiting[mission_id].discard(end)
        if not self._waiting[mission_id]:
            del self._waiting[mission_id]

    def _notice(self, mission: Mission) -> None:
        if mission.is_final and mission.id in self._waiting:
            for end in self._waiting[mission.id]:
                if not end.done():
                    end.set_result(None)
