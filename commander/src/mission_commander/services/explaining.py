"""A true answer to "why does it wait?": missions that wait for a soldier longer than a moment are told what for."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from mission_commander.domain.life import Moment, explain
from mission_commander.domain.memory import MissionMemory, PoolKey
from mission_commander.domain.record import Mission, Phase
from mission_commander.ports import LedgerAwayError, PoolRecord
from mission_commander.services.garrison import Garrison
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_contracts.clock import Clock
from mission_contracts.mission import Reason

LOOK_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 2.0
MOST_AT_ONCE: Final = 200
"""So that a long queue costs a bounded stream of status writes: the oldest are told first."""
MOST_LOOKED_AT: Final = 5_000
"""Of one pool, so that a very long queue costs a bounded look."""


BROKER_AWAY: Final = "RabbitMQ cannot be reached, so no order reaches a soldier; all go out when it is back"


class Explainer:
    """Gives waiting missions their reason."""

    def __init__(
        self,
        recorder: Recorder,
        memory: MissionMemory,
        garrison: Garrison,
        clock: Clock,
        *,
        broker_is_away: Callable[[], bool] = lambda: False,
    ) -> None:
        self._recorder = recorder
        self._memory = memory
        self._garrison = garrison
        self._clock = clock
        self._broker_is_away = broker_is_away

    async def run(self) -> None:
        """Explain until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            commands = [command for pool in self._memory.pools() for command in self._commands(pool)]
            try:
                await self._recorder.decide_each(commands)
            except LedgerAwayError:
                continue

    def _commands(self, pool: PoolKey) -> Iterable[Command[None]]:
        patient_since = self._clock.now() - PATIENCE_SECONDS
        waiting = self._memory.in_phase(pool, Phase.OUT, limit=MOST_LOOKED_AT)
        old = [mission for mission in waiting if (mission.handed_out_at or 0) < patient_since]
        if not old:
            return ()
        reason, message = self.why(pool)
        untold = [mission for mission in old if not _is_told(mission, reason, message)]
        return [_tell(mission, reason, message) for mission in untold[:MOST_AT_ONCE]]

    def why(self, pool: PoolKey) -> tuple[Reason, str]:
        """What missions of a pool wait for that could run now."""
        _, name = pool
        record = self._garrison.pool(pool)
        if record is None:
            # Handed out before its pool was deleted: the order waits in the queue for a pool of this name.
            return Reason.NO_POOL, f'there is no pool "{name}" any more: create the SoldierPool to run it'
        if record.paused:
            return Reason.SUSPENDED, f'pool "{name}" is paused: set spec.paused of the SoldierPool to false'
        if self._broker_is_away():
            return Reason.WAITING_FOR_SOLDIER, BROKER_AWAY
        taking = [seen.registration.concurrency for seen in self._garrison.soldiers_of(pool) if seen.is_taking]
        return _why_no_slot(record, soldiers=len(taking), slots=sum(taking))


def _why_no_slot(pool: PoolRecord, *, soldiers: int, slots: int) -> tuple[Reason, str]:
    name, wanted, most = pool.name, pool.replicas, pool.max_replicas
    if most == 0:
        return Reason.POOL_AT_MAX, f'pool "{name}" is pinned to no soldier: raise or remove spec.replicas'
    if wanted and soldiers < wanted:
        return Reason.POOL_SCALING_UP, f'{soldiers} of {wanted} soldiers of pool "{name}" take missions yet'
    if not soldiers:
        return Reason.POOL_SCALING_UP, f'pool "{name}" has no soldier that takes missions yet'
    in_use = f'all {slots} slots of pool "{name}" are in use by {soldiers} soldier(s)'
    if wanted is not None and most is not None and wanted < most:
        return Reason.WAITING_FOR_SOLDIER, f"{in_use}; its autoscaler holds that to be enough"
    return Reason.POOL_AT_MAX, f"{in_use}, and there will be no more"


def _is_told(mission: Mission, reason: Reason, message: str) -> bool:
    """By its reason: the numbers in a message change all the time. Only the broker's absence must not be outlived."""
    return mission.reason is reason and (mission.message == BROKER_AWAY) == (message == BROKER_AWAY)


def _tell(waiting: Mission, reason: Reason, message: str) -> Command[None]:
    def decide(mission: Mission | None, moment: Moment) -> Decision[None]:
        if mission is None or mission.epoch != waiting.epoch:
            return Decision(None)
        return Decision(None, explain(mission, moment, reason, message, in_other_words=True))

    return Command(waiting.id, decide)
