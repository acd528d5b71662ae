"""The page on handlers is true: each row of its tables is run."""

import asyncio
import re
from datetime import timedelta
from typing import Any, Final

import pytest
from _pytest.mark import ParameterSet
from support.snippets import ROOT, snippets

from mission_commander.domain.life import MAX_LATERS
from mission_contracts import bounds
from mission_soldier import GiveUp, RetryLater, log_values, outcomes
from mission_soldier.errors import BadResultError
from mission_soldier.result_codec import writer_of

PAGE: Final = ROOT / "docs" / "concepts" / "handlers.md"
RETURNS: Final = "Announces"
RAISES: Final = "Raises"


def rows(first_heading: str) -> list[ParameterSet]:
    """Return the cells of the table that begins with this heading."""
    table = re.search(rf"^\| {first_heading} \|.*?(?=\n\n)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert table is not None
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[0].splitlines()[2:]]
    return [pytest.param(*cells, id=" ".join(cells[:2])) for cells in lines]


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    known: dict[str, Any] = {
        "GiveUp": GiveUp,
        "RetryLater": RetryLater,
        "asyncio": asyncio,
        "timedelta": timedelta,
        "__name__": __name__,
    }
    exec(next(snippet.text for snippet in snippets(PAGE)), known)
    return known


def code(cell: str) -> str:
    assert cell.startswith("`"), cell
    assert cell.endswith("`"), cell
    return cell.strip("`")


@pytest.mark.parametrize(("announces", "returns", "result"), rows(RETURNS))
def test_a_result_is_kept_or_refused_as_the_page_says(
    announces: str, returns: str, result: str, names: dict[str, Any]
) -> None:
    write = writer_of(eval(code(announces).replace(" or ", " | "), names))
    value = eval(code(returns), names)
    if result == "no result":
        assert write(value) == b"null"
    elif result.startswith("`"):
        assert write(value).decode() == code(result)
    else:
        with pytest.raises(BadResultError, match=re.escape(result)):
            write(value)


@pytest.mark.parametrize(("raises", "ends_as", "costs", "mission"), rows(RAISES))
def test_an_error_ends_its_attempt_as_the_page_says(
    raises: str, ends_as: str, costs: str, mission: str, names: dict[str, Any]
) -> None:
    def handler() -> None:
        raise eval(code(raises), names)

    with pytest.raises(BaseException) as raised:  # noqa: PT011 - whatever it is
        handler()
    error = outcomes.of_exception(raised.value).error
    assert error is not None
    assert error.failure.value == ends_as
    assert (error.retry_after_seconds is None) == (costs == "yes")
    if error.retry_after_seconds is not None:
        assert mission == f"runs again after {error.retry_after_seconds:g} s"


def test_the_page_has_rows_and_its_numbers_are_those_of_the_code() -> None:
    assert len(rows(RETURNS)) > 20
    assert len(rows(RAISES)) > 10
    text = PAGE.read_text()
    assert f"After {MAX_LATERS:,} `RetryLater`" in text
    assert f"A message has at most {bounds.MAX_MESSAGE_CHARACTERS:,} characters" in text
    assert f"a traceback {bounds.MAX_TRACEBACK_CHARACTERS // 1024} KiB" in text
    assert f"A note has at most {bounds.MAX_NOTE_CHARACTERS} characters" in text
    assert f"cut at {log_values.MAX_TEXT:,} characters" in text
