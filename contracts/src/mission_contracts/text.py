"""Text from elsewhere, made safe for where it goes: an encoder, a field with a bound in bytes, a terminal."""

import unicodedata
from typing import Final

ELLIPSIS: Final = "…"
_ELLIPSIS_BYTES: Final = len(ELLIPSIS.encode())

_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

_UNSAFE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, format characters (bidirectional overrides among them), surrogates, private use, line breaks."""

_JOINERS: Final = frozenset({"\u200c", "\u200d"})
"""Format characters that scripts and emoji need; they neither move the cursor nor turn text around."""


def encodable(text: str) -> str:
    r"""Return text that UTF-8 can encode: each lone surrogate becomes its escape, such as `\udce9`.

    `os.listdir` returns such text for file names that are not UTF-8 (PEP 383).
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace").decode()
    return text


def truncate(text: str, max_bytes: int) -> str:
    """Return text of at most `max_bytes` bytes as UTF-8; what is cut off ends in an ellipsis where there is room.

    The cut is at a character boundary. `text` must be encodable.
    """
    # A character has one to four bytes: most texts need no look at their bytes.
    if len(text) * 4 <= max_bytes:
        return text
    encoded = text[: max_bytes + 1].encode()
    if len(encoded) <= max_bytes:
        return text
    if max_bytes < _ELLIPSIS_BYTES:
        return encoded[:max_bytes].decode(errors="ignore")
    return encoded[: max_bytes - _ELLIPSIS_BYTES].decode(errors="ignore") + ELLIPSIS


def printable(text: str) -> str:
    r"""Return text that a terminal shows and never obeys, on one line: `\x1b`, `\n` and the like in place of controls.

    A terminal acts on control characters, and bidirectional overrides make a line read as another one (CVE-2021-42574).
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_printable(character) for character in text)


def _printable(character: str) -> str:
    if character in _JOINERS or unicodedata.category(character) not in _UNSAFE_CATEGORIES:
        return character
    return _ESCAPES.get(character) or character.encode("unicode_escape").decode()
