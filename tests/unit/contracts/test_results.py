"""Results are small JSON that everybody can read."""

import pytest

from mission_contracts.results import MAX_RESULT_DEPTH, why_not_kept
from mission_contracts.spec import MAX_RESULT_BYTES


def nested(depth: int) -> bytes:
    return b"[" * depth + b"1" + b"]" * depth


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(b"null", id="nothing"),
        pytest.param('{"text":"ü"}'.encode(), id="an object"),
        pytest.param(b'"%b"' % (b"x" * (MAX_RESULT_BYTES - 2)), id="just as large as may be"),
        pytest.param(nested(MAX_RESULT_DEPTH), id="just as deep as may be"),
    ],
)
def test_what_can_be_read_is_kept(result: bytes) -> None:
    assert why_not_kept(result) is None


@pytest.mark.parametrize(
    ("result", "says"),
    [
        pytest.param(b'"%b"' % (b"x" * (MAX_RESULT_BYTES - 1)), "store it elsewhere", id="one byte too large"),
        pytest.param(nested(MAX_RESULT_DEPTH + 1), "return it flatter", id="one level too deep"),
        pytest.param(nested(8_000), "the result", id="far too deep"),
        pytest.param(b'"\xff"', "not JSON that can be read", id="no UTF-8"),
        pytest.param(b'"\\ud800"', "not JSON that can be read", id="half a surrogate pair"),
        pytest.param(b"NaN", "not JSON that can be read", id="a number that is none"),
        pytest.param(b"", "not JSON that can be read", id="empty"),
    ],
)
def test_what_others_could_not_read_is_not_kept(result: bytes, says: str) -> None:
    why = why_not_kept(result)
    assert why is not None
    assert says in why
