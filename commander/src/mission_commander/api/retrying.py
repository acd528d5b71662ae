"""Answering a retry: 202 with the new mission, or why there is none."""

from starlette.requests import Request
from starlette.responses import Response

from mission_commander.api.answers import ProblemError, json_answer
from mission_commander.api.doors import Doors
from mission_commander.domain.record import Mission
from mission_commander.domain.view import view
from mission_commander.services.submission import RefusedError
from mission_contracts.tokens import Claims


async def retried(doors: Doors, claims: Claims, mission: Mission, request: Request) -> Response:
    """Try one mission again, if the caller may still submit such a one."""
    if (why := doors.permits.objection_to_retry(claims, mission.envelope)) is not None:
        raise ProblemError(why.status, why.code, why.detail, field=why.field)
    [answer] = await doors.loaded().retrier.retry_all([mission], trace_id=request.state.request_id)
    if isinstance(answer, RefusedError):
        raise ProblemError(answer.status, answer.code, answer.detail, retry_after=answer.retry_after)
    return json_answer(view(answer), 202, {"Location": f"/missions/{answer.id}"})
