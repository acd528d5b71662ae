"""Answering a retry: 202 with the new mission, or why there is none."""

from starlette.requests import Request
from starlette.responses import Response

from mission_commander.api.answers import ProblemError, json_answer
from mission_commander.commander import Commander
from mission_commander.domain.record import Mission
from mission_commander.domain.view import view
from mission_commander.services.submission import RefusedError


async def retried(commander: Commander, mission: Mission, request: Request) -> Response:
    """Try one mission again."""
    [answer] = await commander.retrier.retry_all([mission], trace_id=request.state.request_id)
    if isinstance(answer, RefusedError):
        raise ProblemError(answer.status, answer.code, answer.detail, retry_after=answer.retry_after)
    return json_answer(view(answer), 202, {"Location": f"/missions/{answer.id}"})
