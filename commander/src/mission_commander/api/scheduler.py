"""The routes of the scheduler: stop and start the outbox relay, for every Commander of the installation."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mission_commander.api import queries
from mission_commander.api.answers import json_answer
from mission_commander.api.doors import Doors
from mission_contracts.rest import SchedulerView
from mission_contracts.tokens import Role


def routes(doors: Doors) -> list[Route]:
    """All routes under /scheduler."""

    async def stop(request: Request) -> Response:
        return await tell(request, stopped=True)

    async def start(request: Request) -> Response:
        return await tell(request, stopped=False)

    async def tell(request: Request, *, stopped: bool) -> Response:
        doors.gate.admit(request, Role.ADMIN, Role.OPERATOR)
        commander = doors.loaded()
        queries.only(request, ())
        await (commander.scheduler.stop() if stopped else commander.scheduler.start())
        return json_answer(SchedulerView(stopped=commander.scheduler.is_stopped, outbox=commander.outbox.depth))

    return [
        Route("/scheduler/stop", stop, methods=["POST"]),
        Route("/scheduler/start", start, methods=["POST"]),
    ]
