"""Values that were made to break whatever takes them: one corpus for every entry point.

Each entry has a name that reads as what it is and a function that makes a fresh value, because some can be used only
once. Drive all of them through an entry point by one parametrised test:

    @pytest.mark.parametrize("text", hostile.params(hostile.TEXTS))
    def test_a_hostile_text_gets_one_clear_error(text: hostile.Hostile[str]) -> None:
        submit(text.make())

- `TEXTS`: texts, as Python has them (some cannot be encoded as UTF-8).
- `DOCUMENTS`: bytes that claim to be JSON.
- `VALUES`: Python objects, as a handler may return them or log them.
- `ERRORS`: exceptions, as a handler may raise them; `ENDS` are functions that end a handler in other ways.
- `TYPES`: annotations that no schema describes, or not yet.
"""

import asyncio
import collections
import contextlib
import dataclasses
import enum
import io
import json
import sys
import threading
import typing
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
import pydantic
import pytest
from _pytest.mark import ParameterSet

from mission_soldier import GiveUp, RetryLater

T = TypeVar("T")

FIVE_MEGABYTES: Final = 5_000_000
SURROGATE: Final = "caf\udce9"
"""A file name with an odd byte, as `os.listdir` returns it."""


@dataclass(frozen=True)
class Hostile(Generic[T]):
    """One value of the corpus."""

    name: str
    make: Callable[[], T]


def params(corpus: Mapping[str, Callable[[], T]]) -> list[ParameterSet]:
    """Return the corpus as parameters of a test, each with its name as the test's id."""
    return [pytest.param(Hostile(name, make), id=name.replace(" ", "-")) for name, make in corpus.items()]


def _corpus(entries: dict[str, Callable[[], T]]) -> Mapping[str, Callable[[], T]]:
    return MappingProxyType(entries)


# Texts.

