"""Reading request bodies: bounded, and with errors that name the field."""

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

import msgspec
import pydantic
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from mission_commander.api.answers import ProblemError, problem
from mission_contracts import strict_json
from mission_contracts.errors import Problem
from mission_contracts.rest import Submission
from mission_contracts.strict_json import StrictJsonError

SMALL_BYTES: Final = 4_096
ONE_MISSION_BYTES: Final = 512 * 1024
MANY_BYTES: Final = 32 * 1024 * 1024
MAX_EXPLAINED: Final = 16
PARTS_BYTES: Final = 128 * 1024 * 1024
"""Of large bodies that operators and soldiers send, together."""
UNCOUNTED_BYTES: Final = 16 * 1024
"""Of each body: what all connections may send of these together is little, and most bodies are smaller."""

T = TypeVar("T")


class Uploads:
    """How much of large bodies may be in memory while they come in, of all requests together.

    What has arrived counts, not what is announced: else whoever announces much, and sends nothing, would keep others
    out.
    """

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes

    def take(self, size: int) -> None:
        """Take room for so many bytes more; 503 where there is none."""
        if size > self._left:
            detail = "too many large bodies are coming in at once: send this again in a second, or in smaller parts"
            raise ProblemError(503, "TooManyUploads", detail, retry_after=1)
        self._left -= size

    def give_back(self, size: int) -> None:
        self._left += size


class RoomForBodies:
    """Room for what people send, and room of its own for what our parts send, which people must not keep out.

    A large body keeps its room until its request is answered: until then somebody holds what was in it.
    """

    def __init__(self, app: ASGIApp, people: Uploads, parts: Uploads) -> None:
        self._app = app
        self._people = people
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        taken = scope["room_for_bodies"] = _Taken(self._people, self._parts)
        try:
            await self._app(scope, receive, send)
        finally:
            taken.give_back()


class _Taken:
    """What one request has taken."""

    def __init__(self, people: Uploads, parts: Uploads) -> None:
        self._people = people
        self._parts = parts
        self._from = people
        self._size = 0

    def take_up_to(self, size: int, *, is_of_people: bool) -> None:
        self._from = self._people if is_of_people else self._parts
        self._from.take(size - self._size)
        self._size = size

    def give_back(self) -> None:
        self._from.give_back(self._size)
        self._size = 0


async def read(request: Request, limit: int, *, counted: bool = True) -> bytes:
    """Read the body; 413 as soon as it exceeds the limit, or says that it will.

    What is large is bounded by `Uploads`; not `counted` with people's is what our own parts send.
    """
    announced = request.headers.get("content-length", "0")  # a number: the parser has seen to it
    if int(announced) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        if size > UNCOUNTED_BYTES:
            request.scope["room_for_bodies"].take_up_to(size, is_of_people=counted)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(413, "BodyTooLarge", f"the body exceeds {limit} bytes: send less at once")


async def read_as(
    request: Request,
    decoder: "msgspec.json.Decoder[T]",
    limit: int = MANY_BYTES,
    *,
    empty: T | None = None,
    counted: bool = True,
) -> T:
    """Read a body of a known shape; 422 with the path of what does not fit. `empty` is what no body at all means."""
    body = await read(request, limit, counted=counted)
    if not body and empty is not None:
        return empty
    return decoded(body, decoder)


def decoded(body: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    """Read a body that has arrived: strict JSON, and of a known shape."""
    try:
        strict_json.check(body)
        return decoder.decode(body)
    except StrictJsonError as error:
        raise ProblemError(400, "BadJson", _cannot_be_read(error), field=error.path or None) from error
    except msgspec.ValidationError as error:
        raise ProblemError(422, "BadField", f"the body does not fit: {error}") from error


def submissions(items: Iterable[bytes]) -> Iterator[Submission | Problem]:
    """Read many. Only the first bad ones are explained in full: that takes longer than to read good ones."""
    explained = 0
    for raw in items:
        read = submission(raw, is_explained=explained < MAX_EXPLAINED)
        explained += isinstance(read, Problem)
        yield read


def submission(raw: bytes, *, is_explained: bool = True) -> Submission | Problem:
    """Read one submission, with the types that the API server insists on for an object."""
    try:
        strict_json.check(raw, is_explained=is_explained)
        return Submission.model_validate_json(raw, strict=True)
    except StrictJsonError as error:
        return problem(400, "BadJson", _cannot_be_read(error), field=error.path or None)
    except pydantic.ValidationError as error:
        return _bad_field(error)


def _cannot_be_read(error: StrictJsonError) -> str:
    return str(error) if error.path else f"the body cannot be read: {error}"


_WORDS: Final = {
    "extra_forbidden": f"there is no such field: known are {', '.join(sorted(Submission.model_fields))}",
    "missing": "this field is required",
}


def _bad_field(error: pydantic.ValidationError) -> Problem:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    message = _WORDS.get(first["type"], first["msg"].removeprefix("Value error, "))
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    where = f"{field}: " if field else ""
    return problem(422, "BadField", f"{where}{message}{more}", field=field or None)
