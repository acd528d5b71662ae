"""The routes of missions."""

import heapq
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mission_commander.api import batches, bodies, queries
from mission_commander.api.answers import ProblemError, json_answer, ledger_away, problem
from mission_commander.api.doors import PEOPLE, SUBMITTERS, Doors, may_see, path_of
from mission_commander.api.finding import cursor, fetch, find, position, recorded
from mission_commander.api.paths import SpelledOut
from mission_commander.api.queries import DEFAULT_PAGE, LONGEST_PAGE
from mission_commander.api.retrying import retried
from mission_commander.commander import Commander
from mission_commander.domain.record import Mission
from mission_commander.domain.view import history, view
from mission_commander.ports import LedgerAwayError
from mission_commander.services.submission import Accepted, Answer, RefusedError
from mission_commander.services.submission import Request as SubmissionRequest
from mission_contracts.envelope import Door
from mission_contracts.errors import Problem
from mission_contracts.mission import MissionId, MissionState
from mission_contracts.rest import (
    IDEMPOTENCY_KEY_HEADER,
    LEDGER_HEADER,
    MAX_BATCH,
    MAX_WAIT_SECONDS,
    AcknowledgedRequest,
    BatchAnswer,
    BatchItem,
    CancelRequest,
    LookupAnswer,
    LookupRequest,
    MissionChange,
    MissionPage,
    MissionView,
    Submission,
)
from mission_contracts.tokens import Claims, Role

MOST_SCANNED: Final = 20_000
"""Records that one page of a filtered list looks at; the cursor goes on from there."""

_lookup: Final = msgspec.json.Decoder(LookupRequest)
_acknowledged: Final = msgspec.json.Decoder(AcknowledgedRequest)
_change: Final = msgspec.json.Decoder(MissionChange)
_cancel: Final = msgspec.json.Decoder(CancelRequest)


def routes(doors: Doors) -> list[Route]:
    """All routes under /missions."""
    missions = _Missions(doors)
    return [
        Route("/missions", missions.submit, methods=["POST"]),
        Route("/missions", missions.list, methods=["GET"]),
        SpelledOut("/missions/batch", missions.submit_batch, methods=["POST"]),
        SpelledOut("/missions/lookup", missions.look_up, methods=["POST"]),
        SpelledOut("/missions/acknowledged", missions.acknowledge, methods=["POST"]),
        Route("/missions/{id}", missions.get, methods=["GET"]),
        Route("/missions/{id}", missions.change, methods=["PATCH"]),
        Route("/missions/{id}/cancel", missions.cancel, methods=["POST"]),
        Route("/missions/{id}/retry", missions.retry, methods=["POST"]),
        Route("/missions/{id}/history", missions.history, methods=["GET"]),
    ]


