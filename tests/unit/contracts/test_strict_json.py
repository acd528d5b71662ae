"""JSON arrives as it was sent, or one sentence says why not, and names the place."""

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mission_contracts import strict_json
from mission_contracts.json_defects import MAX_BYTES
from mission_contracts.strict_json import MAX_DEPTH, MAX_DIGITS, StrictJsonError

ONE_TOO_DEEP = MAX_DEPTH + 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param(b'{"a": 9007199254740993}', {"a": 2**53 + 1}, id="an integer beyond 2^53 is exact"),
        pytest.param(b"%d" % 10**400, 10**400, id="an integer of 400 digits is exact"),
        pytest.param(b"9" * MAX_DIGITS, int("9" * MAX_DIGITS), id="an integer at the bound is exact"),
        pytest.param(b'"\\ud83d\\ude00"', "\U0001f600", id="both halves of an escaped pair are one character"),
        pytest.param(b'"\\u0000"', "\0", id="an escaped NUL is a character"),
        pytest.param(b'{"a\\u003a": 1}', {"a:": 1}, id="an escaped colon in a key"),
        pytest.param(b'{"a": {"a": 1}, "b": {"a": 2}}', {"a": {"a": 1}, "b": {"a": 2}}, id="one key at several levels"),
        pytest.param(b'["]]", "\\"[", "\\\\", ["["]]', ["]]", '"[', "\\", ["["]], id="brackets within text"),
        pytest.param(b"-0.0", -0.0, id="a negative zero"),
        pytest.param(b"1e308", 1e308, id="a number near the largest"),
    ],
)
def test_what_is_strict_json_is_read_exactly(text: bytes, value: object) -> None:
    assert strict_json.decode(text) == value


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(b'{"items": [1, {"price": NaN}]}', "payload.items[1].price: NaN is not a JSON number", id="NaN"),
        pytest.param(b"[-Infinity]", "payload[0]: -Infinity is not a JSON number", id="Infinity"),
        pytest.param(b'{"a": 1e400}', "payload.a: 1e400 is beyond the largest number", id="beyond a double"),
        pytest.param(b'{"a": -1e400}', "payload.a: -1e400 is beyond the largest number", id="beyond a negative double"),
        pytest.param(b'{"a": %s}' % (b"1" * 4_301), "payload.a: an integer of 4,301 digits", id="digits without end"),
        pytest.param(b'{"a": {"b": 1, "b": 2}}', "payload.a.b: this key is there twice", id="a repeated key"),
        pytest.param(b'{"a:": 1, "a\\u003a": 2}', 'payload["a:"]: this key is there twice', id="one key spelled twice"),
        pytest.param(b'{"a": "\\ud800"}', "payload.a: the text has half of a surrogate pair", id="a high half alone"),
        pytest.param(b'{"a": "\\udc00"}', "payload.a: the text has half of a surrogate pair", id="a low half alone"),
        pytest.param(b'{"\\ud800": 1}', 'payload["\\ud800"]: the text has half', id="half a pair in a key"),
        pytest.param(b'{"a": "\xff"}', "payload.a: not UTF-8: the byte 0xff", id="a byte that is not UTF-8"),
        pytest.param(b'"\xed\xa0\x80"', "payload: not UTF-8", id="a surrogate as bytes"),
        pytest.param(b'"a\x00b"', "payload: not JSON: Invalid control character", id="a raw NUL"),
        pytest.param(b"", "payload: not JSON", id="nothing"),
        pytest.param(b"[1,]", "payload: not JSON", id="a comma too many"),
        pytest.param(b"{} {}", "payload: not JSON: Extra data", id="two documents"),
        pytest.param(b"{1: 2}", "payload: not JSON", id="a key without quotes"),
        pytest.param(b"[01]", "payload: not JSON", id="an octal number"),
        pytest.param(b'{"a": ' * 65 + b"1" + b"}" * 65, "payload.a.a.a", id="objects too deep"),
        pytest.param(b"[" * 100_000, "payload: objects and arrays are nested more than 64 deep", id="no end of depth"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_its_path(text: bytes, sentence: str) -> None:
    with pytest.raises(StrictJsonError) as refused:
        strict_json.decode(text, name="payload")
    assert str(refused.value).startswith(sentence)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def test_values_nested_up_to_the_bound_are_read() -> None:
    strict_json.check(nested(MAX_DEPTH))


@pytest.mark.parametrize("depth", [ONE_TOO_DEEP, 980, 5_000, 100_000, 1_000_000])
def test_deeper_values_are_refused_at_any_depth(depth: int) -> None:
    with pytest.raises(StrictJsonError, match="nested more than 64 deep"):
        strict_json.check(nested(depth))


def test_many_values_side_by_side_are_not_deep() -> None:
    strict_json.check(b"[" + b",".join([nested(MAX_DEPTH - 1)] * 50) + b"]")


def test_a_long_text_is_refused_without_a_second_reading() -> None:
    text = b"[" + b"1," * MAX_BYTES + b"NaN]"
    with pytest.raises(StrictJsonError, match=r"not JSON: .*byte"):
        strict_json.check(text)


def test_without_a_name_a_path_begins_with_its_first_key() -> None:
    with pytest.raises(StrictJsonError, match=r"^a\.b: NaN"):
        strict_json.check(b'{"a": {"b": NaN}}')


class Odd:
    """Answers nothing that it is asked."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("no")


def recursive() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        pytest.param({"a": [1, math.nan]}, "result.a[1]: NaN is not a JSON number", id="NaN"),
        pytest.param({"a": None, "b": math.inf}, "result.b: Infinity is not a JSON number", id="Infinity beside None"),
        pytest.param([-math.inf], "result[0]: -Infinity is not a JSON number", id="minus Infinity"),
        pytest.param(
            {"x": [{"y": Odd()}]}, "result.x[0].y: a value of type Odd has no JSON form", id="a strange value"
        ),
        pytest.param({"x": "\udce9"}, "result.x: the text has half of a surrogate pair", id="half a pair"),
        pytest.param({"\udce9": 1}, 'result: the key ["\\udce9"]', id="half a pair in a key"),
        pytest.param({"a": {None: 1}}, "result.a: the key [NoneType]", id="a key of None"),
        pytest.param({"a": 10**5_000}, "result.a: an integer of more than 4,300 digits", id="digits without end"),
        pytest.param(recursive(), "result[0][0]", id="a value within itself"),
        pytest.param(json.loads(nested(ONE_TOO_DEEP)), "result: objects and arrays", id="one level too deep"),
    ],
)
def test_what_has_no_json_form_is_refused_with_its_path(value: object, sentence: str) -> None:
    with pytest.raises(StrictJsonError) as refused:
        strict_json.encode(value, name="result")
    assert str(refused.value).startswith(sentence)


def test_a_hook_is_asked_for_what_json_does_not_know() -> None:
    assert strict_json.encode({"z": 2j}, enc_hook=lambda value: [value.real, value.imag]) == b'{"z":[0.0,2.0]}'


def test_a_number_that_a_hook_brings_in_is_checked_too() -> None:
    with pytest.raises(StrictJsonError, match=r"z\[1\]: NaN"):
        strict_json.encode({"z": 2j}, enc_hook=lambda value: [value.real, math.nan])


def test_a_hook_that_fails_names_the_place() -> None:
    def hook(value: object) -> object:
        raise LookupError(value)

    with pytest.raises(StrictJsonError, match=r"a\[0\]: a value of type complex"):
        strict_json.encode({"a": [2j]}, enc_hook=hook)


UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@UNHURRIED
@given(values)
def test_what_is_written_is_read_back_equal(value: object) -> None:
    try:
        encoded = strict_json.encode(value)
    except StrictJsonError as error:
        assert "surrogate" in str(error) or "key" in str(error)  # noqa: PT017
    else:
        assert strict_json.decode(encoded) == value
        assert strict_json.decode(json.dumps(value).encode()) == value


@UNHURRIED
@given(st.binary() | st.text(alphabet='[]{}":,\\u0d81eE+-. aNn').map(str.encode))
@example(b'["\\')
@example(b'{"a":1,"\\u0061":2}')
def test_any_bytes_are_read_or_refused_in_one_sentence(data: bytes) -> None:
    try:
        value = strict_json.decode(data)
    except StrictJsonError as error:
        assert str(error)  # noqa: PT017
    else:
        assert strict_json.decode(msgspec.json.encode(value)) == value


@UNHURRIED
@given(values, st.integers(0, 12))
def test_the_depth_is_that_of_the_value(value: object, limit: int) -> None:
    def depth(one: object) -> int:
        children = one.values() if isinstance(one, dict) else one if isinstance(one, list) else None
        return 0 if children is None else 1 + max(map(depth, children), default=0)

    encoded = json.dumps(value).encode()
    assert strict_json.is_deeper_than(encoded, limit) == (depth(value) > limit)


def test_an_error_that_is_not_explained_costs_no_second_reading() -> None:
    with pytest.raises(StrictJsonError, match=r"^payload: not JSON: .*byte"):
        strict_json.check(b'{"a": NaN}', name="payload", is_explained=False)


def test_json_within_a_value_is_passed_on() -> None:
    assert strict_json.encode({"a": None, "raw": msgspec.Raw(b'{"b": null}')}) == b'{"a":null,"raw":{"b": null}}'
