"""The page on delivery guarantees names tests that exist, and has its place for the table of the last chaos run."""

import re

import pytest
from chaos import page
from support.snippets import ROOT

TEXT = (ROOT / "docs" / "concepts" / "delivery-guarantees.md").read_text()
PROMISES = re.split(r"^## (?=\d)", TEXT, flags=re.MULTILINE)[1:]
NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", TEXT)))


@pytest.mark.parametrize("path", NAMED)
def test_a_test_that_is_named_exists(path: str) -> None:
    assert (ROOT / path).is_file()


def test_all_nine_promises_are_there_in_order() -> None:
    assert [int(promise.partition(".")[0]) for promise in PROMISES] == list(range(1, 10))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda text: text.partition("\n")[0])
def test_each_promise_has_its_mechanism_its_tests_and_its_limit(promise: str) -> None:
    for part in ("- **By:** ", "- **Tried by:** ", "- **Limit:** "):
        assert promise.count(part) == 1
    assert "`tests/" in promise.partition("- **Tried by:** ")[2].partition("- **Limit:** ")[0]


def test_there_is_one_place_for_the_table() -> None:
    assert (TEXT.count(page.BEGIN), TEXT.count(page.END)) == (1, 1)