class _Missions:
    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    # Submitting.

    async def submit(self, request: Request) -> Response:
        claims = self._doors.gate.admit(request, *SUBMITTERS)
        commander = self._doors.commander
        body = await bodies.read(request, bodies.ONE_MISSION_BYTES, counted=_is_counted(claims))
        read = bodies.submission(body)
        key = _idempotency_key(request.headers.get(IDEMPOTENCY_KEY_HEADER))
        asked = self._asked(read, claims, key, request)
        if isinstance(asked, Problem):
            raise _ended(asked)
        answer = (await commander.submitter.submit_all([asked]))[0]
        if isinstance(answer, RefusedError):
            raise _ended(_problem_of(answer))
        if isinstance(answer, LedgerAwayError):
            raise answer
        shown = view(answer.mission)
        return json_answer(shown, 202, {"Location": f"/missions/{shown.mission_id}", **_from(commander, [answer])})

    async def submit_batch(self, request: Request) -> Response:
        claims = self._doors.gate.admit(request, *SUBMITTERS)
        commander = self._doors.commander
        items = await batches.read(request, counted=_is_counted(claims))
        self._doors.limits.charge_missions(claims, len(items))
        asked = [self._asked(read, claims, None, request) for read in bodies.submissions(map(bytes, items))]
        good = [one for one in asked if isinstance(one, SubmissionRequest)]
        answers = await commander.submitter.submit_all(good)
        away = [one for one in answers if isinstance(one, LedgerAwayError)]
        if away and len(away) == len(asked):
            raise away[0]  # nothing was accepted: the whole request is the one to repeat
        told = iter(answers)
        results = [_item(one if isinstance(one, Problem) else next(told)) for one in asked]
        return json_answer(BatchAnswer(results=tuple(results)), headers=_from(commander, answers))

    def _asked(
        self, read: Submission | Problem, claims: Claims, key: str | None, request: Request
    ) -> SubmissionRequest | Problem:
        if isinstance(read, Problem):
            return read
        if claims.role is not Role.OPERATOR and (why := _reserved(read)):
            return problem(403, "OperatorOnly", why)
        if (objection := self._doors.permits.objection(claims, read, read.namespace)) is not None:
            return objection
        return SubmissionRequest(
            submission=read,
            subject=claims.subject,
            idempotency_key=key or read.idempotency_key,
            trace_id=request.state.request_id,
        )

    # Looking.

    async def get(self, request: Request) -> Response:
        claims = self._doors.gate.admit(request, *PEOPLE)
        commander = self._doors.loaded()
        mission_id = MissionId(path_of(request, "id"))
        mission = await find(commander, claims, mission_id)
        queries.only(request, ("wait",))
        seconds = _wait_seconds(request.query_params.get("wait"))
        if seconds and not mission.is_final:
            await commander.ends.wait(mission_id, seconds)
            mission = await find(commander, claims, mission_id)
        return json_answer(view(mission), headers=_from(commander))

    async def look_up(self, request: Request) -> Response:
        claims = self._doors.gate.admit(request, *PEOPLE)
        commander = self._doors.loaded()
        ids = (await bodies.read_as(request, _lookup, bodies.ONE_MISSION_BYTES)).ids
        _bounded(ids, "ids")
        found = await fetch(commander, ids, partial(may_see, claims))
        shown = tuple(view(one) if one is not None else None for one in found)
        return json_answer(LookupAnswer(missions=shown), headers=_from(commander))

    async def list(self, request: Request) -> Response:
        claims = self._doors.gate.admit(request, *PEOPLE)
        commander = self._doors.loaded()
        asked = _Listing.of(request, commander.settings.namespace)
        page: list[MissionView] = []
        last: Mission | None = None
        scanned = 0
        source = _Source(commander, lambda mission: may_see(claims, mission) and asked.wants(mission))
        async for mission in source.newest_first(asked):
            scanned += 1
            last = mission
            if source.wants(mission):
                page.append(view(mission))
            if len(page) == asked.limit or scanned == MOST_SCANNED:
                return json_answer(
                    MissionPage(missions=tuple(page), cursor=_cursor(claims, last)), headers=source.headers()
                )
        return json_answer(MissionPage(missions=tuple(page)), headers=source.headers())

    # Wishing.

    async def cancel(self, request: Request) -> Response:
        claims = self._doors.gate.admit(request, *SUBMITTERS)
        commander = self._doors.loaded()
        mission_id = MissionId(path_of(request, "id"))
        asked = await bodies.read_as(request, _cancel, bodies.SMALL_BYTES, empty=CancelRequest())
        if asked.deleted and claims.role is not Role.OPERATOR:
            why = "deleted: only the operator sees whether an object is gone; leave it out"
            raise ProblemError(403, "OperatorOnly", why, field="deleted")
        await find(commander, claims, mission_id)
        mission = await commander.wishes.cancel(mission_id, deleted=asked.deleted, message=asked.message)
        return json_answer(view(_recorded(mission)))

    async def change(self, request: Request) -> Response:
        claims = self._doors.gate.admit(request, *SUBMITTERS)
        commander = self._doors.loaded()
        mission_id = MissionId(path_of(request, "id"))
        asked = await bodies.read_as(request, _change, bodies.SMALL_BYTES)
        mission: Mission | None = await find(commander, claims, mission_id)
        if asked.suspend is not None:
            wish = commander.wishes.suspend if asked.suspend else commander.wishes.resume
            mission = await wish(mission_id)
        return json_answer(view(_recorded(mission)))

    async def retry(self, request: Request) -> Response:
        claims = self._doors.gate.admit(request, *SUBMITTERS)
        commander = self._doors.loaded()
        mission = await find(commander, claims, MissionId(path_of(request, "id")))
        return await retried(self._doors, claims, mission, request)

    async def history(self, request: Request) -> Response:
        claims = self._doors.gate.admit(request, *PEOPLE)
        commander = self._doors.loaded()
        mission = await find(commander, claims, MissionId(path_of(request, "id")))
        return json_answer(history(mission, commander.clock.now()), headers=_from(commander))

    async def acknowledge(self, request: Request) -> Response:
        self._doors.gate.admit(request, Role.OPERATOR)
        commander = self._doors.loaded()
        ids = (await bodies.read_as(request, _acknowledged, bodies.ONE_MISSION_BYTES, counted=False)).ids
        _bounded(ids, "ids")
        await commander.wishes.acknowledge(ids)
        return Response(status_code=204)


