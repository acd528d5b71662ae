"""Tables as kubectl prints them: no frame, columns that stay where they are when rows follow."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

import msgspec

from mission_contracts.mission import MissionState
from mission_contracts.resources import duration_text, whole_percent
from mission_contracts.rest import MissionView, PoolView, RejectedMessage
from mission_contracts.text import printable

T = TypeVar("T")
GAP: Final = "   "
NONE: Final = "<none>"
BODY_CHARACTERS: Final = 80

STYLES: Final = {
    MissionState.QUEUED: "yellow",
    MissionState.IN_PROGRESS: "cyan",
    MissionState.COMPLETED: "green",
    MissionState.FAILED: "red",
    MissionState.CANCELLED: "magenta",
}


_AGES: Final = ((120, 1, "s"), (3 * 3600, 60, "m"), (2 * 86_400, 3600, "h"))
"""Below each bound, in seconds: the unit that says enough."""


class Column(msgspec.Struct, Generic[T], frozen=True):
    """One column; `style` colours its cells."""

    title: str
    text: Callable[[T], str]
    style: Callable[[T], str] = lambda _: ""
    least: int = 0
    """Room to keep for rows that are not known yet."""


Cell = tuple[str, str]
"""Text and style."""


class Table(Generic[T]):
    """Columns whose widths are settled by the first rows; a cell is one line that moves no cursor."""

    def __init__(self, columns: Sequence[Column[T]], rows: Sequence[T]) -> None:
        self._columns = columns
        self._widths = [self._width(column, rows) for column in columns]

    @staticmethod
    def _width(column: Column[T], rows: Sequence[T]) -> int:
        return max(column.least, len(column.title), *(len(printable(column.text(row))) for row in rows), 0)

    def header(self) -> list[Cell]:
        return self._line([(column.title, "bold") for column in self._columns])

    def row(self, row: T) -> list[Cell]:
        return self._line([(printable(column.text(row)) or NONE, column.style(row)) for column in self._columns])

    def _line(self, cells: list[Cell]) -> list[Cell]:
        padded = [(text.ljust(width) + GAP, style) for (text, style), width in zip(cells, self._widths, strict=True)]
        return [*padded[:-1], cells[-1]]


def mission_columns(*, wide: bool) -> list[Column[MissionView]]:
    """The columns that `kubectl get missions` has; with `wide` those of `-o wide`, and the id."""
    columns = [
        Column[MissionView]("NAME", name_of),
        Column[MissionView]("STATE", lambda one: one.state.camel, lambda one: STYLES[one.state], least=10),
        Column[MissionView]("TYPE", lambda one: one.type),
        Column[MissionView]("POOL", lambda one: one.pool),
        Column[MissionView]("ATTEMPT", lambda one: str(one.attempt)),
        Column[MissionView]("PROGRESS", _progress),
        Column[MissionView]("DURATION", _duration),
        Column[MissionView]("AGE", lambda one: age(one.queued_at, utc_now())),
    ]
    if not wide:
        return columns
    return [
        *columns,
        Column[MissionView]("REASON", lambda one: one.reason, least=17),
        Column[MissionView]("ID", lambda one: one.mission_id),
        Column[MissionView]("MESSAGE", lambda one: one.message),
    ]


def pool_columns() -> list[Column[PoolView]]:
    return [
        Column[PoolView]("NAME", lambda pool: pool.name),
        Column[PoolView]("SOLDIERS", lambda pool: str(sum(soldier.taking for soldier in pool.soldiers))),
        Column[PoolView]("SLOTS", lambda pool: str(sum(soldier.slots for soldier in pool.soldiers))),
        Column[PoolView]("QUEUED", lambda pool: str(pool.queued)),
        Column[PoolView]("WAITING", lambda pool: str(pool.waiting)),
        Column[PoolView]("IN-FLIGHT", lambda pool: str(pool.in_flight)),
        Column[PoolView]("PAUSED", lambda pool: str(pool.paused).lower()),
        Column[PoolView]("TYPES", lambda pool: ",".join(pool.types)),
    ]


def rejected_columns(*, wide: bool) -> list[Column[RejectedMessage]]:
    """What could not be read, and why."""
    columns = [
        Column[RejectedMessage]("AGE", lambda one: age(one.rejected_at, utc_now())),
        Column[RejectedMessage]("QUEUE", lambda one: one.queue),
        Column[RejectedMessage]("DEFECT", lambda one: one.defect),
        Column[RejectedMessage]("BYTES", lambda one: str(one.bytes)),
        Column[RejectedMessage]("REASON", lambda one: one.reason),
    ]
    if not wide:
        return columns
    return [*columns, Column[RejectedMessage]("BODY", lambda one: one.body[:BODY_CHARACTERS])]


def name_of(mission: MissionView) -> str:
    """The name of its object, or its id where it has none."""
    return mission.name or mission.mission_id


def age(since: datetime | None, now: datetime) -> str:
    """Time passed, in the one unit that says enough: 42s, 20m, 4h, 5d."""
    if since is None:
        return ""
    seconds = max(int((now - since).total_seconds()), 0)
    for limit, unit, letter in _AGES:
        if seconds < limit:
            return f"{seconds // unit}{letter}"
    return f"{seconds // 86_400}d"


def utc_now() -> datetime:
    return datetime.now(UTC)


def _progress(mission: MissionView) -> str:
    percent = whole_percent(mission.progress)
    return "" if percent is None else str(percent)


def _duration(mission: MissionView) -> str:
    seconds = mission.duration_seconds
    return "" if seconds is None else duration_text(seconds)
