"""Moving what waits for a time: start times, retries, deadlines, cancel deadlines."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from mission_commander.domain import life
from mission_commander.domain.life import Moment, Surroundings
from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.record import Mission
from mission_commander.ports import LedgerAwayError
from mission_commander.services.patience import happens
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_contracts import mission as m
from mission_contracts.clock import Clock
from mission_contracts.envelope import Envelope

LONGEST_SLEEP_SECONDS: Final = 0.5
LOOK_AGAIN_SECONDS: Final = 1.0
MOST_AT_ONCE: Final = 1_000
"""So that people's requests find their turn between two rounds when very many are due together."""


class Timer:
    """Looks at each mission when its moment has come."""

    def __init__(
        self,
        recorder: Recorder,
        memory: MissionMemory,
        clock: Clock,
        around: Callable[[Envelope], Surroundings],
        *,
        cancel_deadline_seconds: float,
    ) -> None:
        self._recorder = recorder
        self._memory = memory
        self._clock = clock
        self._around = around
        self._cancel_deadline_seconds = cancel_deadline_seconds
        self._sooner = asyncio.Event()
        self._sleeps_until = 0.0
        self._log = structlog.get_logger("timer")

    async def run(self) -> None:
        """Move what is due, until cancelled."""
        stop_listening = self._memory.listen(self._notice)
        try:
            while True:
                await self.move_due()
                await self._sleep()
        finally:
            stop_listening()

    async def _sleep(self) -> None:
        seconds = self._until_next()
        self._sooner.clear()
        self._sleeps_until = self._clock.now() + seconds
        await happens(self._sooner, within_seconds=seconds)

    def _notice(self, _: Mission) -> None:
        at = self._memory.next_time()
        if at is not None and at < self._sleeps_until:
            self._sooner.set()

    async def move_due(self) -> None:
        """Move all whose moment has come; when the ledger is away they are looked at again soon."""
        due = self._memory.pop_due(self._clock.now(), limit=MOST_AT_ONCE)
        try:
            await self._recorder.decide_each([self.look(mission_id) for mission_id in due])
        except LedgerAwayError:
            self._log.warning("could not move what is due; trying again soon", count=len(due))
        for mission_id in due:
            self._memory.look_again_unless_armed(mission_id, self._clock.now() + LOOK_AGAIN_SECONDS)

    def look(self, mission_id: m.MissionId) -> Command[None]:
        """Decide what time alone does to a mission."""

        def decide(mission: Mission | None, moment: Moment) -> Decision[None]:
            return Decision(None, None if mission is None else self._moved(mission, moment))

        return Command(mission_id, decide)

    def _moved(self, mission: Mission, moment: Moment) -> Mission | None:
        return (
            life.meet_deadline(mission, moment)
            or life.cancel_overdue(mission, moment, self._cancel_deadline_seconds)
            or life.wake(mission, moment, self._around(mission.envelope))
        )

    def _until_next(self) -> float:
        at = self._memory.next_time()
        if at is None:
            return LONGEST_SLEEP_SECONDS
        return min(LONGEST_SLEEP_SECONDS, max(0.0, at - self._clock.now()))