# Reading what is asked.


def _is_counted(claims: Claims) -> bool:
    """Objects in the cluster must not wait for what people send."""
    return claims.role is not Role.OPERATOR


def _idempotency_key(key: str | None) -> str | None:
    if key is not None and not 1 <= len(key) <= 255:
        raise ProblemError(422, "BadField", "the Idempotency-Key has 1 to 255 characters", field=IDEMPOTENCY_KEY_HEADER)
    return key


_OPERATORS_OWN: Final = ("mission_id", "floor")


def _reserved(read: Submission) -> str | None:
    """Objects are the operator's door: nobody else speaks in their name."""
    given = [name for name in _OPERATORS_OWN if getattr(read, name) is not None]
    if read.door is not Door.REST:
        given.append("door")
    return f"{', '.join(given)}: only the operator may set this; leave it out" if given else None


_WAIT: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)s?")


def _wait_seconds(text: str | None) -> float:
    if not text:
        return 0.0
    match = _WAIT.fullmatch(text)
    if match is None:
        raise queries.bad("wait", 'wait is a number of seconds such as "30s"')
    return min(MAX_WAIT_SECONDS, float(match[1]))


def _bounded(items: Sequence[object], field: str) -> None:
    if len(items) > MAX_BATCH:
        raise ProblemError(
            422, "BatchTooLarge", f"{len(items)} {field} in one request, at most {MAX_BATCH}: split them", field=field
        )


_FILTERS: Final = ("namespace", "limit", "cursor", "live", "state", "type", "pool", "door", "unacknowledged")


class _Listing(msgspec.Struct, frozen=True, kw_only=True):
    """The filters of a list."""

    namespace: str
    limit: int
    before: tuple[float, MissionId] | None
    only_live: bool
    state: MissionState | None
    type: str | None
    pool: str | None
    door: Door | None
    only_unacknowledged: bool

    @classmethod
    def of(cls, request: Request, namespace: str) -> "_Listing":
        queries.only(request, _FILTERS)
        return cls(
            namespace=queries.label(request, "namespace") or namespace,
            limit=queries.number(request, "limit", default=DEFAULT_PAGE, most=LONGEST_PAGE),
            before=position(request.query_params.get("cursor")),
            only_live=queries.truth(request, "live"),
            state=queries.member(MissionState, request, "state"),
            type=request.query_params.get("type"),
            pool=queries.label(request, "pool"),
            door=queries.member(Door, request, "door"),
            only_unacknowledged=queries.truth(request, "unacknowledged"),
        )

    def wants(self, mission: Mission) -> bool:
        envelope = mission.envelope
        return (
            (self.state is None or mission.state is self.state)
            and (self.type is None or envelope.type == self.type)
            and (self.pool is None or envelope.pool == self.pool)
            and (self.door is None or envelope.door is self.door)
            and (not self.only_unacknowledged or _is_unacknowledged(mission))
        )


