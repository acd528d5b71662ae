"""Made-up bytes for every decoder: random ones, and valid ones with bytes changed or hostile values in them."""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from support import hostile

MAX_FRAGMENT_BYTES: Final = 20_000
EXAMPLES_AT_ONCE: Final = 100
_MARK: Final = "put the fragment here"

FRAGMENTS: Final = [
    *(document for make in hostile.DOCUMENTS.values() if len(document := make()) <= MAX_FRAGMENT_BYTES),
    b"-0", b"0", b"-1", b"1e308", b"-1e-400", b"9223372036854775808", b"18446744073709551616", b"1.0", b"true", b"null",
    b'""', b'"\\ud800"', b'"\\u0000"', b'"1"', b'"' + b"x" * 300 + b'"', b"[]", b"{}", b"[[]]", b'{"":0}', b"NaN",
    b'"2030-01-01T00:00:00Z"', b'"COMPLETED"', b'"RUN"', b"1,2", b'1,"odd":2', b"",
]  # fmt: skip

_SNIPPETS: Final = [b"", b'"', b"[", b"}", b"\\", b"\x00", b"\xff", b"e9", b"-"]

Check = Callable[[bytes], object]
"""Reads the bytes; raises for a fault, and nothing for bytes that it refuses as it should."""


@dataclass(frozen=True)
class Decoder:
    """One decoder, and examples of what it reads."""

    check: Callable[[], AbstractContextManager[Check]]
    examples: Sequence[bytes]


def fuzz(decoder: Decoder, *, seconds: float, repeatable: bool) -> int:
    """Try made-up bytes for so long, at least once; returns how many were tried. The failing bytes are in the error."""
    tried, end = 0, time.monotonic() + seconds
    number = 0 if repeatable else random.randrange(2**32)
    with decoder.check() as check:
        while not tried or time.monotonic() < end:
            tried += _try(check, decoder.examples, number)
            number += 1
    return tried


def _try(check: Check, examples: Sequence[bytes], number: int) -> int:
    tried = 0

    @seed(number)
    @settings(
        max_examples=EXAMPLES_AT_ONCE,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(made_up(examples))
    def attempt(body: bytes) -> None:
        nonlocal tried
        tried += 1
        check(body)

    attempt()
    return tried


def made_up(examples: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes that are near to what a decoder reads, and bytes that are not."""
    valid = st.sampled_from(list(examples))
    return st.one_of(
        valid.flatmap(_with_a_value_replaced),
        valid.flatmap(_with_a_value_replaced).flatmap(_with_bytes_changed),
        valid.flatmap(_with_bytes_changed),
        st.sampled_from(FRAGMENTS),
        st.binary(max_size=200),
    )


def _with_a_value_replaced(example: bytes) -> st.SearchStrategy[bytes]:
    try:
        document = json.loads(example)
    except ValueError:  # YAML, or changed already
        return _with_bytes_changed(example)
    paths = st.sampled_from(list(_paths(document)))
    return st.builds(lambda path, fragment: _replaced(document, path, fragment), paths, _fragments())


def _fragments() -> st.SearchStrategy[bytes]:
    numbers = st.one_of(st.integers(), st.floats()).map(lambda number: json.dumps(number).encode())
    texts = st.text(max_size=40).map(lambda text: json.dumps(text).encode())
    return st.one_of(st.sampled_from(FRAGMENTS), numbers, texts)


def _with_bytes_changed(example: bytes) -> st.SearchStrategy[bytes]:
    places = st.integers(0, len(example))
    return st.builds(
        lambda start, length, put: example[:start] + put + example[start + length :],
        places,
        st.integers(0, 12),
        st.one_of(
            st.binary(max_size=8), st.sampled_from([b"", b'"', b"[", b"}", b"\\", b"\x00", b"\xff", b"e9", b"-"])
        ),
    )


def _paths(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _paths(value, (*path, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from _paths(value, (*path, index))


def _replaced(document: Any, path: tuple[Any, ...], fragment: bytes) -> bytes:
    text = json.dumps(_with(document, path)).encode()
    return text.replace(json.dumps(_MARK).encode(), fragment)


def _with(document: Any, path: tuple[Any, ...]) -> Any:
    if not path:
        return _MARK
    if isinstance(document, Mapping):
        return {key: _with(value, path[1:]) if key == path[0] else value for key, value in document.items()}
    return [_with(value, path[1:]) if index == path[0] else value for index, value in enumerate(document)]
