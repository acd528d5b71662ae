"""The last lines of `make test`, which people and CI read."""

import os
import sys
from pathlib import Path

import pytest
from tools import junit, test_run
from tools.junit import Counts
from tools.test_run import Outcome

XML = """<testsuites><testsuite>{cases}</testsuite></testsuites>"""
PASSED = "<testcase/>"
FAILED = "<testcase><failure/></testcase>"
FAILED_TWICE = "<testcase><failure/><error/></testcase>"
BROKEN_FIXTURE = "<testcase><error/></testcase>"
SKIPPED = '<testcase><skipped type="pytest.skip" message="no Redis"/></testcase>'
EXPECTED_FAILURE = '<testcase><skipped type="pytest.xfail" message="known"/></testcase>'


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        pytest.param("", "0 passed, 0 failed", id="nothing ran"),
        pytest.param(PASSED + PASSED, "2 passed, 0 failed", id="all is well"),
        pytest.param(PASSED + FAILED, "1 passed, 1 failed", id="one failed"),
        pytest.param(FAILED_TWICE, "0 passed, 1 failed", id="a failure with a broken teardown is one"),
        pytest.param(BROKEN_FIXTURE, "0 passed, 1 failed", id="a broken fixture is a failure"),
        pytest.param(PASSED + SKIPPED, "1 passed, 0 failed, 1 skipped", id="a skip is told"),
    ],
)
def test_closing_line(tmp_path: Path, cases: str, expected: str) -> None:
    assert counts_of(tmp_path, cases).closing_line == expected


def test_a_run_without_a_report_has_failed(tmp_path: Path) -> None:
    assert junit.read(tmp_path / "absent.xml") == Counts(failed=1)


def test_equal_reasons_are_told_once(tmp_path: Path) -> None:
    assert counts_of(tmp_path, SKIPPED + SKIPPED).reasons == {"no Redis": 2}


def test_an_expected_failure_needs_no_reason(tmp_path: Path) -> None:
    assert counts_of(tmp_path, EXPECTED_FAILURE) == Counts(skipped=1)


def test_the_report_ends_with_the_sum_over_the_stages() -> None:
    outcomes = [
        Outcome(stage="check", seconds=1, failed=False),
        Outcome(stage="unit", seconds=2, failed=False, counts=Counts(passed=3)),
        Outcome(stage="real", seconds=3, failed=True, counts=Counts(passed=4, failed=1)),
    ]
    assert test_run.report(outcomes, in_ci=False)[-1] == "7 passed, 1 failed"


def test_the_report_names_what_could_not_run() -> None:
    outcomes = [Outcome(stage="real", seconds=1, failed=False, counts=Counts(skipped=2, reasons={"no Redis": 2}))]
    assert "  2 tests: no Redis" in test_run.report(outcomes, in_ci=False)


@pytest.mark.parametrize(
    ("outcome", "in_ci", "is_bad"),
    [
        pytest.param(Outcome(stage="servers", seconds=1, failed=True), False, False, id="a machine may lack servers"),
        pytest.param(Outcome(stage="servers", seconds=1, failed=True), True, True, id="CI must have them"),
        pytest.param(Outcome(stage="check", seconds=1, failed=True), False, True, id="a failed stage is bad anywhere"),
    ],
)
def test_exit_code(outcome: Outcome, in_ci: bool, is_bad: bool) -> None:
    assert test_run._is_bad([outcome], in_ci=in_ci) == is_bad


def test_in_ci_a_skipped_test_is_a_failure() -> None:
    skipped = [Outcome(stage="real", seconds=1, failed=False, counts=Counts(skipped=1, reasons={"no Redis": 1}))]
    assert test_run._is_bad(skipped, in_ci=True)


def counts_of(folder: Path, cases: str) -> Counts:
    report = folder / "report.xml"
    report.write_text(XML.format(cases=cases))
    return junit.read(report)


def test_a_stage_that_hangs_is_interrupted_and_has_failed() -> None:
    hangs = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert test_run._code_of(hangs, os.environ, timeout_seconds=0.2) != 0


def test_a_stage_that_ends_in_time_keeps_its_exit_code() -> None:
    assert test_run._code_of([sys.executable, "-c", "raise SystemExit(3)"], os.environ, timeout_seconds=30) == 3
