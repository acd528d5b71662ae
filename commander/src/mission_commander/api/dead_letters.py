"""The routes of dead letters: look at them with their history, and try them again, one or many."""

from collections.abc import AsyncIterator
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mission_commander.api import bodies, queries
from mission_commander.api.answers import ProblemError, json_answer, problem
from mission_commander.api.doors import PEOPLE, SUBMITTERS, Doors, may_see, path_of
from mission_commander.api.finding import cursor, fetch, find, position
from mission_commander.api.queries import DEFAULT_PAGE, LONGEST_PAGE
from mission_commander.api.retrying import retried
from mission_commander.commander import Commander
from mission_commander.domain.record import Mission
from mission_commander.domain.view import history, view
from mission_commander.services.submission import RefusedError
from mission_contracts.mission import MissionId, Reason
from mission_contracts.names import is_dns_label
from mission_contracts.rest import DeadLetterPage, RedriveAnswer, RedriveRequest
from mission_contracts.tokens import Claims

READ_AT_ONCE: Final = 500
MOST_SCANNED: Final = 20_000
"""Records that one request looks at; the cursor goes on from there."""

_redrive: Final = msgspec.json.Decoder(RedriveRequest)
_FILTERS: Final = ("namespace", "type", "pool", "reason", "since", "limit", "cursor")


def routes(doors: Doors) -> list[Route]:
    """All routes under /dead-letters."""

    async def show(request: Request) -> Response:
        claims = doors.gate.admit(request, *PEOPLE)
        commander = doors.loaded()
        found = await _gather(commander, claims, _asked(request))
        shown = tuple(history(one, commander.clock.now()) for one in found.missions)
        return json_answer(DeadLetterPage(dead_letters=shown, cursor=found.cursor))

    async def redrive_one(request: Request) -> Response:
        claims = doors.gate.admit(request, *SUBMITTERS)
        commander = doors.loaded()
        mission = await find(commander, claims, MissionId(path_of(request, "id")))
        if not mission.dead_letter and mission.retried_as is None:
            why = "this mission is no dead letter: POST /missions/{id}/retry tries any final mission again"
            raise ProblemError(409, "NotADeadLetter", why)
        return await retried(doors, claims, mission, request)

    async def redrive_many(request: Request) -> Response:
        claims = doors.gate.admit(request, *SUBMITTERS)
        commander = doors.loaded()
        asked = await bodies.read_as(request, _redrive, bodies.ONE_MISSION_BYTES, empty=RedriveRequest())
        found = await _gather(commander, claims, _checked(asked))
        objections = [doors.permits.objection_to_retry(claims, one.envelope) for one in found.missions]
        allowed = [one for one, why in zip(found.missions, objections, strict=True) if why is None]
        doors.limits.charge_missions(claims, len(allowed))
        answers = await commander.retrier.retry_all(allowed, trace_id=request.state.request_id)
        made = tuple(view(one) for one in answers if isinstance(one, Mission))
        refused = tuple(
            problem(one.status, one.code, one.detail, retry_after=one.retry_after)
            for one in answers
            if isinstance(one, RefusedError)
        )
        refused += tuple(why for why in objections if why is not None)
        more = found.cursor is not None
        answer = RedriveAnswer(redriven=len(made), more=more, missions=made, refused=refused, cursor=found.cursor)
        return json_answer(answer)

    return [
        Route("/dead-letters", show, methods=["GET"]),
        Route("/dead-letters/redrive", redrive_many, methods=["POST"]),
        Route("/dead-letters/{id}/redrive", redrive_one, methods=["POST"]),
    ]


class _Found(msgspec.Struct, frozen=True):
    """Dead letters, and where to go on; None where there are no more."""

    missions: list[Mission]
    cursor: str | None


async def _gather(commander: Commander, claims: Claims, asked: RedriveRequest) -> _Found:
    found: list[Mission] = []
    last: Mission | None = None
    scanned = 0
    async for mission in _newest_first(commander, asked):
        if asked.since is not None and _ended_at(mission) < asked.since.timestamp():
            break  # and all that follow
        is_wanted = may_see(claims, mission) and _wants(asked, mission, commander.settings.namespace)
        if last is not None and (scanned == MOST_SCANNED or (is_wanted and len(found) == asked.limit)):
            return _Found(found, cursor(claims, _ended_at(last), last))
        if is_wanted:
            found.append(mission)
        last = mission
        scanned += 1
    return _Found(found, None)


async def _newest_first(commander: Commander, asked: RedriveRequest) -> AsyncIterator[Mission]:
    before = position(asked.cursor)
    while ids := await commander.ledger.dead_letters(READ_AT_ONCE, before=before):
        letters = [one for one in await fetch(commander, ids) if one is not None]
        for mission in letters:
            yield mission
        if len(ids) < READ_AT_ONCE or not letters:
            return
        before = (_ended_at(letters[-1]), letters[-1].id)


def _ended_at(mission: Mission) -> float:
    """As the ledger orders them."""
    return mission.envelope.accepted_at if mission.finished_at is None else mission.finished_at


def _wants(asked: RedriveRequest, mission: Mission, namespace: str) -> bool:
    envelope = mission.envelope
    return (
        mission.dead_letter
        and envelope.namespace == (asked.namespace or namespace)
        and asked.type in (None, envelope.type)
        and asked.pool in (None, envelope.pool)
        and asked.reason in (None, mission.reason)
    )


# Reading what is asked.


def _asked(request: Request) -> RedriveRequest:
    queries.only(request, _FILTERS)
    return RedriveRequest(
        namespace=queries.label(request, "namespace"),
        type=request.query_params.get("type"),
        pool=queries.label(request, "pool"),
        reason=_known(queries.member(Reason, request, "reason")),
        since=queries.moment(request, "since"),
        limit=queries.number(request, "limit", default=DEFAULT_PAGE, most=LONGEST_PAGE),
        cursor=request.query_params.get("cursor"),
    )


def _checked(asked: RedriveRequest) -> RedriveRequest:
    """Refuse what could match nothing: a filter that is misspelt should not look as if there were no dead letters."""
    for field, name in (("namespace", asked.namespace), ("pool", asked.pool)):
        if name is not None and not is_dns_label(name):
            raise queries.bad(field, f"{field} is no name that a {field} can have: check its spelling")
    _known(asked.reason)
    if asked.since is not None and asked.since.tzinfo is None:
        raise queries.bad("since", queries.MOMENT)
    return asked


def _known(reason: Reason | None) -> Reason | None:
    if reason is not None and not reason.is_known:
        raise queries.bad("reason", f"reason is one of {', '.join(Reason)}")
    return reason
