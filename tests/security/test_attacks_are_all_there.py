"""The table of attacks is whole: each number has its tests here, or says where they are or why there are none."""

import re
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
TEXT: Final = (HERE / "README.md").read_text()
ROWS: Final = re.findall(r"^\| (\d+) \| (.+) \| (.+) \| (.*) \|$", TEXT, flags=re.MULTILINE)
TRIED: Final = {
    int(number)
    for file in HERE.glob("test_*.py")
    for number in re.findall(r"^\s*(?:async )?def test_attack_(\d\d)_", file.read_text(), flags=re.MULTILINE)
}
LAST: Final = 45
LATER: Final = "comes with webhooks"


def test_all_are_listed_in_order() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, LAST + 1))


def test_no_test_has_a_number_that_is_not_listed() -> None:
    assert set(range(1, LAST + 1)) >= TRIED


@pytest.mark.parametrize(("number", "attack", "result", "elsewhere"), ROWS, ids=[row[0] for row in ROWS])
def test_each_is_tried_here_or_says_where(number: str, attack: str, result: str, elsewhere: str) -> None:
    assert attack.strip()
    assert result.strip()
    if elsewhere == LATER:
        assert int(number) not in TRIED, "it is tried by now: take the remark away"
    else:
        assert int(number) in TRIED or "`tests/" in elsewhere


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(tests/[^`]+)`", TEXT))))
def test_a_test_that_is_named_exists(path: str) -> None:
    assert (ROOT / path).is_file()
