"""The route of messages that nobody could use."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mission_broker.port import BrokerAwayError
from mission_commander.api import queries
from mission_commander.api.answers import ProblemError, json_answer
from mission_commander.api.doors import Doors
from mission_commander.api.queries import DEFAULT_PAGE, LONGEST_PAGE
from mission_contracts.tokens import Role


def routes(doors: Doors) -> list[Route]:
    """GET /rejected: they may hold anything, secrets too, and so they are for administrators."""

    async def show(request: Request) -> Response:
        doors.gate.admit(request, Role.ADMIN)
        queries.only(request, ("limit",))
        limit = queries.number(request, "limit", default=DEFAULT_PAGE, most=LONGEST_PAGE)
        try:
            return json_answer(await doors.commander.rejected.look(limit))
        except BrokerAwayError as error:
            detail = "RabbitMQ keeps these messages and cannot be reached now: try again in a moment"
            raise ProblemError(503, "BrokerAway", detail, retry_after=1) from error

    return [Route("/rejected", show, methods=["GET"])]
