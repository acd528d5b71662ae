"""Server-sent events from bytes, as the HTML standard describes the stream's grammar; pieces may end anywhere."""

from codecs import getincrementaldecoder
from collections.abc import Iterator

import msgspec


class Frame(msgspec.Struct, frozen=True):
    """One event; `id` is the last one the stream gave, which may be an earlier event's."""

    event: str
    data: str
    id: str


class Parser:
    """Feed it what arrives; it gives the frames that are complete."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._event = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """Take the next bytes."""
        *lines, self._rest = self._whole_lines(self._rest + self._decode(piece))
        for line in lines:
            if frame := self._line(line):
                yield frame

    @staticmethod
    def _whole_lines(text: str) -> list[str]:
        # A lone CR at the very end may be half of a CRLF: leave it for the next piece.
        held = "\r" if text.endswith("\r") else ""
        lines = text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        lines[-1] += held
        return lines

    def _line(self, line: str) -> Frame | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        self._field(name, value.removeprefix(" "))
        return None

    def _field(self, name: str, value: str) -> None:
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self.last_id = value

    def _dispatch(self) -> Frame | None:
        event, data = self._event, self._data
        self._event, self._data = "", []
        # A bare id moves the id and no more; `reset` may well come without data.
        return Frame(event or "message", "\n".join(data), self.last_id) if event or data else None
