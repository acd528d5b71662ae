"""What each round consists of, drawn from a seed. Pure: the same seed gives the same missions, victims and moments.

A round sends missions in five waves: `before` and `after` measure how fast all is well; `running` is under way when the
fault strikes, `during` arrives while it lasts, and `late` when it is over.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import msgspec

from chaos.history import Asked, Door, Kind

SHARES: Final = {"before": 0.25, "running": 0.22, "during": 0.2}
"""Of a round's missions; `after` has as many as `before`, so that the two compare, and `late` has the rest."""
OBJECTS: Final = 0.3
CANCELLED: Final = 0.06
FLAKY: Final = 0.06
HOPELESS: Final = 0.05
SHORT_SECONDS: Final = (0.0, 0.05)
LONG_SECONDS: Final = (0.2, 0.8)
"""Longer than a fault takes to strike, so that it finds something under way."""
FEWEST: Final = 20
"""Missions that a round needs to prove anything."""


class Scheduled(Protocol):
    """A fault, as far as its schedule goes."""

    @property
    def name(self) -> str: ...
    @property
    def lasts_seconds(self) -> tuple[float, float]: ...
    @property
    def brings_poison(self) -> bool: ...


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One round."""

    fault: str
    number: int
    """Which time it is this fault's turn, from 1."""
    seed: str
    """For what the fault itself draws, such as its victim."""
    before: tuple[Asked, ...]
    running: tuple[Asked, ...]
    during: tuple[Asked, ...]
    late: tuple[Asked, ...]
    after: tuple[Asked, ...]
    begun: int
    """The fault strikes when so many of `running` have begun."""
    lasts_seconds: float

    @property
    def caught(self) -> tuple[Asked, ...]:
        """The missions that meet the fault."""
        return (*self.running, *self.during, *self.late)

    @property
    def missions(self) -> tuple[Asked, ...]:
        return (*self.before, *self.caught, *self.after)


def plans(faults: Sequence[Scheduled], *, missions: int, repeat: int, seed: int) -> list[Plan]:
    """Give every round in its order: each fault once, in an order drawn anew, and all that again."""
    order = random.Random(f"{seed}/order")
    found = []
    for number in range(1, repeat + 1):
        turn = list(faults)
        order.shuffle(turn)
        sizes = dict(zip((one.name for one in faults), _sizes(missions, len(faults)), strict=True))
        found += [plan(fault, number, sizes[fault.name], seed) for fault in turn]
    return found


def plan(fault: Scheduled, number: int, missions: int, seed: int) -> Plan:
    """Draw one round."""
    own = f"{seed}/{fault.name}/{number}"
    chance = random.Random(own)
    names = _names(fault.name, number)
    counts = {wave: round(missions * share) for wave, share in SHARES.items()}
    quick = [_quick(next(names), chance) for _ in range(2 * counts["before"])]
    counts["late"] = missions - 2 * counts["before"] - counts["running"] - counts["during"]
    waves = {wave: [_mixed(next(names), chance) for _ in range(counts[wave])] for wave in ("running", "during", "late")}
    if fault.brings_poison:
        waves["during"][0] = msgspec.structs.replace(waves["during"][0], kind=Kind.POISON, cancels=False)
    return Plan(
        fault=fault.name,
        number=number,
        seed=own,
        before=tuple(quick[: counts["before"]]),
        running=tuple(waves["running"]),
        during=tuple(waves["during"]),
        late=tuple(waves["late"]),
        after=tuple(quick[counts["before"] :]),
        begun=chance.randint(1, max(1, counts["running"] // 2)),
        lasts_seconds=chance.uniform(*fault.lasts_seconds),
    )


def _sizes(missions: int, rounds: int) -> list[int]:
    """Share out: all of them, and no round with too few."""
    each, rest = divmod(missions, rounds)
    return [max(FEWEST, each + (index < rest)) for index in range(rounds)]


def _names(fault: str, number: int) -> Iterator[str]:
    count = 0
    while True:
        count += 1
        yield f"{fault}-{number}-{count:04}"


def _quick(key: str, chance: random.Random) -> Asked:
    return Asked(key=key, door=_door(chance), kind=Kind.WORK, seconds=round(chance.uniform(*SHORT_SECONDS), 3))


def _mixed(key: str, chance: random.Random) -> Asked:
    kinds = [Kind.FLAKY, Kind.HOPELESS, Kind.WORK]
    [kind] = chance.choices(kinds, [FLAKY, HOPELESS, 1 - FLAKY - HOPELESS])
    door = _door(chance)
    cancels = kind is Kind.WORK and door is Door.REST and chance.random() < CANCELLED
    return Asked(key=key, door=door, kind=kind, seconds=round(chance.uniform(*LONG_SECONDS), 3), cancels=cancels)


def _door(chance: random.Random) -> Door:
    return Door.OBJECT if chance.random() < OBJECTS else Door.REST
