"""The last table in the documentation: a block between two comments, written by a run and by nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from chaos.errors import ChaosError
from chaos.measures import Row, closing_line, rows
from chaos.report import Report

BEGIN: Final = "<!-- chaos:begin -->"
END: Final = "<!-- chaos:end -->"
_BLOCK: Final = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
_COLUMNS: Final = (
    "Fault",
    "Accepted",
    "Final",
    "Lost",
    "Stuck",
    "Double",
    "Other",
    "Extra executions",
    "Seconds to first end",
    "Seconds to recover",
    "Throughput after ÷ before",
    "During ÷ before",
)


def write(page: Path, report: Report) -> None:
    """Put what a run found in its place in a page."""
    text = page.read_text()
    if not _BLOCK.search(text):
        raise ChaosError(f"{page} has no place for the table: it needs the lines {BEGIN} and {END}")
    page.write_text(_BLOCK.sub(lambda _: block(report), text))


def block(report: Report) -> str:
    """The table, what it was taken on, and the last line, in Markdown."""
    return "\n".join((BEGIN, *_lines(report), END))


def _lines(report: Report) -> Iterator[str]:
    found = rows(report.outcomes)
    repeats = max((row.rounds for row in found), default=0)
    yield f"| {' | '.join(_COLUMNS)} |"
    yield f"| --- |{' ---: |' * (len(_COLUMNS) - 1)}"
    yield from (f"| {' | '.join(_cells(row))} |" for row in found)
    yield ""
    yield f"**{closing_line(report.outcomes)}**"
    yield ""
    yield (
        f"Counts are sums, times and ratios medians of {repeats}; lease {report.lease_seconds:g} s; "
        f"seed {report.seed}; commit {report.commit or 'unknown'}; {report.taken_at}."
    )
    yield f"{report.machine.sentence}: servers, processes, proxies and clients all ran on it."
    yield f"{', '.join(f'{name} {version}' for name, version in report.versions.items())}."


def _cells(row: Row) -> Iterator[str]:
    yield row.fault
    yield from map(str, (row.accepted, row.final, row.lost, row.stuck, row.double, row.other, row.extra_executions))
    yield from (_number(seconds, 1) for seconds in (row.first_seconds, row.recovered_seconds))
    yield _number(row.throughput_ratio, 2)
    yield _number(row.during_ratio, 2)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