def _is_unacknowledged(mission: Mission) -> bool:
    """Its record stays until the operator says that its object shows the end, or is gone."""
    return mission.is_final and mission.envelope.door is Door.CLUSTER and not mission.acknowledged


def _cursor(claims: Claims, mission: Mission) -> str:
    return cursor(claims, mission.envelope.accepted_at, mission)


class _Source:
    """Where a list comes from: the ledger; what this Commander remembers, while that is away."""

    def __init__(self, commander: Commander, wants: Callable[[Mission], bool]) -> None:
        self._commander = commander
        self.wants = wants
        self._is_away = commander.vitals.ledger_is_away

    def headers(self) -> dict[str, str]:
        return _DEGRADED if self._is_away else _from(self._commander)

    async def newest_first(self, asked: _Listing) -> AsyncIterator[Mission]:
        before = asked.before
        if not asked.only_live and not self._is_away:
            try:
                async for mission in self._recorded(asked):
                    before = _newest(mission)
                    yield mission
            except LedgerAwayError:
                self._is_away = True
            else:
                return
        for mission in self._remembered(asked, before):
            yield mission

    async def _recorded(self, asked: _Listing) -> AsyncIterator[Mission]:
        before = asked.before
        count = asked.limit  # mostly all that is needed; who filters goes on in larger steps
        while ids := await self._commander.ledger.list_ids(asked.namespace, before=before, limit=count):
            found = [one for one in await recorded(self._commander, ids) if one is not None]
            for mission in found:
                yield mission
            if len(ids) < count or not found:
                return
            before, count = _newest(found[-1]), LONGEST_PAGE

    def _remembered(self, asked: _Listing, before: tuple[float, MissionId] | None) -> Iterable[Mission]:
        """Live ones from memory, which holds them all; while the ledger is away, recent final ones too."""
        memory = self._commander.memory
        held = [*memory.live(), *(memory.finals() if self._is_away and not asked.only_live else ())]
        known = {one.id for one in held}
        held += [one for one in self._commander.unrecorded.all() if self._is_away and one.id not in known]
        # Chosen first: to order everything that lives would hold up whoever else asks.
        chosen = (one for one in held if one.envelope.namespace == asked.namespace and self.wants(one))
        return heapq.nlargest(
            asked.limit, (one for one in chosen if before is None or _newest(one) < before), key=_newest
        )


def _newest(mission: Mission) -> tuple[float, MissionId]:
    return mission.envelope.accepted_at, mission.id


# Answering.


_DEGRADED: Final = {LEDGER_HEADER: "degraded"}


def _from(commander: Commander, answers: Sequence[Answer] = ()) -> dict[str, str]:
    """Say so when an answer was given without the ledger."""
    is_unrecorded = any(isinstance(one, Accepted) and not one.is_recorded for one in answers)
    return _DEGRADED if is_unrecorded or commander.vitals.ledger_is_away else {}


def _item(answer: Answer | Problem) -> BatchItem:
    if isinstance(answer, Accepted):
        return BatchItem(status=202, mission=view(answer.mission))
    if isinstance(answer, LedgerAwayError):
        answer = ledger_away(answer)
    said = answer if isinstance(answer, Problem) else _problem_of(answer)
    return BatchItem(status=said.status, problem=said)


def _problem_of(refused: RefusedError) -> Problem:
    return problem(refused.status, refused.code, refused.detail, field=refused.field, retry_after=refused.retry_after)


def _ended(said: Problem) -> ProblemError:
    return ProblemError(said.status, said.code, said.detail, field=said.field, retry_after=said.retry_after_seconds)


def _recorded(mission: Mission | None) -> Mission:
    """What became of a wish for a mission that was found a moment ago; the ledger may not have it yet."""
    if mission is None:
        raise LedgerAwayError("the mission was accepted without the ledger, and is just being recorded")
    return mission
