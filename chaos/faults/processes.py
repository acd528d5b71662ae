"""Processes of ours that die, freeze, or are told to leave."""

import asyncio
from typing import Final

from chaos.faults.base import Clock, Fault, Stuck
from chaos.ground import COMMANDERS, OPERATOR, SECOND_OPERATOR, SLOTS, Ground

AT_ONCE: Final = (0.0, 0.2)
"""A container that ended is started again at once."""


class SoldierKilled(Fault):
    name = "soldier-killed"
    sentence = "kill -9 of a soldier that runs missions"
    lasts_seconds = AT_ONCE
    clock = Clock.STRIKE
    stuck = Stuck.HELD
    repeats = SLOTS

    async def strike(self, ground: Ground) -> None:
        await ground.parts[self.soldier].kill()

    async def end(self, ground: Ground) -> None:
        await ground.parts[self.soldier].start()


class SoldierFrozen(Fault):
    name = "soldier-frozen"
    sentence = "SIGSTOP of a soldier past its lease, then SIGCONT"
    clock = Clock.STRIKE
    stuck = Stuck.HELD
    repeats = SLOTS

    async def strike(self, ground: Ground) -> None:
        ground.parts[self.soldier].freeze()
        await asyncio.sleep(self.lease_seconds * 1.5)

    async def end(self, ground: Ground) -> None:
        ground.parts[self.soldier].thaw()


class SoldierLeaves(Fault):
    name = "soldier-leaves"
    sentence = "SIGTERM of a soldier under load, as a deploy or a scale-in does"
    clock = Clock.STRIKE

    async def strike(self, ground: Ground) -> None:
        await ground.parts[self.soldier].leave()

    async def end(self, ground: Ground) -> None:
        await ground.parts[self.soldier].start()


class PoisonMission(Fault):
    name = "poison-mission"
    sentence = "a mission kills the process of each soldier that runs it"
    clock = Clock.STRIKE
    repeats = SLOTS
    brings_poison = True

    async def strike(self, ground: Ground) -> None:
        """It comes among the missions of its round."""


class CommanderKilled(Fault):
    name = "commander-killed"
    sentence = "kill -9 of one of two Commanders"
    lasts_seconds = AT_ONCE
    clock = Clock.STRIKE

    async def strike(self, ground: Ground) -> None:
        await ground.parts[self.commander].kill()

    async def end(self, ground: Ground) -> None:
        await ground.parts[self.commander].start()


class CommandersKilled(Fault):
    name = "commanders-killed"
    sentence = "kill -9 of both Commanders at once"
    lasts_seconds = AT_ONCE
    clock = Clock.END

    async def strike(self, ground: Ground) -> None:
        await asyncio.gather(*(ground.parts[name].kill() for name in COMMANDERS))

    async def end(self, ground: Ground) -> None:
        await asyncio.gather(*(ground.parts[name].start() for name in COMMANDERS))


class CommanderFrozen(Fault):
    name = "commander-frozen"
    sentence = "SIGSTOP of one of two Commanders past a lease, then SIGCONT"
    clock = Clock.STRIKE

    async def strike(self, ground: Ground) -> None:
        ground.parts[self.commander].freeze()
        await asyncio.sleep(self.lease_seconds * 1.2)

    async def end(self, ground: Ground) -> None:
        ground.parts[self.commander].thaw()


class CommanderLeaves(Fault):
    name = "commander-leaves"
    sentence = "SIGTERM of one of two Commanders under load, as a deploy does"
    clock = Clock.STRIKE

    async def strike(self, ground: Ground) -> None:
        await ground.parts[self.commander].leave()

    async def end(self, ground: Ground) -> None:
        await ground.parts[self.commander].start()


class OperatorKilled(Fault):
    name = "operator-killed"
    sentence = "kill -9 of the operator"
    lasts_seconds = AT_ONCE
    clock = Clock.STRIKE
    stuck = Stuck.OBJECTS

    async def strike(self, ground: Ground) -> None:
        await ground.parts[OPERATOR].kill()

    async def end(self, ground: Ground) -> None:
        await ground.parts[OPERATOR].start()


class OperatorFrozen(Fault):
    name = "operator-frozen"
    sentence = "SIGSTOP of the operator past its Lease, then SIGCONT"
    clock = Clock.END
    stuck = Stuck.OBJECTS
    lasts_seconds = (3.5, 4.5)

    async def strike(self, ground: Ground) -> None:
        ground.parts[OPERATOR].freeze()

    async def end(self, ground: Ground) -> None:
        ground.parts[OPERATOR].thaw()


class OperatorAway(Fault):
    name = "operator-away"
    sentence = "the operator is not there while missions end"
    clock = Clock.END
    stuck = Stuck.OBJECTS
    lasts_seconds = (3.0, 5.0)

    async def strike(self, ground: Ground) -> None:
        await ground.parts[OPERATOR].leave()

    async def end(self, ground: Ground) -> None:
        await ground.parts[OPERATOR].start()


class TwoOperators(Fault):
    name = "two-operators"
    sentence = "two operators act at once"
    clock = Clock.STRIKE
    stuck = Stuck.OBJECTS
    lasts_seconds = (1.0, 2.0)

    async def strike(self, ground: Ground) -> None:
        second = ground.parts[SECOND_OPERATOR]
        await second.start()
        await second.until_serving()

    async def end(self, ground: Ground) -> None:
        await ground.parts[SECOND_OPERATOR].leave()


PROCESSES: Final = (
    SoldierKilled,
    SoldierFrozen,
    SoldierLeaves,
    PoisonMission,
    CommanderKilled,
    CommandersKilled,
    CommanderFrozen,
    CommanderLeaves,
    OperatorKilled,
    OperatorFrozen,
    OperatorAway,
    TwoOperators,
)
