"""Messages that nobody can use, made from one that is well: each with what is wrong with it."""

import pickle
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from mission_contracts.errors import Defect
from mission_contracts.messages import MAX_MESSAGE_BYTES

SECRET: Final = "hunter2-and-more"  # what no log may tell


class Malformed(NamedTuple):
    """How one is made of a good one (which begins with its version), and what it is then."""

    of: Callable[[bytes], bytes]
    defect: Defect
    content_type: str | None = None
    headers: Mapping[str, str] = {}


def _with(more: bytes) -> Callable[[bytes], bytes]:
    return lambda good: good[:-1] + b"," + more + b"}"


def _of_version(version: bytes) -> Callable[[bytes], bytes]:
    return lambda good: good.replace(b'"v":1', b'"v":' + version, 1)


def _just(body: bytes) -> Callable[[bytes], bytes]:
    return lambda _: body


_PICKLE: Final = pickle.dumps({"v": 1, "secret": SECRET})
_DEEP: Final = b"[" * 100_000 + b"]" * 100_000

MALFORMED: Final[Mapping[str, Malformed]] = {
    "nothing": Malformed(_just(b""), Defect.NOT_JSON),
    "not UTF-8": Malformed(_just(b"\xff\xfe" + SECRET.encode("utf-16")), Defect.NOT_JSON),
    "not UTF-8 where nobody looks": Malformed(_with(b'"x":"\xff"'), Defect.NOT_JSON),
    "half a message": Malformed(lambda good: good[: len(good) // 2], Defect.NOT_JSON),
    "two messages": Malformed(lambda good: good + good, Defect.NOT_JSON),
    "a pickle": Malformed(_just(_PICKLE), Defect.NOT_JSON, content_type="application/x-python-serialize"),
    "a number that is none": Malformed(_with(b'"x":NaN'), Defect.NOT_JSON),
    "half a surrogate pair": Malformed(_with(rb'"\ud800":1'), Defect.NOT_JSON),
    "nested without end": Malformed(_with(b'"x":' + _DEEP), Defect.NOT_JSON),
    "a list": Malformed(_just(b"[]"), Defect.WRONG_SHAPE),
    "null": Malformed(_just(b"null"), Defect.WRONG_SHAPE),
    "no version": Malformed(_just(b"{}"), Defect.WRONG_SHAPE),
    "a version that is text": Malformed(_of_version(b'"1"'), Defect.WRONG_SHAPE),
    "a version beyond all numbers": Malformed(_of_version(b"9" * 400), Defect.WRONG_SHAPE),
    "an older version": Malformed(_of_version(b"0"), Defect.WRONG_VERSION),
    "a newer version": Malformed(_of_version(b"2"), Defect.WRONG_VERSION),
    "a newer version of another shape": Malformed(
        _just(b'{"v":2,"say":"' + SECRET.encode() + b'"}'), Defect.WRONG_VERSION
    ),
    "5 MiB": Malformed(_with(b'"x":"' + b"x" * (5 * 1024 * 1024) + b'"'), Defect.TOO_LARGE),
    "huge headers": Malformed(_just(b"{"), Defect.NOT_JSON, headers={"x" * 200: SECRET * 5_000}),
}

assert MAX_MESSAGE_BYTES < 5 * 1024 * 1024
