"""Numbers of rounds, and what several rounds of one fault come to. Pure.

**Seconds to recover** run from the fault's strike, where something is gone for good and has to be noticed and made up
for (a soldier that dies, a connection that is cut), or from the fault's end, where nothing can go on before what was
broken is back (RabbitMQ accepts connections again). They end when everything is final again that the fault caught: what
its victims ran (a soldier), what came in as an object (operator, API server), else all that was accepted before it was
over and not final when the clock began. The slowest mission is the figure. One that was accepted after the clock began
counts from its acceptance, and one that has to run anew is not charged with its handler's own time. Everything else is
in it: the queue that has piled up, retries, the load of this machine.

**Seconds to the first end** have the same beginning, and end when the first of them is final: somebody works again.

Objects count as final when a watch shows it, others when the ledger says it.

**Throughput** is the number of short missions of a wave by the seconds from its first submission to its last end:
one such wave runs before the fault, one of the same size when all that met the fault is final. Under a load, which
breaks nothing, such a wave of other users runs while it lasts too.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from chaos.judge import Verdict, Violation, Wrong


class Caught(msgspec.Struct, frozen=True, kw_only=True):
    """A mission that a fault caught."""

    accepted_at: float
    final_at: float
    redone: float = 0.0
    """Seconds that its handler needs by itself, where its work was lost."""


class Recovery(NamedTuple):
    """None where the fault caught nothing."""

    first_seconds: float | None
    all_seconds: float | None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one round went."""

    fault: str
    number: int
    verdict: Verdict
    first_seconds: float | None
    """None where the fault caught nothing."""
    recovered_seconds: float | None
    before_per_second: float
    after_per_second: float
    during_per_second: float | None = None
    """Of a wave while the fault lasted, where nothing is broken meanwhile."""
    took_seconds: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One fault, over all its rounds: counts are sums, times and ratios are medians."""

    fault: str
    rounds: int
    accepted: int
    final: int
    lost: int
    stuck: int
    double: int
    other: int
    """Statuses that moved backwards, wrong blame, repeats that nothing explains, and the like."""
    extra_executions: int
    first_seconds: float | None
    recovered_seconds: float | None
    throughput_ratio: float | None
    before_per_second: float
    during_ratio: float | None = None


def rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """Give one row for each fault, in the order of the first rounds."""
    by_fault: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_fault.setdefault(outcome.fault, []).append(outcome)
    return [_row(fault, rounds) for fault, rounds in by_fault.items()]


def _row(fault: str, rounds: Sequence[Outcome]) -> Row:
    counts = totals(rounds)
    ratios = [one.after_per_second / one.before_per_second for one in rounds if one.before_per_second]
    during = [
        one.during_per_second / one.before_per_second
        for one in rounds
        if one.before_per_second and one.during_per_second is not None
    ]
    named = {Wrong.LOST, Wrong.STUCK, Wrong.DOUBLE}
    return Row(
        fault=fault,
        rounds=len(rounds),
        accepted=sum(one.verdict.accepted for one in rounds),
        final=sum(one.verdict.final for one in rounds),
        lost=counts[Wrong.LOST],
        stuck=counts[Wrong.STUCK],
        double=counts[Wrong.DOUBLE],
        other=sum(count for wrong, count in counts.items() if wrong not in named),
        extra_executions=sum(one.verdict.extra_executions for one in rounds),
        first_seconds=_median(one.first_seconds for one in rounds),
        recovered_seconds=_median(one.recovered_seconds for one in rounds),
        throughput_ratio=_median(ratios),
        before_per_second=_median(one.before_per_second for one in rounds) or 0.0,
        during_ratio=_median(during),
    )


def totals(outcomes: Sequence[Outcome]) -> Mapping[Wrong, int]:
    return {wrong: sum(one.verdict.count(wrong) for one in outcomes) for wrong in Wrong}


def closing_line(outcomes: Sequence[Outcome]) -> str:
    """The last line of a run."""
    counts = totals(outcomes)
    missions = sum(one.verdict.accepted for one in outcomes)
    faults = len({one.fault for one in outcomes})
    line = (
        f"{missions} missions, {faults} faults: "
        f"{counts[Wrong.LOST]} lost, {counts[Wrong.STUCK]} stuck, {counts[Wrong.DOUBLE]} double"
    )
    others = [f"{count} {wrong}" for wrong, count in counts.items() if count and wrong.value not in line]
    return ", ".join((line, *others))


def violations(outcomes: Sequence[Outcome]) -> list[tuple[Outcome, Violation]]:
    return [(one, violation) for one in outcomes for violation in one.verdict.violations]


def recovery(clock_at: float, caught: Iterable[Caught]) -> Recovery:
    """Seconds until the first of what a fault caught was final, and until all of it was."""
    waits = [(one.final_at - clock_at, one.final_at - max(clock_at, one.accepted_at) - one.redone) for one in caught]
    if not waits:
        return Recovery(None, None)
    return Recovery(min(first for first, _ in waits), max(0.0, *(wait for _, wait in waits)))


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
