"""What was measured, for eyes (a table) and for programs (JSON)."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.machine import Machine
from benchmarks.measures import Latency, Limit, Ours, Rate, ratio


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    taken_at: str
    commit: str
    is_quick: bool
    soldiers: int
    machine: Machine
    versions: Mapping[str, str]
    limits: Sequence[Limit]
    ours: Sequence[Ours]
    checks: str


def as_json(report: Report) -> bytes:
    """With rates and ratios worked out, so that a reader need not divide."""
    content: dict[str, Any] = msgspec.to_builtins(report)
    for shown, limit in zip(content["limits"], report.limits, strict=True):
        shown["per_second"] = limit.rate.per_second if limit.rate else None
    for shown, ours in zip(content["ours"], report.ours, strict=True):
        shown["per_second"] = ours.rate.per_second
        shown["ratio"] = ratio(ours, report.limits)
    return msgspec.json.format(msgspec.json.encode(content)) + b"\n"


def show(report: Report, console: Console) -> None:
    """Print all of it."""
    console.print(_ours(report))
    console.print(_limits(report))
    how: Sequence[Ours | Limit] = (*report.ours, *report.limits)
    for one in how:
        console.print(f"[dim]{one.name}: {one.how}[/dim]")
    console.print(f"{report.machine.sentence}; everything, the load too, runs on it")
    console.print(", ".join(f"{name} {version}" for name, version in report.versions.items()))
    console.print(f"{report.soldiers} soldier process(es); commit {report.commit or 'unknown'}; {report.checks}")


def _ours(report: Report) -> Table:
    table = Table(title="Mission Control: noop missions, submit to final", title_justify="left")
    for title in ("door", "missions/s", "idle p50", "idle p99", "bound", "bound/s", "ours ÷ bound"):
        table.add_column(title, justify="left" if title in ("door", "bound") else "right")
    rates = {limit.name: limit.rate for limit in report.limits}
    for ours in report.ours:
        share = ratio(ours, report.limits)
        table.add_row(
            ours.name,
            _rate(ours.rate),
            *_latency(ours.latency),
            ours.bound,
            _rate(rates.get(ours.bound)),
            "" if share is None else f"{share:.2f}",
        )
    return table


def _limits(report: Report) -> Table:
    table = Table(title="Bare limits of the same run", title_justify="left")
    for title in ("what", "per second", "alone p50", "alone p99"):
        table.add_column(title, justify="left" if title == "what" else "right")
    for limit in report.limits:
        table.add_row(limit.name, _rate(limit.rate), *_latency(limit.latency))
    return table


def _rate(rate: Rate | None) -> str:
    return "" if rate is None else f"{rate.per_second:,.0f}"


def _latency(latency: Latency | None) -> tuple[str, str]:
    return ("", "") if latency is None else (f"{latency.p50_ms:.1f} ms", f"{latency.p99_ms:.1f} ms")
