"""Runs the stages of the test suite one after the other, and says at the end how each went.

A failed stage does not stop the later ones: one run tells everything that is wrong. What this machine could not run is
named with the reason; with CI=true that is a failure.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools import junit
from tools.junit import Counts
from tools.stack import pairs

ROOT = Path(__file__).parents[1]
NO_TESTS = Counts()
KILL_AFTER_SECONDS = 120.0
MINUTE = 60.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One command of a test run."""

    name: str
    command: tuple[str, ...]
    timeout_seconds: float
    """What hangs although every test has a timeout, such as a teardown, is interrupted then."""
    is_pytest: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    may_fail: bool = False
    """Its failure means that less can run here, which the skipped tests tell; CI accepts none of it."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a stage went."""

    stage: str
    seconds: float
    failed: bool
    counts: Counts = NO_TESTS


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    in_ci = os.environ.get("CI") == "true"
    outcomes = [*_setup(options.setup_seconds), *(_run(STAGES[name]) for name in options.stages)]
    print("\n".join(report(outcomes, in_ci=in_ci)), flush=True)
    return 1 if _is_bad(outcomes, in_ci=in_ci) else 0


def _is_bad(outcomes: Sequence[Outcome], *, in_ci: bool) -> bool:
    failed = {outcome.stage for outcome in outcomes if outcome.failed}
    fatal = {name for name in failed if in_ci or not STAGES[name].may_fail}
    return bool(fatal) or (in_ci and bool(_total(outcomes).reasons))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.test_run", description=__doc__)
    parser.add_argument("stages", nargs="+", choices=STAGES, metavar="STAGE", help=f"some of: {', '.join(STAGES)}")
    parser.add_argument("--setup-seconds", type=float, default=0, help="what `make setup` took before, for the table")
    return parser


def _pytest(name: str, marked: str, *, minutes: int, environment: Mapping[str, str] | None = None) -> Stage:
    """All of `tests/`, chosen by marks alone, so that no folder is ever forgotten."""
    options = ("-q", "--durations=25", "--durations-min=2", "--continue-on-collection-errors", "-m", marked)
    command = (sys.executable, "-m", "pytest", *options)
    seconds = minutes * MINUTE
    return Stage(name=name, command=command, timeout_seconds=seconds, is_pytest=True, environment=environment or {})


def _prepare(name: str, *options: str) -> Stage:
    command = (sys.executable, "-m", "tools.stack", "prepare", *options)
    return Stage(name=name, command=command, timeout_seconds=40 * MINUTE, may_fail=True)


STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(name="check", command=("make", "check"), timeout_seconds=30 * MINUTE),
        _pytest("unit", "not real and not kube and not long and not e2e", minutes=25),
        _prepare("servers"),
        _pytest("real", "(real or kube) and not long and not e2e", minutes=55),
        _prepare("trixie-servers", "--only=redis,rabbitmq", "--pair=trixie"),
        _pytest("long", "long and not e2e", minutes=240),
        # The same tests on RabbitMQ 4.0 and Redis 8; those of the API server alone would learn nothing from it.
        _pytest("trixie", "real and not long and not e2e", minutes=60, environment={pairs.VARIABLE: pairs.Pair.TRIXIE}),
        _pytest("e2e", "e2e and not long", minutes=50),
        _pytest("long-e2e", "e2e and long", minutes=120),
    )
}


def _setup(seconds: float) -> list[Outcome]:
    """`make setup` runs before this program can: it makes the environment that we run in."""
    return [Outcome(stage="setup", seconds=seconds, failed=False)] if seconds else []


def _run(stage: Stage) -> Outcome:
    print(f"\n── {stage.name} " + "─" * (70 - len(stage.name)), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = (*stage.command, f"--junit-xml={report}") if stage.is_pytest else stage.command
        began = time.monotonic()
        environment = os.environ | stage.environment
        code = _code_of(command, environment, stage.timeout_seconds)
        counts = _counted(report, code) if stage.is_pytest else NO_TESTS
        return Outcome(stage=stage.name, seconds=time.monotonic() - began, failed=code != 0, counts=counts)


def _code_of(command: Sequence[str], environment: Mapping[str, str], timeout_seconds: float) -> int:
    """Run a stage to its end. Interrupted, pytest still ends its servers and writes its report."""
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout_seconds)
        print(f"This stage takes more than {timeout_seconds:.0f} s: it is interrupted, and has failed.", flush=True)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(KILL_AFTER_SECONDS)
        process.kill()
    return process.returncode or 1


def _counted(report: Path, code: int) -> Counts:
    """A run that failed without a failed test (no test at all, an error while collecting) counts as one failure."""
    counts = junit.read(report)
    return counts + Counts(failed=1) if code and not counts.failed else counts


def report(outcomes: Sequence[Outcome], *, in_ci: bool) -> list[str]:
    """The last lines of a run: a table, what could not run and why, and the closing line."""
    total = _total(outcomes)
    return ["", *(_row(outcome) for outcome in outcomes), *_missing(total, in_ci=in_ci), total.closing_line]


def _total(outcomes: Sequence[Outcome]) -> Counts:
    return sum((outcome.counts for outcome in outcomes), NO_TESTS)


def _row(outcome: Outcome) -> str:
    verdict = "FAILED" if outcome.failed else "ok"
    numbers = outcome.counts.closing_line if outcome.counts != NO_TESTS else ""
    return f"{outcome.stage:<14} {verdict:<7} {outcome.seconds:7.1f} s  {numbers}".rstrip()


def _missing(total: Counts, *, in_ci: bool) -> list[str]:
    if not total.reasons:
        return []
    heading = "Not run here" + (", which CI does not accept:" if in_ci else ":")
    return ["", heading, *(f"  {count} tests: {reason}" for reason, count in total.reasons.items()), ""]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
