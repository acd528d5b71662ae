"""Numbers and what is made of them: rates, percentiles, and the share of a bound that we reach."""

from collections.abc import Mapping, Sequence

import msgspec


class BenchError(Exception):
    """A number that would not mean anything: something got lost, ran twice, or took too long."""


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How much of everything; large enough that start and end do not matter, small enough to end."""

    amqp: int = 20_000
    redis: int = 20_000
    patches: int = 2_000
    single: int = 4_000
    batch: int = 15_000
    objects: int = 1_500
    idle: int = 200
    patience_seconds: float = 120

    @classmethod
    def quick(cls) -> "Sizes":
        return cls(
            amqp=6_000,
            redis=6_000,
            patches=600,
            single=1_200,
            batch=5_000,
            objects=400,
            idle=50,
            patience_seconds=40,
        )


class Rate(msgspec.Struct, frozen=True):
    """So many in so long."""

    count: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.count / self.seconds


class Latency(msgspec.Struct, frozen=True):
    """How long one takes while nothing else happens."""

    count: int
    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency":
        return cls(len(seconds), percentile(seconds, 50) * 1e3, percentile(seconds, 99) * 1e3)


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """What a server gives a client that does nothing else."""

    name: str
    how: str
    rate: Rate | None = None
    latency: Latency | None = None


class Ours(msgspec.Struct, frozen=True, kw_only=True):
    """What one door of Mission Control gives, and the limit it cannot be faster than."""

    name: str
    how: str
    rate: Rate
    latency: Latency
    bound: str
    """The limit's name."""


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least so many percent of all do not exceed (nearest rank)."""
    if not values:
        raise ValueError("there is no percentile of nothing")
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(int(rank), 1) - 1]


def ratio(ours: Ours, limits: Sequence[Limit]) -> float | None:
    """Ours ÷ bound; None where that limit was not measured."""
    rates: Mapping[str, Rate | None] = {limit.name: limit.rate for limit in limits}
    bound = rates.get(ours.bound)
    return None if bound is None else ours.rate.per_second / bound.per_second
