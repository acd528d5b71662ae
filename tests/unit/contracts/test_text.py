import pytest
from hypothesis import given
from hypothesis import strategies as st

from mission_contracts.text import ELLIPSIS, encodable, printable, truncate

any_text = st.text(st.characters(codec=None), max_size=200)  # surrogates too


@given(any_text)
def test_encodable_text_can_be_encoded(text: str) -> None:
    encodable(text).encode()


@given(st.text())
def test_encodable_leaves_proper_text_alone(text: str) -> None:
    assert encodable(text) == text


def test_encodable_shows_which_byte_was_odd() -> None:
    assert encodable("caf\udce9") == "caf\\udce9"


@given(any_text.map(encodable), st.integers(min_value=0, max_value=300))
def test_truncated_text_fits_its_bound_in_bytes(text: str, max_bytes: int) -> None:
    cut = truncate(text, max_bytes)
    assert len(cut.encode()) <= max_bytes
    assert text.startswith(cut.removesuffix(ELLIPSIS))
    if len(text.encode()) <= max_bytes:
        assert cut == text


@pytest.mark.parametrize(
    ("text", "max_bytes", "expected"),
    [
        pytest.param("é" * 10, 20, "é" * 10, id="exactly at the bound"),
        pytest.param("é" * 11, 20, "é" * 8 + ELLIPSIS, id="cut at a character boundary"),
        pytest.param("😀😀", 7, "😀" + ELLIPSIS, id="four bytes a character"),
        pytest.param("abc", 2, "ab", id="no room for an ellipsis"),
        pytest.param("é", 1, "", id="no room for a character"),
    ],
)
def test_truncate_counts_bytes(text: str, max_bytes: int, expected: str) -> None:
    assert truncate(text, max_bytes) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("plain", "plain", id="ASCII"),
        pytest.param("größer 日本語 👩\u200d🚀", "größer 日本語 👩\u200d🚀", id="other scripts and joined emoji"),
        pytest.param("\x1b[31mred", "\\x1b[31mred", id="a terminal sequence"),
        pytest.param("a\r\nb\tc\0", "a\\r\\nb\\tc\\x00", id="line breaks, tab and NUL"),
        pytest.param("\x9b31m", "\\x9b31m", id="a C1 control"),
        pytest.param("a\u202eb", "a\\u202eb", id="a bidirectional override"),
        pytest.param("a\u2028b", "a\\u2028b", id="a line separator"),
        pytest.param("\udce9", "\\udce9", id="a lone surrogate"),
        pytest.param("\U000e0041", "\\U000e0041", id="an invisible tag character"),
    ],
)
def test_printable_text_leaves_a_terminal_alone(text: str, expected: str) -> None:
    assert printable(text) == expected


@given(any_text)
def test_printable_text_is_one_line_that_can_be_encoded(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1
