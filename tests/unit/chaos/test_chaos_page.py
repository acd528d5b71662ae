"""A run's table gets into a page, again and again, and nothing else of the page changes."""

from pathlib import Path

import pytest
from benchmarks.machine import Machine
from chaos import page, report
from chaos.errors import ChaosError
from chaos.judge import Verdict
from chaos.measures import Outcome
from chaos.report import Report

A_PAGE = f"# Title\n\n{page.BEGIN}\nold\n{page.END}\n\nThe rest.\n"


def a_report(fault: str = "redis-wiped") -> Report:
    outcome = Outcome(
        fault=fault,
        number=1,
        verdict=Verdict(accepted=7, final=7, extra_executions=2),
        first_seconds=0.25,
        recovered_seconds=None,
        before_per_second=100,
        after_per_second=97,
        took_seconds=4,
    )
    machine = Machine(cores=2, cpu="a processor", memory_gib=8, system="Linux", load_before=0.1)
    return Report(
        taken_at="2000-01-01T00:00:00+00:00",
        commit="abc",
        seed=7,
        lease_seconds=6,
        machine=machine,
        versions={"RabbitMQ": "3.10.8"},
        outcomes=[outcome],
        surprises=[],
    )


@pytest.fixture
def a_page(tmp_path: Path) -> Path:
    file = tmp_path / "page.md"
    file.write_text(A_PAGE)
    return file


def test_the_block_is_replaced_and_the_rest_stays(a_page: Path) -> None:
    page.write(a_page, a_report("first"))
    page.write(a_page, a_report("second"))
    text = a_page.read_text()
    assert text.startswith("# Title\n\n<!-- chaos:begin -->\n| Fault |")
    assert text.endswith("<!-- chaos:end -->\n\nThe rest.\n")
    assert "old" not in text
    assert "first |" not in text
    assert "| second | 7 | 7 | 0 | 0 | 0 | 0 | 2 | 0.2 |  | 0.97 |" in text
    assert "**7 missions, 1 faults: 0 lost, 0 stuck, 0 double**" in text


def test_a_page_without_a_place_for_it_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("nothing")
    with pytest.raises(ChaosError, match="no place for the table"):
        page.write(file, a_report())
    assert file.read_text() == "nothing"


def test_a_report_that_was_written_can_be_read_again(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(report.as_json(a_report()))
    assert report.read(file) == a_report()


def test_what_is_no_report_is_named(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text("{}")
    with pytest.raises(ChaosError, match="holds no report of a run"):
        report.read(file)
