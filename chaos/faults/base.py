"""What a fault is: it strikes, it is over, and it says what it can have cut off."""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import ClassVar, Final

from chaos.doors import RestDoor
from chaos.ground import COMMANDERS, SLOTS, SOLDIERS, Ground
from chaos.history import Asked, Away, Status

ALL_SLOTS: Final = SLOTS * len(SOLDIERS)


class Clock(StrEnum):
    """What the seconds to recover are counted from."""

    STRIKE = "strike"
    """Something is gone or cut off for good, and has to be noticed and made up for."""
    END = "end"
    """Nothing can go on before what was broken is back."""


class Stuck(StrEnum):
    """Which missions the fault catches; when all of them are final it is recovered from."""

    ALL = "all"
    HELD = "held"
    """Those that its victims ran."""
    OBJECTS = "objects"
    """Also those created before it was noticed."""


class Fault(ABC):
    """One fault, with a victim that it drew."""

    name: ClassVar[str]
    sentence: ClassVar[str]
    lasts_seconds: ClassVar[tuple[float, float]] = (0.3, 1.5)
    """Between its strike and its end."""
    clock: ClassVar[Clock] = Clock.END
    stuck: ClassVar[Stuck] = Stuck.ALL
    repeats: ClassVar[int] = 0
    """Executions that it may cut off, and that are therefore made again."""
    brings_poison: ClassVar[bool] = False
    brings_long: ClassVar[bool] = False
    """Whether some of its missions run for two leases."""
    is_load: ClassVar[bool] = False
    """Whether nothing is broken: others' missions are measured while it lasts."""
    away: ClassVar[Away | None] = None
    """Who is not there from its strike to its end, while all others are well."""
    purges: ClassVar[bool] = False
    """Whether the ledger is purged of what was final before, and of what becomes final in its round."""
    forgets: ClassVar[bool] = False
    """Whether the ledger may afterwards lack missions that were final before any living Commander began."""

    def __init__(self, seed: str, *, lease_seconds: float) -> None:
        chance = random.Random(seed)
        self.lease_seconds = lease_seconds
        self.soldier = chance.choice(SOLDIERS)
        self.commander = chance.choice(COMMANDERS)

    @property
    def victims(self) -> tuple[str, ...]:
        """Soldiers whose missions it holds up."""
        return (self.soldier,) if self.stuck is Stuck.HELD else ()

    async def live_before(
        self,
        ground: Ground,  # noqa: ARG002  # most faults need no time before them
        rest: RestDoor,  # noqa: ARG002
        asked: Sequence[Asked],  # noqa: ARG002
    ) -> Mapping[str, Status]:
        """Let something happen before the round, which the history leaves out; `asked` are the missions that will meet
        the fault. Return the ends, by mission id, of what used their keys."""
        return {}

    async def live_after(self, ground: Ground) -> None:  # noqa: B027  # most faults change nothing for good
        """Leave the ground as the next round expects it."""

    async def prepare(self, ground: Ground) -> None:  # noqa: B027  # most faults need nothing
        """Do what has to be done before missions run."""

    @abstractmethod
    async def strike(self, ground: Ground) -> None:
        """Break it."""

    async def end(self, ground: Ground) -> None:  # noqa: B027  # some faults are over at once
        """Mend it; return when it is mended for the world outside. ChaosError when it never struck."""
