"""The page of bounds names a test for each: those tests exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/concepts/bounds.md"
COLUMNS = ["Structure", "Bound", "Setting", "At it", "Test"]


def rows() -> list[dict[str, str]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(COLUMNS, one, strict=True)) for one in cells if one != COLUMNS]


ROWS = rows()


def names_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_page_has_rows() -> None:
    assert len(ROWS) > 25


@pytest.mark.parametrize("row", ROWS, ids=[row["Structure"] for row in ROWS])
def test_each_bound_is_tried_by_the_test_that_its_row_names(row: dict[str, str]) -> None:
    named = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", row["Test"])
    assert named is not None, row
    assert named[2] in names_in(named[1]), row["Test"]
    assert row["Bound"]


@pytest.mark.parametrize("row", [row for row in ROWS if row["Setting"] != "-"], ids=lambda row: row["Setting"])
def test_each_setting_exists(row: dict[str, str]) -> None:
    assert row["Setting"].strip("`") in (ROOT / "docs/reference/settings.md").read_text()