TEXTS: Final[Mapping[str, Callable[[], str]]] = _corpus(
    {
        "a lone surrogate": lambda: SURROGATE,
        "a lone high surrogate": lambda: "\ud83d",
        "surrogates in the wrong order": lambda: "\ude00\ud83d",
        "NUL": lambda: "a\x00b",
        "ESC": lambda: "\x1b[31mred\x1b[0m\x1b]0;title\x07",
        "line breaks": lambda: "one\ntwo\r\nthree\x0bfour\u2028five\u2029six\x85",
        "every control character": lambda: "".join(map(chr, range(32))) + "\x7f" + "".join(map(chr, range(128, 160))),
        "text that turns the line around": lambda: "user\u202etxt.exe\u2066\u2069",
        "a byte order mark": lambda: "\ufeffa",
        "code points that are no characters": lambda: "\ufffe\uffff\U0010ffff",
        "combining marks": lambda: "e" + "\u0301" * 2000,
        "emoji that are joined": lambda: "👩‍👩‍👧‍👦" * 300,
        "2,000 times é": lambda: "é" * 2000,
        "5 MB of one byte each": lambda: "x" * FIVE_MEGABYTES,
        "5 MB of four bytes each": lambda: "𝄞" * (FIVE_MEGABYTES // 4),
        "5 MB of surrogates": lambda: "\udce9" * FIVE_MEGABYTES,
        "empty text": lambda: "",
        "only spaces": lambda: " \t ",
        "a format": lambda: "%s %d {} {0.__class__} {event}",
        "JSON": lambda: '{"a": "\\ud800"}',
        "YAML": lambda: "a: &a [*a]\n--- !!python/object/apply:os.system ['true']",
        "a text of its own class": lambda: Text("plain"),
        "a text whose every method raises": lambda: HostileText("plain"),
    }
)


class Text(str):
    """A str that is not exactly a str."""

    __slots__ = ()


# Bytes that claim to be JSON.


def nested(levels: int, opening: str = "[", closing: str = "]", innermost: str = "") -> bytes:
    """Return JSON of so many levels."""
    return (opening * levels + innermost + closing * levels).encode()


DOCUMENTS: Final[Mapping[str, Callable[[], bytes]]] = _corpus(
    {
        "65 lists": lambda: nested(65),
        "1,000 lists": lambda: nested(1_000),
        "100,000 lists": lambda: nested(100_000),
        "1,000,000 lists that never close": lambda: b"[" * 1_000_000,
        "65 objects": lambda: nested(65, '{"v":', "}", "1"),
        "1,000 objects": lambda: nested(1_000, '{"v":', "}", "1"),
        "100,000 objects": lambda: nested(100_000, '{"v":', "}", "1"),
        "lists in objects": lambda: nested(1_000, '{"v":[', "]}", "1"),
        "an escaped lone surrogate": lambda: b'{"v": "\\ud800"}',
        "an escaped surrogate as a key": lambda: b'{"\\udce9": 1}',
        "an escaped pair of surrogates": lambda: b'{"v": "\\ud83d\\ude00"}',
        "an escaped NUL": lambda: b'{"v": "a\\u0000b", "\\u0000": 1}',
        "a raw NUL": lambda: b'{"v": "a\x00b"}',
        "escapes for a terminal": lambda: json.dumps({"v": "\x1b[2J", "\x1b]0;x\x07": 1}).encode(),
        "bytes that are no UTF-8": lambda: b'{"v": "caf\xe9"}',
        "a surrogate in UTF-8": lambda: b'{"v": "\xed\xa0\x80"}',
        "UTF-16": lambda: '{"v": 1}'.encode("utf-16"),
        "a byte order mark before JSON": lambda: b'\xef\xbb\xbf{"v": 1}',
        "NaN": lambda: b'{"v": NaN}',
        "Infinity": lambda: b'{"v": -Infinity}',
        "1e400": lambda: b'{"v": 1e400}',
        "1e999999999": lambda: b'{"v": 1e999999999, "w": -1e-999999999}',
        "10 to the 400th": lambda: b'{"v": 1' + b"0" * 400 + b"}",
        "an integer of 5 MB": lambda: b'{"v": ' + b"9" * FIVE_MEGABYTES + b"}",
        "2 to the 64th": lambda: b'{"v": 18446744073709551616, "w": -9223372036854775809, "x": 9007199254740993}',
        "numbers that JSON does not know": lambda: b'{"v": 0x10, "w": 010, "x": +1, "y": .5, "z": 1_000}',
        "the same key twice": lambda: b'{"v": 1, "v": 2}',
        "100,000 keys": lambda: json.dumps({f"key {number}": number for number in range(100_000)}).encode(),
        "a key of 5 MB": lambda: json.dumps({"k" * FIVE_MEGABYTES: 1}).encode(),
        "a text of 5 MB": lambda: json.dumps({"v": "x" * FIVE_MEGABYTES}).encode(),
        "a text of 5 MB of escapes": lambda: json.dumps({"v": "\x00" * (FIVE_MEGABYTES // 6)}).encode(),
        "an empty key": lambda: b'{"": {"": {"": 1}}}',
        "keys that Python knows": lambda: b'{"__class__": 1, "__proto__": 2, "self": 3, "*": 4, "$ref": "#"}',
        "no object but null": lambda: b"null",
        "no object but a list": lambda: b"[1, 2, 3]",
        "no object but a text": lambda: b'"text"',
        "no object but a number": lambda: b"1e3",
        "nothing at all": lambda: b"",
        "spaces": lambda: b" \n\t ",
        "half a document": lambda: b'{"v": [1, 2',
        "two documents": lambda: b'{"v": 1}{"v": 2}',
        "a trailing comma": lambda: b'{"v": [1,],}',
        "a comment": lambda: b'{"v": 1} // one',
        "single quotes": lambda: b"{'v': 1}",
        "random bytes": lambda: bytes(range(256)) * 16,
    }
)


# Python objects.


class _Raises:
    """Every attribute and every operation raises."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"no {name} here")

    def __repr__(self) -> str:
        raise RuntimeError("no repr here")

    def __str__(self) -> str:
        raise RuntimeError("no str here")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison here")

    def __hash__(self) -> int:
        raise RuntimeError("no hash here")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth here")

    def __len__(self) -> int:
        raise RuntimeError("no length here")

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("no iteration here")

    def __float__(self) -> float:
        raise RuntimeError("no float here")

    def __index__(self) -> int:
        raise RuntimeError("no index here")

    def __format__(self, spec: str) -> str:
        raise RuntimeError("no format here")

    def __reduce_ex__(self, _protocol: Any) -> Any:
        raise RuntimeError("no pickle here")

    def __getitem__(self, _key: object) -> Any:
        raise RuntimeError("no items here")

    def __call__(self) -> Any:
        raise RuntimeError("no call here")

    def __await__(self) -> Generator[Any, None, None]:
        raise RuntimeError("no await here")


class _RaisesExit(_Raises):
    """The same, with an exception that `except Exception` does not catch."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(f"no {name} here")

    def __repr__(self) -> str:
        raise SystemExit("no repr here")

    def __str__(self) -> str:
        raise SystemExit("no str here")


def _methods_that_raise(base: type, keep: Iterable[str] = ()) -> dict[str, Any]:
    def refuse(*_args: object, **_named: object) -> Any:
        raise RuntimeError("no method here")

    kept = {"__new__", "__init__", "__init_subclass__", "__subclasshook__", "__class__", "__getattribute__", *keep}
    return {name: refuse for name in dir(base) if name not in kept and callable(getattr(base, name))}


HostileText: Final[type] = type("HostileText", (str,), _methods_that_raise(str, keep=("__hash__",)))
HostileDict: Final[type] = type("HostileDict", (dict,), _methods_that_raise(dict))
HostileList: Final[type] = type("HostileList", (list,), _methods_that_raise(list))
HostileInt: Final[type] = type("HostileInt", (int,), _methods_that_raise(int))
HostileFloat: Final[type] = type("HostileFloat", (float,), _methods_that_raise(float))


class _LiesAboutItsClass:
    @property
    def __class__(self) -> type:
        return dict

    @__class__.setter
    def __class__(self, _kind: type) -> None: ...


class Colour(enum.Enum):
    RED = "red"


class Shade(enum.StrEnum):
    DARK = "dark"


class Level(enum.IntEnum):
    HIGH = 3


class Number(int):
    """An int that is not exactly an int."""


class Fine(msgspec.Struct):
    ratio: float = float("nan")


class Loose(pydantic.BaseModel):
    ratio: float | None = None


@dataclasses.dataclass
class Point:
    x: Any = 1


def _recursive_list() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def _recursive_dict() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["self"] = found
    return found


def _recursive_dataclass() -> Point:
    point = Point()
    point.x = point
    return point


def deep_list(levels: int) -> list[Any]:
    """Return lists within each other."""
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found


def _endless() -> Iterator[int]:
    while True:
        yield 1


class _EndlessMapping(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        return (str(number) for number in _endless())

    def __len__(self) -> int:
        return sys.maxsize


VALUES: Final[Mapping[str, Callable[[], Any]]] = _corpus(
    {
        "an object whose every dunder raises": _Raises,
        "an object whose every dunder exits": _RaisesExit,
        "a dict whose every method raises": lambda: HostileDict(a=1),
        "a list whose every method raises": lambda: HostileList([1]),
        "an int whose every method raises": lambda: HostileInt(1),
        "a float whose every method raises": lambda: HostileFloat(1.5),
        "an object that says it is a dict": _LiesAboutItsClass,
        "a plain object": object,
        "a class": lambda: dict,
        "a function": lambda: deep_list,
        "a module": lambda: json,
        "a list in itself": _recursive_list,
        "a dict in itself": _recursive_dict,
        "a dataclass in itself": _recursive_dataclass,
        "65 lists": lambda: deep_list(65),
        "100,000 lists": lambda: deep_list(100_000),
        "NaN": lambda: float("nan"),
        "Infinity": lambda: {"v": [float("inf")]},
        "NaN in a Struct": Fine,
        "NaN in a model": lambda: Loose(ratio=float("nan")),
        "10 to the 400th": lambda: 10**400,
        "10 to the 5,000th": lambda: 10**5_000,
        "a Decimal that is not a number": lambda: Decimal("sNaN"),
        "a Fraction": lambda: Fraction(1, 3),
        "a complex number": lambda: 1j,
        "a lone surrogate": lambda: {"name": SURROGATE},
        "a lone surrogate as a key": lambda: {SURROGATE: 1},
        "a tuple as a key": lambda: {"outer": {(1, 2): "x"}},
        "None as a key": lambda: {"outer": [{None: "x"}]},
        "bytes": lambda: b"caf\xe9",
        "an Enum": lambda: Colour.RED,
        "a StrEnum": lambda: {"shade": Shade.DARK, Shade.DARK: Level.HIGH},
        "a subclass of str": lambda: {Text("key"): Text("value")},
        "a subclass of int": lambda: [Number(3)],
        "5 MB of text": lambda: "x" * FIVE_MEGABYTES,
        "100,000 keys": lambda: {f"key {number}": number for number in range(100_000)},
        "a generator without an end": _endless,
        "a mapping without an end": _EndlessMapping,
        "an exception": lambda: ValueError("returned, not raised"),
        "a lock": threading.Lock,
        "an open file": lambda: io.BytesIO(b"abc"),
        "a deque": lambda: collections.deque([1, 2]),
        "a set of tuples": lambda: {(1, 2), (3, 4)},
        "an ellipsis": lambda: ...,
        "a memoryview": lambda: memoryview(b"abc"),
    }
)


# Exceptions.


class _CannotBeDescribed(Exception):  # noqa: N818 - named after what it does
    def __str__(self) -> str:
        raise RuntimeError("no text here")

    def __repr__(self) -> str:
        raise RuntimeError("no repr here")


class _ExitsWhenDescribed(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise SystemExit(7)

    __repr__ = __str__


class _CancelsWhenDescribed(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise asyncio.CancelledError

    __repr__ = __str__


class _TextIsNoText(Exception):  # noqa: N818
    def __str__(self) -> str:
        return 42  # type: ignore[return-value]  # noqa: PLE0307

    def __repr__(self) -> str:
        return None  # type: ignore[return-value]


class _RecursesWhenDescribed(Exception):  # noqa: N818
    def __str__(self) -> str:
        return str(self)


class _EveryAttributeRaises(Exception):  # noqa: N818
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"no {name} here")


def _property_raises(name: str) -> Callable[[], BaseException]:
    def refuse(_self: object) -> Any:
        raise RuntimeError(f"no {name} here")

    kind = type("Odd", (Exception,), {name: property(refuse)})
    return lambda: typing.cast("BaseException", kind("odd"))


class _MetaRaises(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in {"__name__", "__qualname__", "__module__", "__mro__"}:
            raise RuntimeError(f"no {name} here")
        return super().__getattribute__(name)


class _NamelessClass(Exception, metaclass=_MetaRaises):  # noqa: N818
    pass


class _OwnBase(BaseException):
    pass


class ForgetfulGiveUp(GiveUp):
    """A subclass that does not call its base's constructor."""

    def __init__(self) -> None:
        Exception.__init__(self)


class ForgetfulRetry(RetryLater):
    """The same, for RetryLater."""

    def __init__(self) -> None:
        Exception.__init__(self)


def _retry_with(seconds: Any) -> Callable[[], RetryLater]:
    def make() -> RetryLater:
        error = RetryLater("set by hand")
        error.after_seconds = seconds
        return error

    return make


def _caused_by_itself() -> Exception:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def _long_chain(links: int = 5_000) -> Exception:
    error = ValueError("link 0")
    for number in range(1, links):
        following = ValueError(f"link {number}")
        following.__cause__, error = error, following
    return error


def _nested_group(levels: int = 1_000) -> Exception:
    error: Exception = ValueError("innermost")
    for _ in range(levels):
        error = ExceptionGroup("a group", [error])
    return error


def _with_notes(*notes: Any) -> Exception:
    error = ValueError("noted")
    error.__notes__ = list(notes)
    return error


def _long_name() -> Exception:
    return typing.cast("Exception", type("N" * FIVE_MEGABYTES, (Exception,), {})("named"))


ERRORS: Final[Mapping[str, Callable[[], BaseException]]] = _corpus(
    {
        "an error whose text raises": _CannotBeDescribed,
        "an error whose text exits": _ExitsWhenDescribed,
        "an error whose text cancels": _CancelsWhenDescribed,
        "an error whose text is no text": _TextIsNoText,
        "an error whose text recurses": _RecursesWhenDescribed,
        "an error whose every attribute raises": _EveryAttributeRaises,
        "an error whose class raises": _property_raises("__class__"),
        "an error whose cause raises": _property_raises("__cause__"),
        "an error whose context raises": _property_raises("__context__"),
        "an error whose args raise": _property_raises("args"),
        "an error whose traceback raises": _property_raises("__traceback__"),
        "an error whose notes raise": _property_raises("__notes__"),
        "an error whose class has no name": _NamelessClass,
        "an error with a name of 5 MB": _long_name,
        "an error of 5 MB": lambda: ValueError("x" * FIVE_MEGABYTES),
        "an error with a surrogate": lambda: ValueError(SURROGATE),
        "an error with NUL and ESC": lambda: ValueError("a\x00b\x1b[2J"),
        "an error with 2,000 times é": lambda: ValueError("é" * 2_000),
        "an error with a surrogate in a note": lambda: _with_notes(SURROGATE, 42, _Raises()),
        "an error with hostile arguments": lambda: ValueError(_Raises(), HostileText("x")),
        "an error that caused itself": _caused_by_itself,
        "an error of 5,000 causes": _long_chain,
        "a group of errors": lambda: ExceptionGroup("all of it", [ValueError(SURROGATE), _CannotBeDescribed()]),
        "1,000 groups within each other": _nested_group,
        "a group of exits": lambda: BaseExceptionGroup("exits", [SystemExit(3), KeyboardInterrupt()]),
        "SystemExit": lambda: SystemExit(3),
        "SystemExit with an object": lambda: SystemExit(_Raises()),
        "KeyboardInterrupt": KeyboardInterrupt,
        "GeneratorExit": GeneratorExit,
        "CancelledError": asyncio.CancelledError,
        "StopIteration": lambda: StopIteration(1),
        "StopAsyncIteration": StopAsyncIteration,
        "RecursionError": RecursionError,
        "MemoryError": MemoryError,
        "TimeoutError": TimeoutError,
        "BrokenPipeError": BrokenPipeError,
        "EOFError": EOFError,
        "InvalidStateError": asyncio.InvalidStateError,
        "a BaseException of its own": _OwnBase,
        "UnicodeEncodeError": lambda: UnicodeEncodeError("utf-8", SURROGATE, 3, 4, "surrogates not allowed"),
        "SyntaxError without an end": lambda: SyntaxError("odd", ("file", 1, 10**6, "x" * 10_000, 1, 10**9)),
        "GiveUp with a number": lambda: GiveUp(42),  # type: ignore[arg-type]
        "GiveUp with None": lambda: GiveUp(None),  # type: ignore[arg-type]
        "GiveUp with an object": lambda: GiveUp(_Raises()),  # type: ignore[arg-type]
        "GiveUp with a surrogate": lambda: GiveUp(SURROGATE),
        "GiveUp with 5 MB": lambda: GiveUp("x" * FIVE_MEGABYTES),
        "GiveUp with a hostile text": lambda: GiveUp(HostileText("odd")),
        "GiveUp without a constructor": ForgetfulGiveUp,
        "RetryLater with an object": lambda: RetryLater(_Raises()),  # type: ignore[arg-type]
        "RetryLater with a surrogate": lambda: RetryLater(SURROGATE, after=1),
        "RetryLater without a constructor": ForgetfulRetry,
        "RetryLater after Infinity": _retry_with(float("inf")),
        "RetryLater after NaN": _retry_with(float("nan")),
        "RetryLater after -1": _retry_with(-1.0),
        "RetryLater after a text": _retry_with("soon"),
        "RetryLater after 10 to the 400th": _retry_with(10**400),
        "RetryLater after an object": _retry_with(_Raises()),
    }
)
"""Each ends one attempt as failed. The last ones ask to be retried, and the delay is a finite one."""


def _recurse() -> None:
    _recurse()


def _cancel_own_task() -> None:
    with contextlib.suppress(RuntimeError):
        task = asyncio.current_task()
        if task is not None:
            task.cancel()
            return
    raise asyncio.CancelledError


def _no_memory() -> None:
    bytearray(sys.maxsize)


ENDS: Final[Mapping[str, Callable[[], None]]] = _corpus(
    {
        "recursion without an end": _recurse,
        "more memory than there is": _no_memory,
        "sys.exit": lambda: sys.exit(3),
        "RetryLater made with Infinity": lambda: _raise(lambda: RetryLater("x", after=float("inf"))),
        "RetryLater made with NaN": lambda: _raise(lambda: RetryLater("x", after=float("nan"))),
        "RetryLater made with -1": lambda: _raise(lambda: RetryLater("x", after=-1)),
        "RetryLater made with a text": lambda: _raise(lambda: RetryLater("x", after="soon")),  # type: ignore[arg-type]
        "RetryLater made with None": lambda: _raise(lambda: RetryLater("x", after=None)),  # type: ignore[arg-type]
        "RetryLater made with 10 to the 400th": lambda: _raise(lambda: RetryLater("x", after=10**400)),
        "the task cancelled": _cancel_own_task,
    }
)
"""Functions that end a handler that calls them, wherever it runs. `os._exit` is for child processes alone."""


def _raise(make: Callable[[], BaseException]) -> None:
    raise make()


# Annotations.


class PlainClass:
    """A class that says nothing of its fields."""

    def __init__(self, value: int) -> None:
        self.value = value


class BuiltinTypedDict(typing.TypedDict):
    """`typing.TypedDict`, which pydantic cannot read before Python 3.12."""

    name: str


class Unfinished(pydantic.BaseModel):
    """A model with a reference that never resolves."""

    part: "NeverDefined"  # type: ignore[name-defined]  # noqa: F821


class UnreadableSchema:
    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        raise KeyError("no schema here")


class _OddMeta(type):
    def __eq__(cls, other: object) -> bool:
        raise RuntimeError("no comparison here")

    __hash__ = type.__hash__

    def __instancecheck__(cls, instance: object) -> bool:
        raise RuntimeError("no isinstance here")

    def __repr__(cls) -> str:
        raise RuntimeError("no repr here")


class OddClass(metaclass=_OddMeta):
    pass


TYPES: Final[Mapping[str, Callable[[], Any]]] = _corpus(
    {
        "a plain class": lambda: PlainClass,
        "a list of a plain class": lambda: list[PlainClass],
        "a model that never resolves": lambda: Unfinished,
        "a text that names nothing": lambda: "NeverDefined",
        "a type whose schema raises": lambda: UnreadableSchema,
        "a class whose every comparison raises": lambda: OddClass,
        "an iterator": lambda: Iterator[int],
        "a generator": lambda: Generator[int, None, None],
        "a lock": lambda: threading.Lock,
        "a module": lambda: json,
        "a number": lambda: 42,
        "a text in Annotated": lambda: Annotated[PlainClass, "odd"],
        "constraints that do not fit": lambda: Annotated[PlainClass, pydantic.Field(gt=3)],
        "an unknown generic": lambda: Generic,
        "a dict with a plain class as key": lambda: dict[PlainClass, int],
        **({"typing.TypedDict": lambda: BuiltinTypedDict} if sys.version_info < (3, 12) else {}),
    }
)
"""No handler can be registered with these, as its payload's type or as its result's."""
