"""GET /events: every change of a mission, as server-sent events; a watcher resumes where it stopped."""

from collections.abc import AsyncIterator, Callable
from re import fullmatch
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mission_commander.api import queries, watching
from mission_commander.api.doors import PEOPLE, Doors
from mission_contracts.envelope import Door
from mission_contracts.mission import MissionId
from mission_contracts.watching import EVENT_ID_PATTERN, Subscribe

QUIET_SECONDS: Final = watching.QUIET_SECONDS

_RESET: Final = b"event: reset\ndata: {}\n\n"
_STILL_HERE: Final = b": still here\n\n"
_FILTERS: Final = ("namespace", "door", "type", "pool", "mission_id")


def routes(doors: Doors) -> list[Route]:
    async def events(request: Request) -> Response:
        claims = doors.gate.admit(request, *PEOPLE)
        watch = watching.watch(doors.loaded(), claims, _asked(request), QUIET_SECONDS)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        texts = _texts(watch, lambda: watching.is_admitted(doors.gate, request))
        return StreamingResponse(texts, media_type="text/event-stream", headers=headers)

    return [Route("/events", events, methods=["GET"])]


async def _texts(watch: watching.Watch, is_admitted: Callable[[], bool]) -> AsyncIterator[bytes]:
    yield _STILL_HERE  # at once, so that the watcher knows that it is subscribed
    async for batch in watch:
        if not is_admitted():
            return  # whoever comes back with a fresh token goes on after the last event
        if batch is None:
            yield _RESET
        elif batch:
            yield b"".join([announced.text() for announced in batch])
        else:
            yield _STILL_HERE


def _asked(request: Request) -> Subscribe:
    queries.only(request, _FILTERS)
    return Subscribe(
        after=_resumes_from(request),
        namespace=queries.label(request, "namespace"),
        door=queries.member(Door, request, "door"),
        type=request.query_params.get("type"),
        pool=queries.label(request, "pool"),
        mission_id=MissionId(one) if (one := request.query_params.get("mission_id")) else None,
    )


def _resumes_from(request: Request) -> str | None:
    after = request.headers.get("last-event-id")
    if after is not None and not fullmatch(EVENT_ID_PATTERN, after):
        raise queries.bad("Last-Event-ID", "Last-Event-ID is not an id that an event had")
    return after
