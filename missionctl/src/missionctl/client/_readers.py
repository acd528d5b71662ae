"""Answers to values; whatever is not the expected answer becomes the exception that fits it."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from mission_contracts import rest
from mission_contracts.errors import PROBLEM_CONTENT_TYPE
from missionctl.client import errors
from missionctl.client._sse import Frame
from missionctl.client._wire import Answer

T = TypeVar("T")
Reader = Callable[[str, Answer], T]
"""From the Commander's address, for the sentence, and its answer."""


class MissionChanged(msgspec.Struct, frozen=True):
    """A mission as it is now. Give `id` as `after` to go on behind this event another time."""

    id: str
    mission: rest.MissionView


class _Pools(msgspec.Struct, frozen=True):
    pools: tuple[rest.PoolView, ...]


def _json(kind: type[T]) -> Reader[T]:
    decoder = msgspec.json.Decoder(kind)

    def read(url: str, answer: Answer) -> T:
        if not 200 <= answer.status < 300:
            raise errors.from_answer(url, answer)
        return _decoded(decoder, url, answer)

    return read


def _decoded(decoder: "msgspec.json.Decoder[T]", url: str, answer: Answer) -> T:
    try:
        return decoder.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.strange(url, answer) from error


mission: Final = _json(rest.MissionView)
batch: Final = _json(rest.BatchAnswer)
page: Final = _json(rest.MissionPage)
found: Final = _json(rest.LookupAnswer)
token: Final = _json(rest.TokenAnswer)
pool: Final = _json(rest.PoolView)
rejected: Final = _json(rest.RejectedPage)
_pools: Final = _json(_Pools)
_view: Final = msgspec.json.Decoder(rest.MissionView)
_health: Final = msgspec.json.Decoder(rest.Health)


def pools(url: str, answer: Answer) -> tuple[rest.PoolView, ...]:
    """Read all pools."""
    return _pools(url, answer).pools


def nothing(url: str, answer: Answer) -> None:
    """Expect success and no more."""
    if not 200 <= answer.status < 300:
        raise errors.from_answer(url, answer)


def stream(url: str, answer: Answer) -> None:
    """Expect the beginning of an event stream."""
    nothing(url, answer)
    if not answer.headers.get("content-type", "").startswith("text/event-stream"):
        raise errors.strange(url, answer)


def health(url: str, answer: Answer) -> rest.Health:
    """Read a health report; that of a Commander that is down comes with 503 and is an answer like any other."""
    is_problem = answer.headers.get("content-type", "").startswith(PROBLEM_CONTENT_TYPE)
    if answer.status not in (200, 503) or is_problem:
        raise errors.from_answer(url, answer)
    return _decoded(_health, url, answer)


def changed(frame: Frame) -> MissionChanged:
    """Read one event of the stream."""
    try:
        return MissionChanged(frame.id, _view.decode(frame.data))
    except msgspec.DecodeError as error:
        raise errors.StrangeAnswerError(
            f"event {frame.id} is no mission ({error}): Commander and client may be of different versions"
        ) from error


def result_of(view: rest.MissionView, kind: type[T] | Any = Any) -> T | Any:
    """A completed mission's result as Python values, or as `kind`; None where there is none."""
    return None if view.result is None else msgspec.json.decode(view.result, type=kind)
