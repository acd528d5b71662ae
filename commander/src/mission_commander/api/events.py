"""GET /events: every change of a mission, as server-sent events; a watcher resumes where it stopped."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mission_commander.api import queries
from mission_commander.api.doors import PEOPLE, Doors, may_see
from mission_commander.domain.record import Mission
from mission_commander.services.feed import Announced
from mission_contracts.envelope import Door
from mission_contracts.tokens import Claims

QUIET_SECONDS: Final = 1.0
"""A comment is sent after so long without an event, so that a watcher can soon tell quiet from dead."""

_EVENT_ID: Final = re.compile(r"[0-9]{1,16}-[0-9]{1,16}")
_RESET: Final = b"event: reset\ndata: {}\n\n"
_STILL_HERE: Final = b": still here\n\n"


def routes(doors: Doors) -> list[Route]:
    async def events(request: Request) -> Response:
        claims = doors.gate.admit(request, *PEOPLE)
        commander = doors.loaded()
        watch = commander.feed.watch(_resumes_from(request), _filter(request, claims), quiet_seconds=QUIET_SECONDS)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(_texts(watch), media_type="text/event-stream", headers=headers)

    return [Route("/events", events, methods=["GET"])]


async def _texts(watch: AsyncIterator[Sequence[Announced] | None]) -> AsyncIterator[bytes]:
    yield _STILL_HERE  # at once, so that the watcher knows that it is subscribed
    async for batch in watch:
        if batch is None:
            yield _RESET
        elif batch:
            yield b"".join([announced.text() for announced in batch])
        else:
            yield _STILL_HERE


def _resumes_from(request: Request) -> str | None:
    after = request.headers.get("last-event-id")
    if after is not None and not _EVENT_ID.fullmatch(after):
        raise queries.bad("Last-Event-ID", "Last-Event-ID is not an id that an event had")
    return after


def _filter(request: Request, claims: Claims) -> Callable[[Mission], bool]:
    queries.only(request, ("namespace", "door"))
    namespace, door = queries.label(request, "namespace"), queries.member(Door, request, "door")

    def wanted(mission: Mission) -> bool:
        envelope = mission.envelope
        return (
            not mission.acknowledged  # the operator's own note: what is shown of the mission stays as it is
            and (namespace is None or envelope.namespace == namespace)
            and (door is None or envelope.door is door)
            and may_see(claims, mission)
        )

    return wanted
