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
MEDIUM_SECONDS: Final = (0.0, 0.2)
LONG_SECONDS: Final = (0.2, 0.8)
"""Longer than a fault takes to strike, so that it finds something under way; less where very many are."""
MOST_WORK_SECONDS: Final = 40.0
"""Of all that is under way together: some 2 s of all soldiers, so that a recovery is no mere working off."""
LONGEST_LEASES: Final = 2.0
LONG_ONES: Final = 12
"""Of the missions that run for two leases, where a fault wants some: enough for each soldier to have one."""
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
    @property
    def brings_long(self) -> bool: ...
    @property
    def is_load(self) -> bool: ...


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


def plans(
    faults: Sequence[Scheduled], *, missions: int, repeat: int, seed: int, lease_seconds: float = 6.0
) -> list[Plan]:
    """Give every round in its order: each fault once, in an order drawn anew, and all that again."""
    order = random.Random(f"{seed}/order")
    found = []
    for number in range(1, repeat + 1):
        turn = list(faults)
        order.shuffle(turn)
        sizes = dict(zip((one.name for one in faults), _sizes(missions, len(faults)), strict=True))
        found += [plan(fault, number, sizes[fault.name], seed, lease_seconds=lease_seconds) for fault in turn]
    return found


def plan(fault: Scheduled, number: int, missions: int, seed: int, *, lease_seconds: float = 6.0) -> Plan:
    """Draw one round."""
    own = f"{seed}/{fault.name}/{number}"
    chance = random.Random(own)
    names = _names(fault.name, number)
    counts = {wave: round(missions * share) for wave, share in SHARES.items()}
    quick = [_quick(next(names), chance) for _ in range(2 * counts["before"])]
    counts["late"] = missions - 2 * counts["before"] - counts["running"] - counts["during"]
    waves = {
        "running": [_mixed(next(names), chance, _lengths(counts["running"])) for _ in range(counts["running"])],
        "during": [_mixed(next(names), chance, MEDIUM_SECONDS) for _ in range(counts["during"])],
        "late": [_mixed(next(names), chance, MEDIUM_SECONDS) for _ in range(counts["late"])],
    }
    if fault.is_load:  # it compares with the wave before, so it is of the same kind and, where there are enough, size
        waves["during"] = [_quick(one.key, chance) for one in waves["during"]]
    if fault.brings_long:
        waves["running"] = [*_long(waves["running"][:LONG_ONES], lease_seconds), *waves["running"][LONG_ONES:]]
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


def _lengths(count: int) -> tuple[float, float]:
    """How long so many may work, if all is to be done in bounded time."""
    low, high = LONG_SECONDS
    share = min(1.0, MOST_WORK_SECONDS / max(1, count) / ((low + high) / 2))
    return low * share, high * share


def _long(some: Sequence[Asked], lease_seconds: float) -> list[Asked]:
    seconds = LONGEST_LEASES * lease_seconds
    return [msgspec.structs.replace(one, kind=Kind.WORK, seconds=seconds, cancels=False) for one in some]


def _mixed(key: str, chance: random.Random, lengths: tuple[float, float]) -> Asked:
    kinds = [Kind.FLAKY, Kind.HOPELESS, Kind.WORK]
    [kind] = chance.choices(kinds, [FLAKY, HOPELESS, 1 - FLAKY - HOPELESS])
    door = _door(chance)
    cancels = kind is Kind.WORK and door is Door.REST and chance.random() < CANCELLED
    return Asked(key=key, door=door, kind=kind, seconds=round(chance.uniform(*lengths), 3), cancels=cancels)


def _door(chance: random.Random) -> Door:
    return Door.OBJECT if chance.random() < OBJECTS else Door.REST
