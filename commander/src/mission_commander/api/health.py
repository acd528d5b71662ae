"""The routes that watch over the Commander."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mission_commander.api.answers import json_answer
from mission_commander.api.doors import PEOPLE, Doors


def routes(doors: Doors) -> list[Route]:
    """Health for people and probes."""
    commander = doors.commander

    async def health(_: Request) -> Response:
        shown = commander.vitals.health()
        return json_answer(shown, 503 if shown.status == "down" else 200)

    async def live(_: Request) -> Response:
        return Response("alive", media_type="text/plain")

    async def ready(_: Request) -> Response:
        is_ready = commander.is_loaded and commander.vitals.is_ready
        return Response("ready" if is_ready else "not ready", 200 if is_ready else 503, media_type="text/plain")

    async def status(request: Request) -> Response:
        doors.gate.admit(request, *PEOPLE)
        return json_answer(await commander.overview.view())

    return [
        Route("/health", health, methods=["GET"]),
        Route("/livez", live, methods=["GET"]),
        Route("/readyz", ready, methods=["GET"]),
        Route("/status", status, methods=["GET"]),
    ]
