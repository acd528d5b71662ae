"""What a pytest run says in its junit-xml file, as numbers and reasons."""

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many tests ended which way, and why the skipped ones did not run."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Only of tests that were skipped; an expected failure ran, and needs no reason here."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            passed=self.passed + other.passed,
            failed=self.failed + other.failed,
            skipped=self.skipped + other.skipped,
            reasons=Counter(self.reasons) + Counter(other.reasons),
        )

    @property
    def closing_line(self) -> str:
        """The plain last line that a reader, or another program, looks for."""
        line = f"{self.passed} passed, {self.failed} failed"
        return f"{line}, {self.skipped} skipped" if self.skipped else line


def read(report: Path) -> Counts:
    """Count the test cases of a report; a run that was cut short left none, which is a failure."""
    if not report.exists():
        return Counts(failed=1)
    cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314 - our own pytest wrote it a moment ago
    return sum((_of_case(case) for case in cases), Counts())


def _of_case(case: ET.Element) -> Counts:
    # A test that fails and whose teardown errs too is still one test.
    if case.find("failure") is not None or case.find("error") is not None:
        return Counts(failed=1)
    skipped = case.find("skipped")
    if skipped is None:
        return Counts(passed=1)
    if skipped.get("type") == "pytest.xfail":
        return Counts(skipped=1)
    return Counts(skipped=1, reasons={skipped.get("message", "no reason given"): 1})
