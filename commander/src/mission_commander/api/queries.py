"""Reading query parameters: what is misspelt is refused, since a filter that is ignored shows too much."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeVar

from starlette.requests import Request

from mission_commander.api.answers import ProblemError
from mission_contracts.names import DNS_LABEL_PATTERN, SENTENCES, is_dns_label

DEFAULT_PAGE: Final = 100
LONGEST_PAGE: Final = 1_000

_E = TypeVar("_E", bound=StrEnum)


def only(request: Request, known: Iterable[str]) -> None:
    """Refuse parameters that the route does not know, and those that are given twice."""
    names = sorted(known)
    given = [name for name, _ in request.query_params.multi_items()]
    for place, name in enumerate(given):
        if name not in names:
            raise bad(name, f"there is no query parameter {name[:50]!r} here: use {', '.join(names)}")
        if name in given[:place]:
            raise bad(name, f"the query parameter {name} is given twice: give it once")


def bad(field: str, detail: str) -> ProblemError:
    return ProblemError(422, "BadField", detail, field=field)


def member(kind: type[_E], request: Request, field: str) -> _E | None:
    text = request.query_params.get(field)
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError as error:
        raise bad(field, f"{field} is one of {', '.join(kind)}") from error


def label(request: Request, field: str) -> str | None:
    """Read a namespace or a pool."""
    text = request.query_params.get(field)
    if text is not None and not is_dns_label(text):
        raise bad(field, f"{field} {SENTENCES[DNS_LABEL_PATTERN]}")
    return text


def truth(request: Request, field: str) -> bool:
    text = request.query_params.get(field, "false")
    if text not in {"true", "false"}:
        raise bad(field, f"{field} is true or false")
    return text == "true"


MOMENT: Final = "since is a moment in RFC 3339 with its zone, such as 2030-01-31T08:00:00Z"


def moment(request: Request, field: str) -> datetime | None:
    text = request.query_params.get(field)
    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text.replace(" ", "+"))  # a plus sign in a query means a space
    except ValueError as error:
        raise bad(field, MOMENT) from error
    if read.tzinfo is None:
        raise bad(field, MOMENT)
    return read


def number(request: Request, field: str, *, default: int, most: int) -> int:
    text = request.query_params.get(field)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and 1 <= int(text) <= most):
        raise bad(field, f"{field} is a number from 1 to {most}")
    return int(text)
