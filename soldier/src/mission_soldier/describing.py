"""What user code says, in words that can travel: of bounded length, encodable, and whatever its objects do when asked.

An exception's `__str__` may raise, exit or cancel; its class may have no name. None of that may lose an outcome, so
nothing in here raises: where an object cannot be described, a stand-in says so.
"""

import textwrap
import traceback
from typing import Any, Final

from mission_contracts.bounds import MAX_MESSAGE_CHARACTERS, MAX_TRACEBACK_CHARACTERS
from mission_contracts.text import encodable

MAX_NAME_CHARACTERS: Final = 200
MAX_FRAMES: Final = 64
"""Of a traceback, the newest: a recursion without an end has a thousand that are the same."""
MAX_LINE_CHARACTERS: Final = 1024
MAX_LINKS: Final = 8
"""Of a chain of causes."""
MAX_PARTS: Final = 8
"""Notes of an exception, or members of a group."""
MAX_DEPTH: Final = 3
"""Groups within each other."""

_class_name: Final = type.__dict__["__name__"].__get__
_plain: Final = str.__str__


def text_of(value: object, *, otherwise: str = "", max_characters: int = MAX_MESSAGE_CHARACTERS) -> str:
    """Return a plain str of at most so many characters; `otherwise` when the value has no text."""
    try:
        # Not isinstance: it asks the value for its __class__, which may raise or lie.
        text = _plain(value) if issubclass(type(value), str) else _plain(str(value))
    except BaseException:  # noqa: BLE001 - also a SystemExit or a cancellation that describing it raised
        return otherwise
    return encodable(text[:max_characters])[:max_characters]


def name_of(kind: type) -> str:
    """Return a class's own name, whatever its metaclass says."""
    return text_of(_class_name(kind), otherwise="an unnamed class", max_characters=MAX_NAME_CHARACTERS)


def attribute_of(error: BaseException, name: str, default: Any) -> Any:
    """Return an attribute that a subclass may have left out, or made to raise."""
    try:
        return getattr(error, name)
    except BaseException:  # noqa: BLE001 - as above
        return default


def error_text(error: BaseException) -> str:
    """Return `Name: text`, as a person reads it."""
    name = name_of(type(error))
    text = text_of(error, otherwise="its text cannot be read")
    return f"{name}: {text}"[:MAX_MESSAGE_CHARACTERS] if text else name


def traceback_of(error: BaseException) -> str:
    """Return the newest frames, without this package's own on top, in at most `MAX_TRACEBACK_CHARACTERS` bytes.

    Not by the standard library's formatter, which believes what an exception says of itself: a SyntaxError with an odd
    end offset makes it write gigabytes.
    """
    try:
        told = "".join(_link_text(link, is_newest=link is error) for link in _chain(error))
    except BaseException:  # noqa: BLE001 - as above
        told = f"{error_text(error)}\n(its traceback cannot be written)\n"
    return told.encode()[-MAX_TRACEBACK_CHARACTERS:].decode(errors="ignore")


def _chain(error: BaseException) -> list[BaseException]:
    """Return what led to the error, the oldest first, and the error itself."""
    links, following = [error], _cause(error)
    while following is not None and len(links) < MAX_LINKS and all(following is not link for link in links):
        links.append(following)
        following = _cause(following)
    return links[::-1]


def _cause(error: BaseException) -> BaseException | None:
    # By the base class's own fields: a subclass may have a property in their place.
    cause: BaseException | None = _field(error, "__cause__")
    context: BaseException | None = _field(error, "__context__")
    return cause if cause is not None or _field(error, "__suppress_context__") else context


def _field(error: BaseException, name: str) -> Any:
    return BaseException.__dict__[name].__get__(error)


def _link_text(error: BaseException, *, is_newest: bool, depth: int = 0) -> str:
    frames = _field(error, "__traceback__")
    if is_newest and frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    lines = [line[:MAX_LINE_CHARACTERS] for line in traceback.format_tb(frames, -MAX_FRAMES)]
    told = "".join(("Traceback (most recent call last):\n", *map(encodable, lines), error_text(error), "\n"))
    notes = attribute_of(error, "__notes__", ())
    told += "".join(f"{text_of(note)}\n" for note in (notes[:MAX_PARTS] if type(notes) in {list, tuple} else ()))
    if issubclass(type(error), BaseExceptionGroup) and depth < MAX_DEPTH:
        members = BaseExceptionGroup.__dict__["exceptions"].__get__(error)[:MAX_PARTS]
        parts = (_link_text(member, is_newest=False, depth=depth + 1) for member in members)
        told += "".join(textwrap.indent(part, "  | ") for part in parts)
    return told if is_newest or depth else f"{told}\nThis led to:\n\n"
