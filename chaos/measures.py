"""Numbers of rounds, and what several rounds of one fault come to. Pure.

**Seconds to recover** run from the fault's strike, where something is gone for good and has to be noticed and made up
for (a soldier that dies, a connection that is cut), or from the fault's end, where nothing can go on before what was
broken is back (RabbitMQ accepts connections again). They end when the first mission is final that the fault held up:
one that its victims ran (a soldier), one that came in as an object (operator, API server), else any that was accepted
and not final by then. **Seconds until all final** end with the last of those. Objects count as final when a watch shows
it, others when the ledger says it.

**Throughput** is the number of short missions of a wave by the seconds from its first submission to its last end:
one such wave runs before the fault, one of the same size when all that met the fault is final.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from chaos.judge import Verdict, Violation, Wrong


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one round went."""

    fault: str
    number: int
    verdict: Verdict
    recovered_seconds: float | None
    """None where the fault held up nothing."""
    all_final_seconds: float | None
    before_per_second: float
    after_per_second: float
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
    recovered_seconds: float | None
    all_final_seconds: float | None
    throughput_ratio: float | None
    before_per_second: float


def rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """Give one row for each fault, in the order of the first rounds."""
    by_fault: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_fault.setdefault(outcome.fault, []).append(outcome)
    return [_row(fault, rounds) for fault, rounds in by_fault.items()]


def _row(fault: str, rounds: Sequence[Outcome]) -> Row:
    counts = totals(rounds)
    ratios = [one.after_per_second / one.before_per_second for one in rounds if one.before_per_second]
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
        recovered_seconds=_median(one.recovered_seconds for one in rounds),
        all_final_seconds=_median(one.all_final_seconds for one in rounds),
        throughput_ratio=_median(ratios),
        before_per_second=_median(one.before_per_second for one in rounds) or 0.0,
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


def recovery(clock_at: float, final_at: Iterable[float | None]) -> tuple[float | None, float | None]:
    """Seconds until the first and the last of the held up missions was final."""
    seconds = [max(0.0, at - clock_at) for at in final_at if at is not None]
    return (min(seconds), max(seconds)) if seconds else (None, None)


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
