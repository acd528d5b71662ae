"""What a run found, for eyes (a table and one last line) and for programs (JSON)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from benchmarks.machine import Machine
from rich.console import Console
from rich.table import Table

from chaos.errors import ChaosError
from chaos.measures import Outcome, Row, closing_line, rows, violations

SHOWN_VIOLATIONS = 20


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    taken_at: str
    commit: str
    seed: int
    lease_seconds: float
    machine: Machine
    versions: Mapping[str, str]
    outcomes: Sequence[Outcome]
    surprises: Sequence[str]
    """What went wrong beside the missions: a process that crashed, an answer 500, a result that changed later."""

    @property
    def is_clean(self) -> bool:
        return not self.surprises and all(one.verdict.is_clean for one in self.outcomes)


def as_json(report: Report) -> bytes:
    content = msgspec.to_builtins(report) | {
        "rows": msgspec.to_builtins(rows(report.outcomes)),
        "closing_line": closing_line(report.outcomes),
    }
    return msgspec.json.format(msgspec.json.encode(content)) + b"\n"


def read(file: Path) -> Report:
    """Read what `as_json` wrote. Raises ChaosError."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Report)
    except (OSError, msgspec.MsgspecError) as error:
        raise ChaosError(f"{file} holds no report of a run: {error}") from error


def show(report: Report, console: Console) -> None:
    """Print all of it; the closing line comes last."""
    found = rows(report.outcomes)
    console.print(_table(found))
    console.print(f"{report.machine.sentence}; servers, processes, proxies and clients all run on it")
    console.print(", ".join(f"{name} {version}" for name, version in report.versions.items()))
    console.print(f"lease {report.lease_seconds:g} s; seed {report.seed}; commit {report.commit or 'unknown'}")
    for outcome, violation in violations(report.outcomes)[:SHOWN_VIOLATIONS]:
        where = f"{outcome.fault} (round {outcome.number})"
        console.print(f"[red]{violation.wrong}[/red] {where}: {violation.subject} {violation.sentence}", soft_wrap=True)
    for surprise in report.surprises:
        console.print(f"[red]surprise[/red] {surprise}", soft_wrap=True)
    console.print(closing_line(report.outcomes), soft_wrap=True)


def _table(found: Sequence[Row]) -> Table:
    table = Table(title="Chaos: what each fault did to the missions", title_justify="left")
    table.add_column("fault")
    for title in (
        "accepted",
        "final",
        "lost",
        "stuck",
        "double",
        "other",
        "extra executions",
        "s to first end",
        "s to recover",
        "throughput after ÷ before",
        "during ÷ before",
    ):
        table.add_column(title, justify="right")
    for row in found:
        table.add_row(
            row.fault,
            *map(str, (row.accepted, row.final, row.lost, row.stuck, row.double, row.other, row.extra_executions)),
            _seconds(row.first_seconds),
            _seconds(row.recovered_seconds),
            *("" if ratio is None else f"{ratio:.2f}" for ratio in (row.throughput_ratio, row.during_ratio)),
        )
    return table


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"
