"""What one word means: the rules of goyaml.v2, which sigs.k8s.io/yaml and so kubectl read YAML with.

Its own mixture of YAML 1.1 and Go's numbers: `yes` is true, `017` is 15, `0o17` too, `018` is 18, and `1:30` and
`2001-01-01` are texts. Three things differ, because kubectl would change a value without a word: an integer beyond
64 bits stays exact, a number beyond the largest is refused, and so is binary data that is no text.
"""

import base64
import binascii
import math
import re
import struct
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from mission_contracts import json_defects
from mission_contracts.strict_json import MAX_DIGITS
from missionctl.kubectl_yaml.errors import ValueRefusedError

Scalar = str | int | float | bool | None

TAGS: Final = "tag:yaml.org,2002:"
MERGE: Final = "<<"
LARGEST_WHOLE: Final = 1e21
"""From here on Go writes a whole number with an exponent, which is read back as a float."""


def _spellings(*words: str) -> list[str]:
    return [spelling for word in words for spelling in (word, word.capitalize(), word.upper())]


_WORDS: Final[Mapping[str, Scalar]] = {
    **dict.fromkeys(_spellings("y", "yes", "true", "on"), True),
    **dict.fromkeys(_spellings("n", "no", "false", "off"), False),
    **dict.fromkeys(["", "~", *_spellings("null")], None),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], math.nan),
    **dict.fromkeys([sign + word for sign in ("", "+") for word in (".inf", ".Inf", ".INF")], math.inf),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], -math.inf),
}
_BEGINS_A_NUMBER: Final = frozenset("+-.0123456789")
_PREFIXED: Final = re.compile(r"([-+]?)0(?:[xX]([0-9a-fA-F]+)|[bB]([01]+)|[oO]?([0-7]+))")
_DECIMAL: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SHORT_FLOAT: Final = re.compile(r"\.[0-9]+(_[0-9]+)*([eE][-+]?[0-9]+)?")
_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"([Tt ][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})?)?"
)
_KIND_OF_TAG: Final = {"null": type(None), "bool": bool, "int": int, "float": float}


def value_of(text: str, tag: str | None, *, is_plain: bool) -> Scalar:
    """Return the value of a scalar. Raises ValueRefusedError for one that kubectl refuses, or would change."""
    if tag is None:
        return _plain(text) if is_plain else text
    name = tag.removeprefix(TAGS)
    if tag == name:  # a tag of someone's own, which kubectl passes over
        return text
    if name == "binary":
        return _binary(text)
    if name in _KIND_OF_TAG:
        return _tagged(text, name)
    if name == "timestamp" and not _TIMESTAMP.fullmatch(text):
        raise ValueRefusedError(f"{text[:32]!r} is no !!timestamp: write another value, or leave the tag out")
    return text


def json_value(value: Scalar) -> Scalar:
    """Return what stands in JSON for a scalar: 5 for 5.0, as Go writes it."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise ValueRefusedError(json_defects.not_a_number({"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}[repr(value)]))
    return whole(value)


def whole(number: float) -> float | int:
    """Return an integer for a number without a fraction, where Go writes it without an exponent."""
    return int(number) if number.is_integer() and abs(number) < LARGEST_WHOLE else number


def key_of(value: object) -> str:
    """Return a mapping's key as text. Raises ValueRefusedError for null and for what is no scalar."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float_key(value)
    raise ValueRefusedError("a key is text, a number or a truth value: put it in quotes")


def _plain(text: str) -> Scalar:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _BEGINS_A_NUMBER:
        return text
    if text[0] == "." and not _SHORT_FLOAT.fullmatch(text):
        return text
    digits = text.replace("_", "")
    integer = _integer(digits)
    if integer is not None:
        return integer
    return _finite(float(digits), text) if _FLOAT.fullmatch(digits) else text


def _integer(digits: str) -> int | None:
    prefixed = _PREFIXED.fullmatch(digits)
    if prefixed is not None:
        sign, hexadecimal, binary, octal = prefixed.groups()
        number = int(sign + (hexadecimal or binary or octal), 16 if hexadecimal else 2 if binary else 8)
        if -(2**63) <= number < 2**64:
            return number
    if not _DECIMAL.fullmatch(digits):
        return None
    length = len(digits.lstrip("+-"))
    if length > MAX_DIGITS:
        raise ValueRefusedError(json_defects.too_long(length, MAX_DIGITS))
    return int(digits)


def _finite(number: float, text: str) -> float:
    if not math.isfinite(number):
        raise ValueRefusedError(f"{text[:32]} is beyond the largest number (1.8e308): send it as text, in quotes")
    return number


def _tagged(text: str, name: str) -> Scalar:
    value = _plain(text)
    if name == "float" and type(value) is int:
        return float(value)
    if type(value) is not _KIND_OF_TAG[name]:
        raise ValueRefusedError(f"{text[:32]!r} is no !!{name}: write another value, or leave the tag out")
    return value


def _binary(text: str) -> str:
    try:
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True).decode()
    except binascii.Error as error:
        raise ValueRefusedError("!!binary is not base64 with its padding (RFC 4648): correct it") from error
    except UnicodeDecodeError as error:
        raise ValueRefusedError("!!binary is not text in UTF-8, which is all that JSON carries: send base64") from error


def _float_key(number: float) -> str:
    """Write a float as Go does: the shortest text that is the same 32-bit number."""
    if not math.isfinite(number):
        return {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}[repr(number)]
    try:
        narrow = struct.pack("<f", number)
    except OverflowError:
        return ".inf" if number > 0 else "-.inf"
    texts = (f"{struct.unpack('<f', narrow)[0]:.{size}e}" for size in range(9))
    shortest = next(text for text in texts if struct.pack("<f", float(text)) == narrow)
    mantissa, exponent = shortest.split("e")
    if -4 <= int(exponent) < 6:
        return f"{Decimal(shortest):f}"
    return f"{mantissa}e{int(exponent):+03d}"
